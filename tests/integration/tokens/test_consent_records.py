"""What people did, on record; what long-lived processes keep; who else has the same grant."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.auth.step import Claim
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens.connect import Consents
from airflow_provider_lightspeed.tokens.refresh import Refresher
from tests.support.masks import maskers
from tests.support.token_steps import CONN, connect, ledger, works

Connect = Callable[..., str]
Stored = Callable[[str], dict[str, Any]]


def test_what_people_do_is_in_the_event_log_without_secrets(unconnected: Connect, simulator: SimulatorProcess) -> None:
    """Who, what, which connection; the account's ID, and no token."""
    from airflow.models.log import Log

    from airflow_provider_lightspeed.compat import new_session

    session = new_session()
    session.query(Log).delete()
    session.commit()
    unconnected()
    connect()
    held = ledger().token
    Consents().disconnect(CONN, "Bob")
    events = session.query(Log).order_by(Log.id).all()
    session.close()
    told = [
        (each.event, each.owner, json.loads(each.extra or "")) for each in events if each.event.startswith("lightspeed")
    ]
    assert told == [
        ("lightspeed.connect", "Ann", {"conn_id": CONN, "account_id": "12345"}),
        ("lightspeed.disconnect", "Bob", {"conn_id": CONN}),
    ]
    assert held is not None
    text = " ".join(each.extra or "" for each in events)
    for secret in (held.access_token, held.refresh_token, Secret(simulator.client_secret)):
        assert secret.reveal() not in text


def test_masker_of_a_long_lived_process_does_not_grow_with_connects(unconnected: Connect) -> None:
    """Its pattern is one regular expression over everything that it was ever told."""
    unconnected()
    connect()
    before = masked()
    for _ in range(3):
        connect()
        works()
        Consents().disconnect(CONN, "Ann")
    assert masked() == before


def masked() -> list[re.Pattern[str] | None]:
    """Return what the masks of this process are compiled to."""
    return [masker.replacer for masker in maskers()]


def test_partners_are_the_connections_that_stop_too(connection: Connect, simulator: SimulatorProcess) -> None:
    """They hold, or held, a token of the same grant; strangers on the same client are none."""
    from airflow_provider_lightspeed.tokens.status import partners

    seed = simulator.grant()["refresh_token"]
    connection("one", extra={"refresh_token": seed})
    connection("two", extra={"refresh_token": seed})
    connection("three")
    connection("other/client", extra={"refresh_token": seed}, login="another")
    connection("broken", extra={"refresh_token": seed}, host="https://evil.example")
    assert partners("one") == ["two"]
    Refresher().refresh("one", Claim(Secret(seed).fingerprint()))
    assert partners("one") == ["two"]
    assert partners("two") == ["one"]
    assert partners("three") == []
    assert partners("nobody") == []
