"""The one place that sends: an HTTP request in, a reply or ``Unreachable`` out. No retries, no redirects, no cookies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

import requests
from requests.cookies import cookiejar_from_dict
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError

from airflow_provider_lightspeed import __version__
from airflow_provider_lightspeed.auth.flow import OAuthReply, OAuthRequest
from airflow_provider_lightspeed.client.bounds import ENCODINGS, BoundedAdapter, Bounds
from airflow_provider_lightspeed.clock import Clock, SystemClock
from airflow_provider_lightspeed.exceptions import Unreachable
from airflow_provider_lightspeed.redact import sealed

if TYPE_CHECKING:
    import ssl

USER_AGENT: Final = f"airflow-provider-lightspeed/{__version__}"
MEBIBYTE: Final = 1024 * 1024


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


class RequestsTransport:
    """``requests`` with what a token-bearing client needs: bounds, no redirects, no cookies, no netrc.

    :param connect_timeout: seconds to wait for a connection to one address.
    :param read_timeout: seconds to wait for the next byte.
    :param total_timeout: seconds for the whole exchange, from name resolution to the body's last byte.
    :param max_bytes: of headers and body together, and of the unpacked body.
    :param connections: how many connections are kept open for parallel use.
    :param tls: the context of TLS connections; ``None``: the usual authorities, or what the environment names.
    :param use_environment: take proxies and certificates from the environment (``HTTPS_PROXY``, ``NO_PROXY``, ...).
    """

    def __init__(
        self,
        *,
        connect_timeout: float = 10.0,
        read_timeout: float = 60.0,
        total_timeout: float = 900.0,
        max_bytes: int = 256 * MEBIBYTE,
        connections: int = 16,
        tls: ssl.SSLContext | None = None,
        use_environment: bool = True,
        clock: Clock | None = None,
    ) -> None:
        self._timeout = (connect_timeout, read_timeout)
        self._total = total_timeout
        self._max_bytes = max_bytes
        self._clock = clock or SystemClock()
        self._session = requests.Session()
        adapter = BoundedAdapter(pool_maxsize=connections, max_retries=0, tls=tls)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        # Proxies and certificates are taken from the environment once per host, not per request; ~/.netrc, which would
        # put its own Authorization header over ours, never.
        self._session.trust_env = False
        self._use_environment = use_environment
        self._environments: dict[tuple[str, str], dict[str, Any]] = {}
        self._session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": ", ".join(ENCODINGS)})

    @sealed
    def send(self, request: Request) -> Reply:
        """Send and read the whole reply.

        :raises Unreachable: names host and kind of fault, never the URL's query.
        """
        bounds = Bounds(self._clock, self._total, self._max_bytes)
        with bounds.applied():
            try:
                return self._exchange(request, bounds)
            except (requests.RequestException, HTTPError, OSError) as error:
                kind = type(error).__name__
        # Raised out here, so that the libraries' error is not its context: that repeats the URL.
        where = urlsplit(request.url)
        reason = bounds.reason or kind
        msg = f"no complete reply from {where.scheme}://{where.netloc} ({reason}): check host and network"
        raise Unreachable(msg, host=where.netloc, kind=kind)

    def _exchange(self, request: Request, bounds: Bounds) -> Reply:
        self._session.cookies = cookiejar_from_dict({})  # type: ignore[no-untyped-call]
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
        try:
            body = bounds.read(reply.raw)
        finally:
            reply.close()
        headers: CaseInsensitiveDict[str] = reply.headers
        return Reply(reply.status_code, headers, body, reply.elapsed.total_seconds())

    def _environment(self, url: str) -> dict[str, Any]:
        """Return proxies and certificates that the environment names for a host."""
        if not self._use_environment:
            return {}
        scheme, host, *_ = urlsplit(url)
        if (scheme, host) not in self._environments:
            found = requests.Session().merge_environment_settings(f"{scheme}://{host}/", {}, None, None, None)
            self._environments[scheme, host] = {name: found[name] for name in ("proxies", "verify", "cert")}
        return self._environments[scheme, host]

    def close(self) -> None:
        """Close the kept connections."""
        self._session.close()


def oauth_transport(seconds: float, *, clock: Clock | None = None) -> RequestsTransport:
    """Return a transport for requests to the authorization server: it holds a lock and a thread meanwhile.

    :param seconds: for an exchange in all. An answer has about a kilobyte; a mebibyte is taken.
    """
    return RequestsTransport(
        connect_timeout=seconds / 3,
        read_timeout=seconds * 0.6,
        total_timeout=seconds,
        max_bytes=MEBIBYTE,
        clock=clock,
    )


def oauth_exchange(transport: Transport) -> Callable[[OAuthRequest], OAuthReply]:
    """Return a function that sends OAuth requests, as JSON, through ``transport``."""

    def exchange(request: OAuthRequest) -> OAuthReply:
        reply = transport.send(
            Request(request.method, request.url, {"Accept": "application/json"}, json=dict(request.json))
        )
        return OAuthReply(reply.status, reply.headers, reply.body)

    return exchange
