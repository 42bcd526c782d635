"""A new connection from the form: what is refused, and what is stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.auth.scopes import READ_ONLY
from airflow_provider_lightspeed.exceptions import InvalidArgument, LightspeedError
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.tokens.create import NewConnection, create, is_addressable

FILLED = {"conn_id": "shop", "client_id": "id", "client_secret": "client-secret-1"}
Connect = Callable[..., str]


def read(scope: tuple[str, ...] = READ_ONLY, **changes: Any) -> NewConnection:
    return NewConnection.read({**FILLED, **changes}, scope)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"conn_id": ""}, "connection ID"),
        ({"conn_id": "a b"}, "connection ID"),
        ({"conn_id": "x" * 226}, "connection ID"),
        ({"conn_id": "shop\r\nSet-Cookie: x"}, "connection ID"),
        ({"conn_id": "<script>"}, "connection ID"),
        ({"conn_id": "shop?next=//evil.example"}, "connection ID"),
        ({"conn_id": "shop__lightspeed_tokens"}, "kept for tokens"),
        ({"conn_id": "../disconnect/shop"}, "between slashes"),
        ({"conn_id": "..\\shop"}, "between slashes"),
        ({"conn_id": "a//shop"}, "between slashes"),
        ({"client_id": ""}, "Client ID"),
        ({"client_id": "  "}, "Client ID"),
        ({"client_secret": ""}, "Client secret"),
        ({"client_secret": "***"}, "mask"),
        ({"host": "https://evil.example"}, "host: .*allowed_hosts"),
        ({"host": "http://api.lightspeedapp.com"}, "host"),
        ({"host": "javascript:alert(1)"}, "host"),
        ({"host": "https://["}, "host"),
        ({"auth_url": "https://evil.example\\.lightspeedapp.com"}, "auth_url"),
        ({"auth_url": "https://user:pw@cloud.lightspeedapp.com"}, "auth_url"),
        ({"auth_url": "https://a; frame-ancestors *; .lightspeedapp.com"}, "auth_url"),
    ],
)
def test_bad_field_is_named(changes: dict[str, Any], named: str) -> None:
    """And the secret is in no error."""
    with pytest.raises(LightspeedError, match=named) as caught:
        read(**changes)
    assert "client-secret-1" not in str(caught.value)
    assert "pw@" not in str(caught.value)


@pytest.mark.parametrize("conn_id", ["..", ".", "/shop", "shop/", "a//b", "a/../b", "a\\..\\b", "./b", ""])
def test_id_that_a_path_would_make_another_one_has_no_pages(conn_id: str) -> None:
    """A button of ``../disconnect/shop`` would disconnect ``shop``: browsers and proxies resolve such paths."""
    assert not is_addressable(conn_id)


@pytest.mark.parametrize("conn_id", ["shop", "team/shop", "a.b", "...", "a/.../b", "#!()-:", "..shop"])
def test_other_ids_have_pages(conn_id: str) -> None:
    """Slashes and dots by themselves are common."""
    assert is_addressable(conn_id)


@pytest.mark.parametrize("scope", [(), ("employee:everything",)])
def test_scope_is_one_that_there_is(scope: tuple[str, ...]) -> None:
    """The consent would be refused at Lightspeed, with fewer words."""
    with pytest.raises(InvalidArgument, match="scope"):
        read(scope)


def test_secret_does_not_show() -> None:
    """Not in a traceback either."""
    assert "client-secret-1" not in repr(read())


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
