"""A new connection from the form: what is refused, and what is stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.auth.scopes import READ_ONLY
from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.tokens.create import NewConnection, create

FILLED = {"conn_id": "shop", "client_id": "id"}
Connect = Callable[..., str]


def read(scope: tuple[str, ...] = READ_ONLY, client_secret: str = "client-secret-1", **changes: Any) -> NewConnection:
    return NewConnection.read({**FILLED, **changes}, Secret(client_secret), scope)


def test_connection_is_stored_as_airflows_own_form_does(connection: Connect) -> None:
    """Encrypted; only what was filled in."""
    from airflow.models.connection import Connection

    from airflow_provider_lightspeed.compat import new_session

    create(read(("employee:reports", "employee:all"), host="http://127.0.0.1:8", auth_url="http://127.0.0.1:9"), "Ann")
    session = new_session()
    row = session.query(Connection).filter(Connection.conn_id == "shop").one()
    found: dict[str, Any] = {name: getattr(row, name) for name in ("conn_type", "login", "password", "host")}
    extra, raw = json.loads(row.extra), f"{row._password}{row._extra}"
    session.close()
    assert found == {
        "conn_type": "lightspeed",
        "login": "id",
        "password": "client-secret-1",
        "host": "http://127.0.0.1:8",
    }
    assert extra == {"auth_url": "http://127.0.0.1:9", "scope": "employee:reports employee:all"}
    assert "client-secret-1" not in raw


def test_taken_id_is_refused_and_what_is_there_stays(connection: Connect, stored: Callable[[str], Any]) -> None:
    """Whatever its type; a new secret does not slip into an old connection."""
    connection("shop")
    before = stored("shop")
    with pytest.raises(InvalidArgument, match="already"):
        create(NewConnection("shop", "id", Secret("client-secret-1"), READ_ONLY), "Ann")
    assert stored("shop") == before


def test_creation_is_in_the_event_log_without_the_secret(connection: Connect) -> None:
    """Who made it, and its name."""
    from airflow.models.log import Log

    from airflow_provider_lightspeed.compat import new_session

    session = new_session()
    session.query(Log).delete()
    session.commit()
    create(NewConnection("shop", "id", Secret("client-secret-1"), READ_ONLY), "Ann")
    (event,) = session.query(Log).all()
    told = (event.event, event.owner, event.extra)
    session.close()
    assert told == ("lightspeed.create", "Ann", '{"conn_id": "shop"}')
