"""The Test button of Airflow's list: port 0 of a connection of ours is no port, and nothing else is touched."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from airflow_provider_lightspeed.plugin.form_port import FormPort, without_zero_port

PATH = "/api/v2/connections/test"
BODY = {"conn_type": "lightspeed", "connection_id": "shop", "host": "", "password": "***", "port": 0}


def passed_on(
    *parts: bytes, path: str = PATH, method: str = "POST", kind: str = "http"
) -> tuple[bytes, dict[str, str]]:
    """Send a request through the middleware; return the body and the headers that Airflow gets."""
    messages = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)} for number, part in enumerate(parts, 1)
    ]
    got: dict[str, Any] = {"body": b""}

    async def receive() -> Any:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got["headers"] = {name.decode(): value.decode() for name, value in scope["headers"]}
        while (message := await receive())["type"] == "http.request":
            got["body"] += message["body"]

    length = str(sum(map(len, parts))).encode()
    headers = [(b"content-length", length), (b"cookie", b"_token=x")]
    scope = {"type": kind, "method": method, "path": path, "headers": headers}
    asyncio.run(FormPort(app)(scope, receive, None))
    return got["body"], got["headers"]


@pytest.mark.parametrize("path", [PATH, f"/airflow{PATH}"])
@pytest.mark.parametrize("cut", [1, 10, None])
def test_port_of_zero_is_left_out(path: str, cut: int | None) -> None:
    """Also where the body comes in parts; its length is told, and no other header changes."""
    whole = json.dumps(BODY).encode()
    parts = [whole] if cut is None else [whole[:cut], whole[cut:]]
    body, headers = passed_on(*parts, path=path)
    assert json.loads(body) == {key: value for key, value in BODY.items() if key != "port"}
    assert headers == {"content-length": str(len(body)), "cookie": "_token=x"}


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(BODY | {"conn_type": "http"}).encode(),
        json.dumps(BODY | {"port": 8443}).encode(),
        json.dumps(BODY | {"port": None}).encode(),
        json.dumps(BODY | {"port": False}).encode(),
        json.dumps({key: value for key, value in BODY.items() if key != "port"}).encode(),
        b"{",
        b"[]",
        b"",
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_other_bodies_pass_through_as_they_are(body: bytes) -> None:
    """Other types, other ports, and what is no JSON: Airflow judges them."""
    assert without_zero_port(body) == body
    assert passed_on(body)[0] == body


@pytest.mark.parametrize(
    "change",
    [{"path": "/api/v2/connections"}, {"path": "/lightspeed/refresh/x"}, {"method": "PATCH"}, {"kind": "websocket"}],
)
def test_other_requests_pass_through_as_they_are(change: dict[str, str]) -> None:
    """Untouched, unread."""
    body = json.dumps(BODY).encode()
    assert passed_on(body[:5], body[5:], **change)[0] == body


def test_long_body_is_passed_on_as_it_comes() -> None:
    """It is no test of a connection, and is not kept in memory."""
    parts = [b"x" * 600_000] * 4
    assert passed_on(*parts)[0] == b"x" * 2_400_000
