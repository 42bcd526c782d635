"""Around every answer of the plugin: headers, and the query that must not be logged."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders

from airflow_provider_lightspeed.redact import Secret

#: Where a moved query string is found in the ASGI scope; as a ``Secret``, because every frame holds the scope.
QUERY: Final = "lightspeed.query"

HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


def content_security_policy(form_target: str) -> str:
    """Return the policy of a page whose form ends, after redirects, at another origin.

    Browsers hold every hop to it: Lightspeed's own log-in, and the registered redirect URI of a merchant who need not be
    asked again. Both are https, and anywhere.
    """
    policy = HEADERS["content-security-policy"]
    parts = urlsplit(form_target)
    return policy.replace("form-action 'self'", f"form-action 'self' https: {parts.scheme}://{parts.netloc}")


class Shell:
    """ASGI middleware: adds the headers, and takes the OAuth ``code`` and ``state`` out of sight of access logs.

    Access loggers, Airflow's and the server's, read the query string from the scope once the answer goes out; the
    scope is one dictionary for all of them.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # On every path: no page reads a query but the callback, and what is mistyped as one is logged as well.
        scope[QUERY], scope["query_string"] = Secret(scope["query_string"].decode("ascii", "replace")), b""

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
