"""A flood of wrong hashes against the refresh trigger, from threads, over a real database."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

pytest.importorskip("airflow.sdk")

from airflow.models.connection import Connection

from airflow_provider_lightspeed.compat import new_session
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens.store import peek
from tests.support.visits import CONN, Site

Connect = Callable[..., str]
Stored = Callable[[str], dict[str, Any]]
#: Seconds within which a right claim gets through.
PATIENCE: Final = 15.0


@pytest.fixture
def flood(site: Site, connection: Connect) -> Iterator[None]:
    """Wrong hashes for a connection that exists and for others that do not, until the test ends; their peer overflows."""
    connection()
    ends, overflows, wrong = threading.Event(), threading.Event(), itertools.count()

    def pour(target: str) -> None:
        stranger = site.browser()
        while not ends.is_set():
            number = next(wrong)
            path = f"/lightspeed/refresh/{target.format(number)}"
            assert stranger.post(path, json={"seen": f"{number:064x}"}).status_code in (404, 503)
            if number > 400:
                overflows.set()

    with ThreadPoolExecutor(3) as threads:
        poured = [threads.submit(pour, target) for target in (CONN, "nobody", "random-{}")]
        try:
            assert overflows.wait(90)
            yield
        finally:
            ends.set()
            for each in poured:
                each.result(30)


def ask(site: Site, seen: str) -> str:
    """Ask as a task does: come back after as long as the answer says, for 15 seconds in all."""
    task, deadline = site.browser(), time.monotonic() + PATIENCE
    while True:
        reply = task.post(f"/lightspeed/refresh/{CONN}", json={"seen": seen}).json()
        wait = reply["retry_after"] or 0.5
        if reply["outcome"] not in ("busy", "no_match") or time.monotonic() + wait > deadline:
            return str(reply["outcome"])
        time.sleep(wait)


def test_right_claims_get_through_a_flood_behind_one_proxy(
    site: Site, connection: Connect, flood: None, stored: Stored, simulator: SimulatorProcess
) -> None:
    """The first claim, one with the new token after a rotation, and one with a token that a person has put in."""
    assert ask(site, Secret(stored(CONN)["refresh_token"]).fingerprint()) == "refreshed"
    token = peek(CONN).ledger.token
    assert token is not None
    assert ask(site, token.access_token.fingerprint()) == "fresh"
    put_in = simulator.grant()["refresh_token"]
    session = new_session()
    row = session.query(Connection).filter(Connection.conn_id == CONN).one()
    row.set_extra(json.dumps({**json.loads(row.extra), "refresh_token": put_in}))
    session.commit()
    session.close()
    assert ask(site, Secret(put_in).fingerprint()) == "refreshed"
