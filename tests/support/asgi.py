"""Calls an ASGI app in this event loop, without a client around it: thousands of requests take seconds."""

from __future__ import annotations

import json
from typing import Any


async def post(app: Any, path: str, body: bytes | dict[str, Any], peer: str = "10.0.0.1") -> tuple[int, dict[str, Any]]:
    """Post a body and return the answer's status and JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "client": (peer, 1234),
        "server": ("testserver", 80),
    }
    await app(scope, receive, send)
    found: dict[str, Any] = json.loads(b"".join(message.get("body", b"") for message in sent[1:]))
    return sent[0]["status"], found
