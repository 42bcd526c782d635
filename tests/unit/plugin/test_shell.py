"""Around every answer of the plugin: headers, and the query that must not be logged."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("airflow.sdk")

from airflow_provider_lightspeed.plugin.shell import HEADERS, QUERY, Shell, content_security_policy
from airflow_provider_lightspeed.redact import Secret


def passed(scope: dict[str, Any], *own: tuple[bytes, bytes]) -> list[dict[str, Any]]:
    """Send a request through the shell; return what went out."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(own)})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(Shell(app)(scope, None, send))
    return sent


def test_code_and_state_are_out_of_sight_of_whoever_logs_the_query() -> None:
    """The scope is one dictionary for the app, the server and their loggers."""
    scope = {"type": "http", "query_string": b"code=secret&state=s"}
    passed(scope)
    assert scope["query_string"] == b""
    assert scope[QUERY] == Secret("code=secret&state=s")
    assert "code" not in repr(scope)


def test_every_answer_bears_the_headers_and_keeps_its_own() -> None:
    """A page with a policy of its own keeps that."""
    (start, _) = passed({"type": "http", "query_string": b""}, (b"content-security-policy", b"mine"))
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert headers == HEADERS | {"content-security-policy": "mine"}


def test_what_is_no_request_passes_untouched() -> None:
    """Lifespan events have no query."""
    scope = {"type": "lifespan"}
    passed(scope)
    assert scope == {"type": "lifespan"}


def test_form_may_end_at_lightspeed_and_at_nothing_else_that_is_in_clear_text() -> None:
    """Browsers hold every hop of a redirect to the policy."""
    policy = content_security_policy("http://127.0.0.1:8765/auth/oauth/authorize?x=1")
    assert "form-action 'self' https: http://127.0.0.1:8765;" in policy
    assert "default-src 'none'" in policy
