"""The one place that sends: an HTTP request in, a reply or ``Unreachable`` out. No retries, no redirects, no cookies."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import cookiejar_from_dict
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from airflow_provider_lightspeed import __version__
from airflow_provider_lightspeed.auth.flow import OAuthReply, OAuthRequest
from airflow_provider_lightspeed.exceptions import Unreachable

USER_AGENT: Final = f"airflow-provider-lightspeed/{__version__}"


@dataclass(frozen=True, slots=True)
class Request:
    """What to send. Headers and body may hold secrets, so they do not show.

    :param url: complete, with the encoded query.
    :param timeout: seconds to wait for the next byte; ``None``: the transport's own.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Any = field(default=None, repr=False)
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, read to its end.

    :param headers: names compared without case (the documentation itself spells them in three ways).
    :param elapsed: seconds from sending to the end of the headers.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    elapsed: float = 0.0


class Transport(Protocol):
    """Sends one request."""

    def send(self, request: Request) -> Reply:
        """Return the reply, whatever its status.

        :raises Unreachable: there was none, or it broke off.
        """


class _SilentHTTP(HTTPConnection):
    """``http.client`` prints headers and bodies when somebody turns its debugging on; ours hold secrets."""

    debuglevel = 0


class _SilentHTTPS(HTTPSConnection):
    debuglevel = 0


class _SilentAdapter(HTTPAdapter):
    """Connections that stay silent whatever ``http.client.HTTPConnection.debuglevel`` says."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _SilentHTTPS if pool.scheme == "https" else _SilentHTTP
        return pool


def _within(reply: requests.Response, seconds: float) -> bytes:
    """Read the body, but not for longer than this since the request was sent: a trickle would hold the caller's lock."""
    deadline = time.monotonic() + seconds - reply.elapsed.total_seconds()
    body = b""
    for chunk in reply.iter_content(None):
        body += chunk
        if time.monotonic() > deadline:
            reply.close()
            raise requests.Timeout
    return body


class RequestsTransport:
    """``requests`` with what a token-bearing client needs: time-outs, no redirects, no cookies, no netrc.

    :param connect_timeout: seconds to wait for a connection.
    :param read_timeout: seconds to wait for the next byte.
    :param total_timeout: seconds for headers and body together; ``None`` trusts that a reply which moves also ends.
    :param connections: how many connections are kept open for parallel use.
    """

    def __init__(
        self,
        *,
        connect_timeout: float = 10.0,
        read_timeout: float = 60.0,
        total_timeout: float | None = None,
        connections: int = 16,
    ) -> None:
        self._timeout = (connect_timeout, read_timeout)
        self._total = total_timeout
        self._session = requests.Session()
        adapter = _SilentAdapter(pool_maxsize=connections, max_retries=0)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        # Proxies and certificates are taken from the environment once per host, not per request; ~/.netrc, which would
        # put its own Authorization header over ours, never.
        self._session.trust_env = False
        self._environments: dict[tuple[str, str], dict[str, Any]] = {}
        self._session.headers.update({"User-Agent": USER_AGENT})

    def send(self, request: Request) -> Reply:
        """Send and read the whole reply.

        :raises Unreachable: names host and kind of fault, never the URL's query.
        """
        self._session.cookies = cookiejar_from_dict({})  # type: ignore[no-untyped-call]
        try:
            reply = self._session.request(
                request.method,
                request.url,
                headers=dict(request.headers),
                json=request.json,
                timeout=(self._timeout[0], request.timeout or self._timeout[1]),
                allow_redirects=False,
                stream=True,
                **self._environment(request.url),
            )
            # At one go: `reply.content` puts a page together from dozens of chunks.
            body = reply.raw.read(decode_content=True) if self._total is None else _within(reply, self._total)
        except (requests.RequestException, HTTPError) as error:
            where = urlsplit(request.url)
            msg = f"no complete reply from {where.scheme}://{where.netloc} ({type(error).__name__}): check host and network"
            # The cause's text repeats the URL; its type says enough.
            raise Unreachable(msg, host=where.netloc, kind=type(error).__name__) from None
        headers: CaseInsensitiveDict[str] = reply.headers
        return Reply(reply.status_code, headers, body, reply.elapsed.total_seconds())

    def _environment(self, url: str) -> dict[str, Any]:
        """Return proxies and certificates that the environment names for a host (``HTTPS_PROXY``, ``NO_PROXY``, ...)."""
        scheme, host, *_ = urlsplit(url)
        if (scheme, host) not in self._environments:
            found = requests.Session().merge_environment_settings(f"{scheme}://{host}/", {}, None, None, None)
            self._environments[scheme, host] = {name: found[name] for name in ("proxies", "verify", "cert")}
        return self._environments[scheme, host]

    def close(self) -> None:
        """Close the kept connections."""
        self._session.close()


def oauth_exchange(transport: Transport) -> Callable[[OAuthRequest], OAuthReply]:
    """Return a function that sends OAuth requests, as JSON, through ``transport``."""

    def exchange(request: OAuthRequest) -> OAuthReply:
        reply = transport.send(
            Request(request.method, request.url, {"Accept": "application/json"}, json=dict(request.json))
        )
        return OAuthReply(reply.status, reply.headers, reply.body)

    return exchange
