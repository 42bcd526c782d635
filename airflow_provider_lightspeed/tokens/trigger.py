"""The task's side of the refresh trigger: finds this deployment's API server and asks it to refresh.

What is sent is the SHA-256 of the token that the task holds; what comes back is an outcome and a generation number.
The token itself is then read through Airflow's own connection call, with all of Airflow's access rules.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, urlsplit

import requests
from requests.adapters import HTTPAdapter

from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.compat import conf
from airflow_provider_lightspeed.exceptions import LightspeedRetriableError, Unreachable
from airflow_provider_lightspeed.tokens.answer import Answer
from airflow_provider_lightspeed.tokens.asker import Asker

log = logging.getLogger(__name__)

#: What the plugin answers at ``/lightspeed/marker``, so that no other server is mistaken for it.
MARKER: Final = {"service": "airflow-provider-lightspeed", "protocol": 1}
TIMEOUT: Final = (5.0, 30.0)


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
    yield "the default", "http://localhost:8080"


class _TrustingAdapter(HTTPAdapter):
    """Trusts the usual authorities and, as Airflow's own client does, the certificate in ``[api] ssl_cert``."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        import ssl

        import certifi

        context = ssl.create_default_context(cafile=certifi.where())
        certificate = conf.get("api", "ssl_cert", fallback="")
        if certificate:
            context.load_verify_locations(certificate)
        super().init_poolmanager(*args, **kwargs, ssl_context=context)


class RefreshTrigger:
    """Asks the plugin for a refresh. One per hook; the API server's address is found once.

    :param session: a ``requests.Session`` for tests; by default one of its own.
    """

    def __init__(self, session: Any = None) -> None:
        self._session = session or requests.Session()
        self._session.trust_env = session is not None  # no proxy of the outside world for our own API server
        self._session.mount("https://", _TrustingAdapter())
        self._base: str | None = None

    def ask(self, conn_id: str, claim: Claim, asker: Asker) -> Answer:
        """Send one request for a refresh and return the plugin's answer.

        :raises Unreachable: no API server with this provider's plugin was found.
        """
        base = self._base or self._find()
        url = f"{base}/lightspeed/refresh/{quote(conn_id, safe='')}"
        try:
            body = {**dataclasses.asdict(claim), "by": dataclasses.asdict(asker)}
            reply = self._session.post(url, json=body, timeout=TIMEOUT, allow_redirects=False)
        except requests.RequestException as error:
            self._base = None
            return Answer(Outcome.UNAVAILABLE, retry_after=2.0, detail=f"{url}: {type(error).__name__}")
        self._base = base
        return _read(reply.status_code, reply.content)

    def _find(self) -> str:
        tried = []
        for setting, base in candidates():
            try:
                reply = self._session.get(f"{base}/lightspeed/marker", timeout=TIMEOUT, allow_redirects=False)
                if reply.status_code == 200 and reply.json() == MARKER:
                    log.debug("refresh trigger found at %s (%s)", base, setting)
                    return base
                found = f"status {reply.status_code}, not this provider's plugin"
            except (requests.RequestException, ValueError) as error:
                found = type(error).__name__
            tried.append(f"{setting} {base}: {found}")
        msg = (
            "no API server with the Lightspeed plugin was found, so the access token cannot be refreshed. Tried "
            + "; ".join(tried)
            + ". Set [lightspeed] api_server_url to an API server that runs all apps (one started with "
            "`--apps execution` mounts no plugins) and has this package installed."
        )
        raise Unreachable(msg)


def _read(status: int, body: bytes) -> Answer:
    import json

    try:
        data = json.loads(body)
        return Answer(
            Outcome(data["outcome"]),
            int(data.get("generation", 0)),
            float(data.get("expires_in", 0.0)),
            float(data.get("retry_after", 0.0)),
        )
    except (ValueError, KeyError, TypeError) as error:
        if status >= 500 or status == 429:
            return Answer(Outcome.UNAVAILABLE, retry_after=2.0, detail=f"the API server answered {status}")
        msg = f"the API server's refresh trigger answered {status} with something else than its protocol"
        raise LightspeedRetriableError(msg, status=status) from error
