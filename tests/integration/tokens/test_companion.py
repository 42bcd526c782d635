"""Nothing in a companion connection is fatal: what cannot be read is put back from the newest safety copy."""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow.models.connection import Connection
from cryptography.fernet import Fernet
from sqlalchemy import update

from airflow_provider_lightspeed.auth.codec import VERSION, dump
from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.compat import AIRFLOW_V_3_0_PLUS, new_session
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens.companion import LEDGER_TYPE, ledger_id
from airflow_provider_lightspeed.tokens.refresh import Refresher
from airflow_provider_lightspeed.tokens.status import connection_ids, status
from airflow_provider_lightspeed.tokens.store import peek

Connect = Callable[..., str]
Stored = Callable[[str], dict[str, Any]]
CONN = "lightspeed_default"


def encrypted(text: str | bytes) -> str:
    from airflow.models.crypto import get_fernet

    return get_fernet().encrypt(text if isinstance(text, bytes) else text.encode()).decode()


def overwrite(conn_id: str, **values: Any) -> None:
    """Set columns, as a tool that writes past Airflow's checks does."""
    session, table = new_session(), Connection.__table__
    session.execute(update(table).where(table.c.conn_id == conn_id).values(**values))
    session.commit()
    session.close()


def as_shown(extra: dict[str, Any]) -> str:
    """Return an extra as Airflow's API shows it, with *** in place of secrets."""
    name = "airflow._shared.secrets_masker" if AIRFLOW_V_3_0_PLUS else "airflow.utils.log.secrets_masker"
    shown = json.dumps(importlib.import_module(name).redact(extra))
    assert "***" in shown
    return shown


SPOILED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "what GET shows": lambda extra: {"extra": encrypted(as_shown(extra))},
    "another version": lambda extra: {"extra": encrypted(json.dumps({**extra, "version": VERSION + 1}))},
    "a field lost": lambda extra: {"extra": encrypted(json.dumps({k: v for k, v in extra.items() if k != "owner"}))},
    "seeds null": lambda extra: {"extra": encrypted(json.dumps({**extra, "seeds": None}))},
    "generation beyond all keys": lambda extra: {"extra": encrypted(json.dumps({**extra, "generation": 10**9}))},
    "a list": lambda _: {"extra": encrypted("[1]")},
    "a number": lambda _: {"extra": encrypted("7")},
    "a text": lambda _: {"extra": encrypted('"text"')},
    "null": lambda _: {"extra": encrypted("null")},
    "not UTF-8": lambda _: {"extra": encrypted(b"\xff\xfe")},
    "a lone surrogate": lambda extra: {"extra": encrypted(json.dumps({**extra, "owner": "\ud83d"}))},
    "too deep": lambda _: {"extra": encrypted("[" * 100_000)},
    "in clear": lambda _: {"extra": "no JSON", "is_extra_encrypted": False},
    "another key": lambda _: {"extra": Fernet(Fernet.generate_key()).encrypt(b"{}").decode()},
    "garbage that says it is encrypted": lambda _: {"extra": "gAAAA"},
    "nothing": lambda _: {"extra": None},
    "an unreadable password": lambda _: {"password": "gAAAA", "is_encrypted": True},
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
def test_unreadable_companion_heals_from_a_copy(
    connection: Connect,
    simulator: SimulatorProcess,
    stored: Stored,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    """For whoever holds what stands in the connection. No grant is spent on it, and the log says so."""
    connection()
    seed = Claim(Secret(stored(CONN)["refresh_token"]).fingerprint())
    assert Refresher().refresh(CONN, seed).outcome is Outcome.REFRESHED
    before, extra = peek(CONN).ledger, stored(ledger_id(CONN))
    overwrite(ledger_id(CONN), **spoil(extra))
    caplog.set_level(logging.WARNING)
    assert dump(peek(CONN).ledger) == dump(before)
    assert any("put" in remark for remark in status(CONN).attention) or peek(CONN).visible == before
    rotated = Claim(Secret(stored(CONN)["refresh_token"]).fingerprint())
    assert Refresher().refresh(CONN, rotated).outcome is Outcome.BUSY
    assert "is put back to generation 1" in caplog.text
    assert stored(ledger_id(CONN)) | {"turn": 0} == extra | {"turn": 0}
    assert before.token is not None
    held = Claim(before.token.access_token.fingerprint())
    assert Refresher().refresh(CONN, held).outcome is Outcome.FRESH
    assert len(simulator.audit("token")["requests"]) == 1
    secrets = (before.token.access_token, before.token.refresh_token)
    assert not any(secret.reveal() in caplog.text for secret in secrets)


def test_companion_of_another_type_stays_a_companion(connection: Connect, stored: Stored) -> None:
    """A tool that rewrites its type makes no connection of it, and the next refresh puts it right."""
    connection()
    overwrite_type = {"conn_type": "http"}
    Refresher().refresh(CONN, Claim(Secret(stored(CONN)["refresh_token"]).fingerprint()))
    overwrite(ledger_id(CONN), **overwrite_type, extra=encrypted("[1]"))
    Refresher().refresh(CONN, Claim(Secret(stored(CONN)["refresh_token"]).fingerprint()))
    assert connection_ids() == [CONN]
    session, table = new_session(), Connection.__table__
    kinds = dict(session.execute(table.select().with_only_columns(table.c.conn_id, table.c.conn_type)).all())
    session.close()
    assert kinds == {CONN: "lightspeed", ledger_id(CONN): LEDGER_TYPE}


@pytest.mark.parametrize("found", [LEDGER_TYPE, "lightspeed_tokens"])
def test_companion_makes_no_lines_in_airflows_log(
    connection: Connect, stored: Stored, caplog: pytest.LogCaptureFixture, found: str
) -> None:
    """Airflow warns of an underscore in a connection's type whenever it hands the connection out, to any task.

    One that came back from a URI has an underscore again; it is still a companion, and the next refresh puts it right.
    """
    connection()
    refreshed = Refresher().refresh(CONN, Claim(Secret(stored(CONN)["refresh_token"]).fingerprint()))
    assert refreshed.outcome is Outcome.REFRESHED
    session = new_session()
    row = session.query(Connection).filter(Connection.conn_id == ledger_id(CONN)).one()
    assert row.conn_type == LEDGER_TYPE
    again = Connection(uri=row.get_uri())
    session.close()
    assert again.extra_dejson["generation"] == 1
    assert again.conn_type == "lightspeed_tokens"
    assert "RFC3986" not in caplog.text
    overwrite(ledger_id(CONN), conn_type=found)
    assert connection_ids() == [CONN]


def test_masker_is_told_nothing_of_the_companion(
    connection: Connect, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the API server every rotation would lengthen its one regular expression."""
    connection()
    told: list[Any] = []
    claim = Claim(Secret(stored(CONN)["refresh_token"]).fingerprint())
    monkeypatch.setattr("airflow.models.connection.mask_secret", lambda value, *_: told.append(value))
    assert Refresher().refresh(CONN, claim).outcome is Outcome.REFRESHED
    token = peek(CONN).ledger.token
    assert token is not None
    assert token.access_token.reveal() not in str(told)
