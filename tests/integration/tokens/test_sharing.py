"""One grant, one ledger: another spelling is the same connection, and a copied connection does not end the original's tokens."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow.models.connection import Connection
from sqlalchemy import delete, insert

from airflow_provider_lightspeed.auth.codec import dump
from airflow_provider_lightspeed.auth.ledger import Ledger
from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.compat import new_session
from airflow_provider_lightspeed.exceptions import ReconnectRequired
from airflow_provider_lightspeed.hooks.lightspeed import LightspeedHook
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens.companion import LEDGER_TYPE, ledger_id
from airflow_provider_lightspeed.tokens.refresh import Refresher
from airflow_provider_lightspeed.tokens.status import connection_ids, status
from airflow_provider_lightspeed.tokens.store import peek
from tests.support.fakes import make_token

Connect = Callable[..., str]
Stored = Callable[[str], dict[str, Any]]


def seed(stored: Stored, conn_id: str) -> Claim:
    return Claim(Secret(stored(conn_id)["refresh_token"]).fingerprint())


def grants(simulator: SimulatorProcess) -> list[int]:
    return [entry["status"] for entry in simulator.audit("token")["requests"]]


def ledgers() -> list[str]:
    session, table = new_session(), Connection.__table__
    try:
        found = session.execute(table.select().where(table.c.conn_type == LEDGER_TYPE)).mappings()
        return [row["conn_id"] for row in found]
    finally:
        session.close()


def test_two_spellings_of_an_environment_variable_are_one_connection(
    connection: Connect, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow takes every spelling for ``AIRFLOW_CONN_ENVSHOP``. One ledger, one grant, and both go on."""
    fields = simulator.connection(refresh_token=simulator.grant()["refresh_token"])
    monkeypatch.setenv("AIRFLOW_CONN_ENVSHOP", json.dumps({"conn_type": "lightspeed", **fields}))
    for conn_id in ("ENVSHOP", "envshop", "EnvShop"):
        assert LightspeedHook(conn_id).count("Shop") > 0
    assert grants(simulator) == [200]
    assert ledgers() == [ledger_id("envshop")]
    assert connection_ids() == ["envshop"]
    assert peek("ENVSHOP").ledger.generation == 1


@pytest.mark.parametrize("when", ["before the first refresh", "after a rotation"])
def test_copied_connection_does_not_end_the_originals_tokens(
    connection: Connect, simulator: SimulatorProcess, stored: Stored, when: str
) -> None:
    """Nothing is sent for it; the error names the original, and so does its state."""
    connection("shop")
    early = stored("shop")
    assert Refresher().refresh("shop", seed(stored, "shop")).outcome is Outcome.REFRESHED
    copied = early if when == "before the first refresh" else stored("shop")
    connection("twin", extra=copied)
    before = dump(peek("shop").ledger)
    for _ in range(2):  # it does not stick, and costs nothing
        answer = Refresher().refresh("twin", seed(stored, "twin"))
        assert (answer.outcome, answer.detail) == (Outcome.SHARED, "connection 'shop'")
    with pytest.raises(ReconnectRequired, match="of the grant that connection 'shop' uses"):
        LightspeedHook("twin").count("Shop")
    assert "connection 'shop' uses" in " ".join(status("twin").attention)
    assert status("shop").attention == ()
    assert grants(simulator) == [200]
    assert dump(peek("shop").ledger) == before
    assert LightspeedHook("shop").count("Shop") > 0


def test_copied_connection_with_a_grant_of_its_own_works(
    connection: Connect, simulator: SimulatorProcess, stored: Stored
) -> None:
    """As soon as somebody puts one in; nothing else is to be done."""
    from tests.support.token_steps import change

    connection("shop")
    Refresher().refresh("shop", seed(stored, "shop"))
    connection("twin", extra=stored("shop"))
    assert Refresher().refresh("twin", seed(stored, "twin")).outcome is Outcome.SHARED
    change("twin", extra={"refresh_token": simulator.grant()["refresh_token"]})
    assert Refresher().refresh("twin", seed(stored, "twin")).outcome is Outcome.REFRESHED
    assert status("twin").attention == ()


def test_renamed_connection_goes_on(connection: Connect, simulator: SimulatorProcess, stored: Stored) -> None:
    """Its old ledger is left over, and nobody's."""
    from tests.support.token_steps import delete as remove

    connection("shop")
    Refresher().refresh("shop", seed(stored, "shop"))
    connection("store", extra=stored("shop"))
    remove("shop")
    assert Refresher().refresh("store", seed(stored, "store")).outcome is Outcome.REFRESHED
    assert LightspeedHook("store").count("Shop") > 0
    assert simulator.counters().get("dead_refresh_tokens", 0) == 0


def test_token_of_an_unreadable_connection_is_still_its_own(
    connection: Connect, simulator: SimulatorProcess, stored: Stored
) -> None:
    """A connection that cannot be read now exists: tomorrow somebody corrects it."""
    from tests.support.token_steps import change

    connection("shop")
    Refresher().refresh("shop", seed(stored, "shop"))
    connection("twin", extra=stored("shop"))
    change("shop", host="https://[")
    assert Refresher().refresh("twin", seed(stored, "twin")).outcome is Outcome.SHARED


def test_each_of_five_hundred_ledgers_is_decrypted_once(connection: Connect, stored: Stored) -> None:
    """However often they are asked. One that cannot be read holds nothing, and what is gone is forgotten."""
    from airflow.models.crypto import get_fernet

    from airflow_provider_lightspeed.tokens import sharing

    connection("shop")
    fernet, session, table = get_fernet(), new_session(), Connection.__table__
    full = Ledger(
        generation=9,
        token=make_token(),
        rotated=tuple(f"{number:012x}" for number in range(1500)),
        destination=("https://a.example", "https://b.example", "client"),
    )
    rows = [
        {
            "conn_id": ledger_id(f"shop-{number}"),
            "conn_type": LEDGER_TYPE,
            "extra": fernet.encrypt(json.dumps(dump(full)).encode()).decode() if number else "garbage",
            "is_encrypted": False,
            "is_extra_encrypted": True,
        }
        for number in range(500)
    ]
    session.execute(insert(table), rows)
    session.commit()
    found = peek("shop").stored
    assert found is not None
    assert sharing.holder(session, found) == ""
    known = dict(sharing._known)
    assert len(known) == 500
    assert sharing.holder(session, found) == ""
    assert all(sharing._known[digest] is marks for digest, marks in known.items())
    session.execute(delete(table).where(table.c.conn_type == LEDGER_TYPE))
    session.commit()
    sharing.holder(session, found)
    session.close()
    assert sharing._known == {}
