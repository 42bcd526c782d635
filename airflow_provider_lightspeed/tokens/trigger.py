"""The task's side of the refresh trigger: finds this deployment's API server and asks it to refresh.

What is sent is the SHA-256 of the token that the task holds; what comes back is an outcome and a generation number.
The token itself is then read through Airflow's own connection call, with all of Airflow's access rules.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, urlsplit

from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.client.transport import Reply, Request, RequestsTransport, Transport
from airflow_provider_lightspeed.compat import conf
from airflow_provider_lightspeed.exceptions import LightspeedRetriableError, Unreachable
from airflow_provider_lightspeed.redact import sealed
from airflow_provider_lightspeed.tokens.answer import Answer
from airflow_provider_lightspeed.tokens.asker import Asker

log = logging.getLogger(__name__)

#: What the plugin answers at ``/lightspeed/marker``, so that no other server is mistaken for it.
MARKER: Final = {"service": "airflow-provider-lightspeed", "protocol": 1}
DEFAULT: Final = "the default"
#: Seconds to wait for a connection, and for an answer: a refresh may take its own time-out before it is answered.
CONNECT_TIMEOUT: Final = 5.0
READ_TIMEOUT: Final = 30.0
#: Bytes; an answer has about a hundred.
LARGEST_ANSWER: Final = 64 * 1024
#: Seconds before the next request to an API server that fails.
RETRY_AFTER: Final = 2.0


def candidates() -> Iterator[tuple[str, str]]:
    """Yield where the API server may be, as (setting, base URL), best first."""
    own = conf.get("lightspeed", "api_server_url", fallback="")
    if own:
        yield "[lightspeed] api_server_url", own.rstrip("/")
        return
    base = conf.get("api", "base_url", fallback="")
    if base and "://" in base:
        yield "[api] base_url", base.rstrip("/")
    execution = conf.get("core", "execution_api_server_url", fallback="")
    if execution and "://" in execution:
        parts = urlsplit(execution)
        path = parts.path.rstrip("/").removesuffix("/execution")
        yield "[core] execution_api_server_url", f"{parts.scheme}://{parts.netloc}{path}"
    yield DEFAULT, "http://localhost:8080"


def _transport() -> Transport:
    """Return a transport to this deployment's own API server: without the outside world's proxies, as Airflow's client.

    It trusts the usual authorities and, as Airflow's own client does, the certificate in ``[api] ssl_cert``.
    """
    import ssl

    import certifi

    tls = ssl.create_default_context(cafile=certifi.where())
    certificate = conf.get("api", "ssl_cert", fallback="")
    if certificate:
        tls.load_verify_locations(certificate)
    return RequestsTransport(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        total_timeout=CONNECT_TIMEOUT + READ_TIMEOUT,
        max_bytes=LARGEST_ANSWER,
        tls=tls,
        use_environment=False,
    )


class RefreshTrigger:
    """Asks the plugin for a refresh. One per hook; the API server's address is found once.

    :param transport: sends the requests; default one of its own.
    """

    def __init__(self, transport: Transport | None = None) -> None:
        self._transport = transport or _transport()
        self._base: str | None = None
        #: The plugin has answered before; that it does not now is a fault, not a matter of configuration.
        self._was_found = False

    @sealed
    def ask(self, conn_id: str, claim: Claim, asker: Asker) -> Answer:
        """Send one request for a refresh and return the plugin's answer; ``UNAVAILABLE`` if there is none now.

        :raises Unreachable: no API server with this provider's plugin was found, and each that answered has none.
        """
        body = {**dataclasses.asdict(claim), "by": dataclasses.asdict(asker)}
        try:
            self._base = self._base or self._find()
            url = f"{self._base}/lightspeed/refresh/{quote(conn_id, safe='')}"
            answer = _read(self._transport.send(Request("POST", url, json=body)))
        except _Fault as fault:
            answer = Answer(Outcome.UNAVAILABLE, retry_after=fault.retry_after, detail=str(fault))
        except Unreachable as error:
            if self._base is None:  # not one server was found
                raise
            answer = Answer(Outcome.UNAVAILABLE, retry_after=RETRY_AFTER, detail=error.message)
        if answer.outcome is Outcome.UNAVAILABLE:
            self._base = None if answer.detail else self._base
        return answer

    def _find(self) -> str:
        """Return the base URL of the API server with the plugin.

        :raises _Fault: none now; one of those that are configured does not answer, or fails.
        :raises Unreachable: none, and none is to be expected.
        """
        tried, is_fault = [], self._was_found
        places = list(candidates())
        for setting, base in places:
            try:
                reply = self._transport.send(Request("GET", f"{base}/lightspeed/marker"))
            except Unreachable as error:
                found, is_away = error.fields.get("kind") or "no reply", True
            else:
                if _is_marker(reply):
                    log.debug("refresh trigger found at %s (%s)", base, setting)
                    self._was_found = True
                    return base
                found, is_away = f"status {reply.status}, not this provider's plugin", _is_fault(reply.status)
            tried.append(f"{setting} {base}: {found}")
            # That nobody listens at the default address says nothing where another one is configured.
            is_fault = is_fault or (is_away and (setting != DEFAULT or len(places) == 1))
        msg = (
            "no API server with the Lightspeed plugin was found, so the access token cannot be refreshed. Tried "
            + "; ".join(tried)
            + ". Set [lightspeed] api_server_url to an API server that runs all apps (one started with "
            "`--apps execution` mounts no plugins) and has this package installed."
        )
        raise _Fault(msg) if is_fault else Unreachable(msg)


class _Fault(Exception):
    """The API server does not answer, or answers with a fault."""

    def __init__(self, message: str, retry_after: float = RETRY_AFTER) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def _is_fault(status: int) -> bool:
    return status >= 500 or status == 429


def _is_marker(reply: Reply) -> bool:
    try:
        return reply.status == 200 and json.loads(reply.body) == MARKER
    except ValueError:
        return False


def _read(reply: Reply) -> Answer:
    """Return the plugin's answer.

    :raises _Fault: somebody else has answered: a proxy without its server, or an API server in trouble.
    :raises LightspeedRetriableError: the plugin speaks another release's protocol.
    """
    try:
        data = json.loads(reply.body)
        return Answer(
            Outcome(data["outcome"]),
            int(data.get("generation", 0)),
            float(data.get("expires_in", 0.0)),
            float(data.get("retry_after", 0.0)),
            str(data.get("detail", "")),
        )
    except (ValueError, KeyError, TypeError):
        pass
    if _is_fault(reply.status) or reply.status == 404:  # 404: of an ingress without a server behind it
        raise _Fault(f"the API server answered {reply.status}")
    msg = f"the API server's refresh trigger answered {reply.status} with something else than its protocol"
    raise LightspeedRetriableError(msg, status=reply.status)
