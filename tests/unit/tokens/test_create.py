"""A new connection from the form: what is refused before anything is stored."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("airflow")
from airflow_provider_lightspeed.auth.scopes import READ_ONLY
from airflow_provider_lightspeed.exceptions import InvalidArgument, LightspeedError
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.tokens.create import NewConnection, is_addressable

FILLED = {"conn_id": "shop", "client_id": "id"}


def read(scope: tuple[str, ...] = READ_ONLY, client_secret: str = "client-secret-1", **changes: Any) -> NewConnection:
    return NewConnection.read({**FILLED, **changes}, Secret(client_secret), scope)


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
