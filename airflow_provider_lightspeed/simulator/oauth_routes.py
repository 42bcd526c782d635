"""The OAuth endpoints over HTTP: authorize, token, revoke, introspect, JWKS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from airflow_provider_lightspeed.simulator.audit import Entry, fingerprint
from airflow_provider_lightspeed.simulator.clients import Consent
from airflow_provider_lightspeed.simulator.consent_page import consent_page
from airflow_provider_lightspeed.simulator.errors import OAuthError
from airflow_provider_lightspeed.simulator.faults import Fault
from airflow_provider_lightspeed.simulator.replies import HTML, json_reply, oauth_error, reply
from airflow_provider_lightspeed.simulator.state import Simulator


async def body_params(request: Request) -> dict[str, str]:
    """Return the parameters of a JSON, multipart or form-urlencoded body.

    The first two are documented; the third is what a public client sends to the real server.

    :raises OAuthError: 400 ``invalid_request`` on any other body.
    """
    kind = request.headers.get("content-type", "")
    raw = await request.body()
    try:
        return _parse(kind, raw)
    except (ValueError, LookupError) as error:
        raise OAuthError.invalid_request("Check the body and the `Content-Type` header") from error


def _parse(kind: str, raw: bytes) -> dict[str, str]:
    main = kind.partition(";")[0].strip().lower()
    if main == "application/json":
        data = json.loads(raw)
        if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
            raise ValueError(kind)
        return data
    if main == "application/x-www-form-urlencoded":
        return dict(parse_qsl(raw.decode(), keep_blank_values=True))
    if main == "multipart/form-data":
        message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + raw)
        if not message.is_multipart():
            raise ValueError(kind)
        parts = {part.get_param("name", header="content-disposition"): part for part in message.iter_parts()}
        return {str(name): bytes(part.get_payload(decode=True)).decode() for name, part in parts.items()}
    raise ValueError(kind)


class OAuthRoutes:
    """Handlers of the OAuth host."""

    def __init__(self, simulator: Simulator) -> None:
        self._sim = simulator

    async def token(self, request: Request, fault: Fault | None) -> Response:
        """Answer ``/auth/oauth/token``."""
        now = self._sim.clock.now()
        params: Mapping[str, str] = {}
        try:
            _only_post(request)
            params = await body_params(request)
            data = self._sim.oauth.token(params, now)
        except OAuthError as error:
            self._record(request, "token", now, fault, error, token=params.get("refresh_token"))
            return oauth_error(error, now)
        self._record(request, "token", now, fault, token=params.get("refresh_token"), issued=data.get("refresh_token"))
        return json_reply(200, data, now, {"Cache-Control": "no-store"})

    async def revoke(self, request: Request, fault: Fault | None) -> Response:
        """Answer ``/auth/oauth/revoke``."""
        now = self._sim.clock.now()
        params: Mapping[str, str] = {}
        try:
            _only_post(request)
            params = await body_params(request)
            self._sim.oauth.revoke(params, now)
        except OAuthError as error:
            self._record(request, "revoke", now, fault, error, token=params.get("refresh_token"))
            return oauth_error(error, now)
        self._record(request, "revoke", now, fault, token=params.get("refresh_token"))
        return json_reply(200, {}, now)

    async def introspect(self, request: Request, fault: Fault | None) -> Response:
        """Answer ``/auth/oauth/introspect``."""
        now = self._sim.clock.now()
        token = bearer(request)
        try:
            claims = self._sim.oauth.introspect(token or "", now)
        except OAuthError as error:
            self._record(request, "introspect", now, fault, error, token=token)
            return oauth_error(error, now)
        self._record(request, "introspect", now, fault, token=token)
        return json_reply(200, claims, now)

    async def jwks(self, request: Request, fault: Fault | None) -> Response:
        """Answer ``/.well-known/jwks``."""
        now = self._sim.clock.now()
        self._record(request, "jwks", now, fault)
        return json_reply(200, self._sim.key.jwks(), now)

    async def authorize(self, request: Request, fault: Fault | None) -> Response:
        """Answer ``/auth/oauth/authorize``: the consent page on GET, the decision on POST.

        Without a person at hand, ``sim_decision=allow|deny`` in the query or the setting ``auto_approve`` decides;
        ``sim_account`` grants another account than the world's.
        """
        now = self._sim.clock.now()
        try:
            consent = self._sim.oauth.consent(request.query_params)
            form = await body_params(request) if request.method == "POST" else {}
        except OAuthError as error:
            self._record(request, "authorize", now, fault, error)
            return oauth_error(error, now)
        wanted = form.get("decision", request.query_params.get("sim_decision"))
        if wanted is None and self._sim.settings.auto_approve:
            wanted = "allow"
        if wanted not in {"allow", "deny"}:
            self._record(request, "authorize", now, fault)
            page = consent_page(self._sim.world.account_name, consent.scope)
            return reply(200, page.encode(), HTML, now, {"Cache-Control": "no-store"})
        account = request.query_params.get("sim_account", self._sim.world.account_id)
        return self._decide(request, consent, wanted, account, now, fault)

    def _decide(
        self, request: Request, consent: Consent, wanted: str, account: str, now: float, fault: Fault | None
    ) -> Response:
        oauth = self._sim.oauth
        target = oauth.approve(consent, account, "1", now) if wanted == "allow" else oauth.deny(consent)
        status = 303 if request.method == "POST" else 302
        self._record(request, "authorize", now, fault, status=status, outcome=wanted)
        return reply(status, b"", HTML, now, {"Location": target, "Cache-Control": "no-store"})

    def _record(
        self,
        request: Request,
        kind: str,
        now: float,
        fault: Fault | None,
        error: OAuthError | None = None,
        *,
        status: int = 200,
        outcome: str = "ok",
        token: str | None = None,
        issued: str | None = None,
    ) -> None:
        self._sim.audit.add(
            Entry(
                at=now,
                kind=kind,
                method=request.method,
                path=request.url.path,
                status=status if error is None else error.status,
                token=fingerprint(token),
                issued=fingerprint(issued),
                outcome=outcome if error is None else error.error,
                fault=fault.action.value if fault else None,
            )
        )


def _only_post(request: Request) -> None:
    if request.method != "POST":
        raise OAuthError.invalid_request("Use POST", 405)


def bearer(request: Request) -> str | None:
    """Return the token of ``Authorization: Bearer <token>``, or None."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
