"""How the ledger lies in the database: a companion, safety copies, an owner, a lock, an event for every refresh."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow.models.connection import Connection
from airflow.models.log import Log
from airflow.models.variable import Variable
from sqlalchemy import select

from airflow_provider_lightspeed.auth.codec import dump, load
from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.compat import deployment, new_session
from airflow_provider_lightspeed.exceptions import ReconnectRequired
from airflow_provider_lightspeed.hooks.lightspeed import LightspeedHook
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens.asker import Asker
from airflow_provider_lightspeed.tokens.copies import copy_key
from airflow_provider_lightspeed.tokens.home import select_row
from airflow_provider_lightspeed.tokens.keep_alive import keep_alive
from airflow_provider_lightspeed.tokens.refresh import Refresher, default_exchange, take_over
from airflow_provider_lightspeed.tokens.status import connection_ids, status
from airflow_provider_lightspeed.tokens.store import ledger_id, locked_ledger, peek

Connect = Callable[..., str]
Stored = Callable[[str], dict[str, Any]]
CONN = "lightspeed_default"


def held() -> Claim:
    found = peek(CONN)
    assert found.stored is not None
    token = found.ledger.token
    return Claim((token.access_token if token else found.stored.settings.refresh_token).fingerprint())


def rewrite(conn_id: str, **changes: Any) -> None:
    """Change a row as a person or a tool does, in a session of its own."""
    session = new_session()
    row = session.query(Connection).filter(Connection.conn_id == conn_id).one()
    for name, value in changes.items():
        row.set_extra(value) if name == "extra" else setattr(row, name, value)
    session.commit()
    session.close()


def grants(simulator: SimulatorProcess) -> list[int]:
    return [entry["status"] for entry in simulator.audit("token")["requests"]]


def test_locked_row_is_read_anew_even_if_the_session_knows_it(connection: Connect) -> None:
    """A plain second select would answer with what the row said before the grant."""
    connection()
    session = new_session()
    row: Any = select_row(session, CONN)
    rewrite(CONN, port=7)
    again: Any = select_row(session, CONN, lock=True)
    assert again is row
    assert again.port == 7
    session.close()


def test_overwritten_companion_is_put_back(connection: Connect, simulator: SimulatorProcess, stored: Stored) -> None:
    """A tool imports an old export: who holds the old token asks, and finds the new one. No grant is spent on it."""
    connection()
    Refresher().refresh(CONN, held())
    old = stored(ledger_id(CONN))
    newer = dataclasses.replace(load(old), generation=5)
    found = peek(CONN)
    assert found.stored is not None
    with locked_ledger(CONN) as locked:
        locked.read()
        assert locked.save(newer, found.stored, expected=1)
    rewrite(ledger_id(CONN), extra=json.dumps(old))
    assert peek(CONN).rolled_back
    assert "overwritten" in " ".join(status(CONN).attention)
    assert Refresher().refresh(CONN, Claim("0" * 64)).outcome is Outcome.NO_MATCH
    assert peek(CONN).rolled_back
    assert Refresher().refresh(CONN, held()).outcome is Outcome.BUSY
    assert stored(ledger_id(CONN))["generation"] == 5
    assert grants(simulator) == [200]


def keys() -> list[str]:
    session = new_session()
    found = session.execute(select(Variable.__table__.c.key).order_by(Variable.__table__.c.key)).scalars().all()
    session.close()
    return list(found)


def test_safety_copies_are_added_never_changed_and_few_are_kept(connection: Connect) -> None:
    """What writes a copy back that it loaded earlier changes nothing; deletions are rare, for they make that fail."""
    connection()
    Refresher().refresh(CONN, held())
    deletions, before = 0, keys()
    assert before == [copy_key(CONN, 0, 1), copy_key(CONN, 1, 0)]  # the attempt, the pair
    for generation in range(2, 30):
        found = peek(CONN)
        assert found.stored is not None
        with locked_ledger(CONN) as locked:
            locked.read()
            newer = dataclasses.replace(found.ledger, generation=generation)
            assert locked.save(newer, found.stored, expected=generation - 1)
        after = keys()
        assert after[-1] == copy_key(CONN, generation, 0)
        assert 2 < len(after) <= 8
        deletions += not set(before) <= set(after)
        before = after
    assert deletions <= 28 / 5
    assert peek(CONN).ledger.generation == 29


def test_copies_of_connections_with_like_names_are_told_apart(connection: Connect, stored: Stored) -> None:
    """Upper and lower case differ, on SQLite too; a variable that somebody put beside the copies is none."""
    for conn_id in ("shop", "Shop"):
        connection(conn_id)
    Refresher().refresh("shop", Claim(Secret(stored("shop")["refresh_token"]).fingerprint()))
    session = new_session()
    session.add(Variable(key=f"{copy_key('shop', 1, 0)}_before", val="{}"))  # type: ignore[no-untyped-call]
    session.commit()
    session.close()
    assert [peek(conn_id).ledger.generation for conn_id in ("shop", "Shop")] == [1, 0]


def test_copied_database_makes_no_grant_call_until_taken_over(
    connection: Connect, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says so in ``status``; ``take-over`` is a decision of a person."""
    connection()
    Refresher().refresh(CONN, held())
    ledger, found = peek(CONN).ledger, peek(CONN).stored
    assert ledger.owner == deployment()
    assert found is not None
    assert ledger.token is not None
    expired = dataclasses.replace(
        ledger,
        token=dataclasses.replace(ledger.token, expires_at=ledger.token.issued_at),
        owner="postgresql://other/db",
    )
    with locked_ledger(CONN) as locked:
        locked.read()
        locked.save(expired, found, expected=ledger.generation)
    assert Refresher().refresh(CONN, held()).outcome is Outcome.FOREIGN
    assert "take over" in " ".join(status(CONN).attention)
    with pytest.raises(ReconnectRequired, match="take-over"):
        keep_alive(CONN)
    assert grants(simulator) == [200]
    assert take_over(CONN, "me")
    assert Refresher().refresh(CONN, held()).outcome is Outcome.REFRESHED


def test_every_refresh_stands_in_the_event_log(connection: Connect, simulator: SimulatorProcess) -> None:
    """DAG, task and outcome; no secret."""
    connection()
    simulator.faults({"action": "status", "path": "/oauth/token", "status": 503})
    for _ in range(2):
        Refresher().refresh(CONN, held(), Asker("shop", "extract", "manual__1"))
    session = new_session()
    rows = session.query(Log).filter(Log.event == "lightspeed.token_refresh").order_by(Log.id.desc()).limit(2).all()
    told = [(row.dag_id, row.task_id, row.run_id, json.loads(row.extra or "")) for row in rows]
    session.close()
    assert [entry[:3] for entry in told] == [("shop", "extract", "manual__1")] * 2
    assert [entry[3]["outcome"] for entry in told] == ["refreshed", "unavailable"]
    token = peek(CONN).ledger.token
    assert token is not None
    for secret in (token.access_token, token.refresh_token, Secret(simulator.client_secret)):
        assert secret.reveal() not in str(told)


def test_row_shadowed_by_an_environment_variable_is_reported(
    connection: Connect, monkeypatch: pytest.MonkeyPatch, stored: Stored, simulator: SimulatorProcess
) -> None:
    """Airflow reads the variable; whoever edits the row edits nothing."""
    connection()
    fields = {"conn_type": "lightspeed", "login": "x", "password": "y", "extra": stored(CONN)}
    monkeypatch.setenv("AIRFLOW_CONN_LIGHTSPEED_DEFAULT", json.dumps({**fields, "host": simulator.base_url}))
    found = status(CONN)
    assert found.source == "environment variable"
    assert "is not used" in " ".join(found.attention)


def test_status_lists_rows_and_environment_variables(connection: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secrets backend cannot be listed; what was refreshed from it can."""
    connection("row_shop")
    monkeypatch.setenv("AIRFLOW_CONN_ENV_SHOP", "lightspeed://id:secret@/")
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", "postgres://id:secret@/")
    assert connection_ids() == ["env_shop", "row_shop"]


def test_grant_close_to_its_end_is_a_warning(
    connection: Connect, simulator: SimulatorProcess, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log of whoever cannot refresh it, and in ``status``."""
    connection()
    Refresher().refresh(CONN, held())
    ledger, found = peek(CONN).ledger, peek(CONN).stored
    assert found is not None
    assert ledger.token is not None
    assert ledger.refreshed_at is not None
    ago = timedelta(days=25)
    old = dataclasses.replace(
        ledger,
        token=dataclasses.replace(ledger.token, expires_at=ledger.token.issued_at),
        refreshed_at=ledger.refreshed_at - ago,
    )
    with locked_ledger(CONN) as locked:
        locked.read()
        locked.save(old, found, expected=ledger.generation)
    assert "lapses in" in " ".join(status(CONN).attention)
    simulator.faults({"action": "status", "path": "/oauth/token", "status": 503})
    caplog.set_level(logging.WARNING)
    Refresher().refresh(CONN, held())
    assert "the grant lapses on" in caplog.text


def test_keep_alive_refreshes_what_is_due_and_nothing_else(connection: Connect, simulator: SimulatorProcess) -> None:
    """Twice in a row costs one grant; the answer holds no secret."""
    connection()
    first, second = LightspeedHook().keep_alive(), LightspeedHook().keep_alive()
    assert first == second
    assert set(first) == {"generation", "expires_at", "lapses_at"}
    assert grants(simulator) == [200]


def test_unsaved_form_is_looked_at_and_its_token_kept(
    connection: Connect, simulator: SimulatorProcess, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow's *Test* runs under a random ID from an environment variable: without a stored twin nothing is spent."""
    connection("my_shop")
    mine = stored("my_shop")
    fields = {"conn_type": "lightspeed", "login": simulator.client_id, "password": simulator.client_secret}
    fields |= {"host": simulator.base_url}
    unsaved = {**mine, "refresh_token": simulator.grant()["refresh_token"]}
    monkeypatch.setenv("AIRFLOW_CONN_XYZABC", json.dumps({**fields, "extra": unsaved}))
    worked, message = LightspeedHook("xyzabc").test_connection()
    assert not worked
    assert "Save the connection" in message
    assert grants(simulator) == []
    monkeypatch.setenv("AIRFLOW_CONN_XYZABC", json.dumps({**fields, "extra": mine}))
    worked, message = LightspeedHook("xyzabc").test_connection()
    assert worked, message
    assert peek("my_shop").ledger.generation == 1
    assert peek("xyzabc").ledger.generation == 0
    worked, _ = LightspeedHook("xyzabc").test_connection()  # the copy still holds the first token
    assert worked
    assert grants(simulator) == [200]


def test_pair_in_hand_is_saved_although_the_database_stumbles(
    connection: Connect, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else has this pair: it is offered again until the database takes it."""
    from sqlalchemy.exc import OperationalError

    from airflow_provider_lightspeed.tokens.store import LockedLedger
    from tests.support.fakes import FakeClock

    connection()
    save, failures = LockedLedger.save, [1, 1, 1]

    def stumbling(self: LockedLedger, *args: Any, **named: Any) -> bool:
        if failures:
            failures.pop()
            raise OperationalError("COMMIT", {}, Exception("server closed the connection"))
        return save(self, *args, **named)

    monkeypatch.setattr(LockedLedger, "save", stumbling)
    clock = FakeClock()
    answer = Refresher(default_exchange(), clock).refresh(CONN, held())
    assert answer.outcome is Outcome.REFRESHED
    assert grants(simulator) == [200]
    assert dump(peek(CONN).ledger) == dump(peek(CONN).visible)
