"""What people do with connections, step by step, against the simulator."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

pytest.importorskip("airflow")

from airflow_provider_lightspeed.auth.codec import load
from airflow_provider_lightspeed.auth.ledger import Ledger
from airflow_provider_lightspeed.auth.token import Token
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens.attempts import Attempt
from airflow_provider_lightspeed.tokens.connect import Consents, Departure
from airflow_provider_lightspeed.tokens.probe import probe
from airflow_provider_lightspeed.tokens.store import ledger_id, peek

CONN = "lightspeed_default"


def leave(departure: Departure, decision: str = "allow", account: str = "") -> str:
    """Press the button at Lightspeed and return the address that the browser is sent to."""
    url = departure.url + (f"&sim_account={account}" if account else "")
    pressed = requests.post(url, data={"decision": decision}, allow_redirects=False, timeout=30)
    return pressed.headers["Location"]


def set_out(conn_id: str = CONN) -> Departure:
    return Consents().depart(conn_id, ("employee:all",), user="1", by="Ann")


def redeem(departure: Departure, redirected: str | None = None) -> Attempt:
    redirected = leave(departure) if redirected is None else redirected
    return Consents().redeem(departure.attempt, departure.state, redirected)


def connect(conn_id: str = CONN) -> None:
    Consents().adopt(redeem(set_out(conn_id)))


def works() -> tuple[bool, str]:
    return probe(CONN)


def ledger() -> Ledger:
    return peek(CONN).ledger


def alive(simulator: SimulatorProcess) -> list[dict[str, Any]]:
    return [grant for grant in simulator.grants() if not grant["revoked"]]


def change(conn_id: str = CONN, *, extra: dict[str, Any] | None = None, **fields: Any) -> None:
    """Edit the connection as a person would."""
    from airflow.models.connection import Connection

    from airflow_provider_lightspeed.compat import new_session

    session = new_session()
    row = session.query(Connection).filter(Connection.conn_id == conn_id).one()
    for name, value in fields.items():
        setattr(row, name, value)
    if extra is not None:
        row.set_extra(json.dumps({**json.loads(row.extra or "{}"), **extra}))
    session.commit()
    session.close()


def patch(conn_id: str = CONN, *, extra: str | None = None, **fields: Any) -> None:
    """Save a connection as Airflow's API does: the whole ``extra`` is what was sent."""
    from airflow.models.connection import Connection

    from airflow_provider_lightspeed.compat import new_session

    session = new_session()
    row = session.query(Connection).filter(Connection.conn_id == conn_id).one()
    for name, value in fields.items():
        setattr(row, name, value)
    if extra is not None:
        row.set_extra(extra)
    session.commit()
    session.close()


def recreate(conn_id: str = CONN, *, extra: str, **fields: Any) -> None:
    """Delete a connection and post it anew, the rest of it as it was; it gets another row number."""
    from airflow.models.connection import Connection

    from airflow_provider_lightspeed.compat import new_session

    session = new_session()
    old = session.query(Connection).filter(Connection.conn_id == conn_id).one()
    kept = {name: getattr(old, name) for name in ("conn_type", "login", "password", "host")} | fields
    session.add(Connection(conn_id=f"{conn_id}_bystander", conn_type="http"))  # SQLite would give the number again
    session.commit()
    session.delete(old)
    session.commit()
    session.add(Connection(conn_id=conn_id, extra=extra, **kept))
    session.commit()
    session.close()


def row_of(conn_id: str = CONN) -> dict[str, Any] | None:
    """Return a row's fields as they are stored, ``None`` if there is none."""
    from airflow.models.connection import Connection

    from airflow_provider_lightspeed.compat import new_session

    session = new_session()
    try:
        row = session.query(Connection).filter(Connection.conn_id == conn_id).one_or_none()
        names = ("id", "conn_type", "login", "password", "host", "extra")
        return None if row is None else {name: getattr(row, name) for name in names}
    finally:
        session.close()


def stored_pair(conn_id: str = CONN) -> Token | None:
    """Return the pair that the companion holds, also where the connection itself cannot be read."""
    companion = row_of(ledger_id(conn_id))
    return load(json.loads(companion["extra"] or "{}")).token if companion else None


def delete(conn_id: str = CONN) -> None:
    from airflow.models.connection import Connection

    from airflow_provider_lightspeed.compat import new_session

    session = new_session()
    session.delete(session.query(Connection).filter(Connection.conn_id == conn_id).one())
    session.commit()
    session.close()


def rows() -> set[str]:
    from airflow.models.connection import Connection

    from airflow_provider_lightspeed.compat import new_session

    session = new_session()
    try:
        return {conn_id for (conn_id,) in session.query(Connection.conn_id).all()}
    finally:
        session.close()


def anew(unconnected: Callable[..., str]) -> None:
    """Delete the connection and create it again."""
    unconnected("bystander")  # SQLite would give its number to the next
    delete()
    unconnected()
