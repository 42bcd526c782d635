"""Makes the Test button of Airflow's list of connections work for connections of this provider.

The button sends ``"port": 0`` for a connection without a port: the list turns ``null`` into a number. Airflow 3.3 takes 0
for another port than the stored one, and then refuses to test with the stored secrets (``400 Bad Request``). No setting of
a provider changes what the button sends, so this middleware leaves the port out of the request: Airflow then tests the
stored port, whatever it is.
"""

from __future__ import annotations

import json
from typing import Any, Final

from airflow_provider_lightspeed.provider_info import CONNECTION_TYPE

_PATH: Final = "/api/v2/connections/test"
#: Bytes; a longer body is passed on as it comes.
_LONGEST: Final = 1_000_000


def without_zero_port(body: bytes) -> bytes:
    """Return the body of a test without its port if that is 0 and the connection is of this provider's type."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(found, dict) or found.get("conn_type") != CONNECTION_TYPE:
        return body
    port = found.get("port")
    if isinstance(port, bool) or port != 0:
        return body
    return json.dumps({key: value for key, value in found.items() if key != "port"}).encode()


class FormPort:
    """ASGI middleware around all of Airflow's API server; every other request passes through untouched."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one request."""
        is_test = scope["type"] == "http" and scope["method"] == "POST" and scope["path"].endswith(_PATH)
        if not is_test:
            await self._app(scope, receive, send)
            return
        messages = [await receive()]
        while messages[-1].get("more_body") and sum(len(each.get("body", b"")) for each in messages) <= _LONGEST:
            messages.append(await receive())
        if all(each["type"] == "http.request" for each in messages) and not messages[-1].get("more_body"):
            body = without_zero_port(b"".join(each.get("body", b"") for each in messages))
            messages = [{"type": "http.request", "body": body, "more_body": False}]
            length = (b"content-length", str(len(body)).encode())
            headers = [length if name.lower() == length[0] else (name, value) for name, value in scope["headers"]]
            scope = {**scope, "headers": headers}
        await self._app(scope, _after(messages, receive), send)


def _after(messages: list[Any], receive: Any) -> Any:
    """Return a ``receive`` that gives messages which are read already, and then what comes after them."""
    waiting = messages[::-1]

    async def next_message() -> Any:
        return waiting.pop() if waiting else await receive()

    return next_message
