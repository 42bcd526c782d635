"""``/API/...`` over HTTP: token, rate limits, then the world's answer with the documented headers."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.responses import Response

from airflow_provider_lightspeed.simulator.answer import Answer
from airflow_provider_lightspeed.simulator.audit import Entry, fingerprint
from airflow_provider_lightspeed.simulator.caller import Caller
from airflow_provider_lightspeed.simulator.errors import OAuthError
from airflow_provider_lightspeed.simulator.faults import Action, Fault
from airflow_provider_lightspeed.simulator.limits import LimitKind
from airflow_provider_lightspeed.simulator.oauth_routes import bearer
from airflow_provider_lightspeed.simulator.replies import (
    HTML,
    JSON,
    XML,
    api_error_body,
    json_reply,
    limit_headers,
    oauth_error,
    reply,
    to_xml,
)
from airflow_provider_lightspeed.simulator.rotation import ACCESS_REVOKED, Grant
from airflow_provider_lightspeed.simulator.state import Simulator

_ACCOUNT = re.compile(r"/Account/([^/.]+)")
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_NOT_FILTERS = frozenset(
    {"limit", "sort", "after", "before", "count", "archived", "load_relations", "pretty_print", "startDate", "endDate"}
)
_REFUSALS = {
    LimitKind.BUCKET: "Rate limit exceeded. Please wait for the bucket to drain.",
    LimitKind.BURST: "API burst rate limit exceeded. Please slow down.",
}


class ApiRoutes:
    """Handler of the API host."""

    def __init__(self, simulator: Simulator) -> None:
        self._sim = simulator

    async def api(self, request: Request, fault: Fault | None) -> Response:
        """Answer any path below ``/API/``. Work is done on arrival, the latency is waited for afterwards."""
        self._sim.in_flight += 1
        try:
            response, seconds = self._answer(request, fault)
            if (wait := self._sim.settings.latency + seconds) > 0:
                await asyncio.sleep(wait)
            return response
        finally:
            self._sim.in_flight -= 1

    def _answer(self, request: Request, fault: Fault | None) -> tuple[Response, float]:
        """Return the response, and the seconds that it takes beyond the latency."""
        now = self._sim.clock.now()
        token = bearer(request)
        try:
            if token is None:
                raise OAuthError.access_denied('Missing "Authorization" header')
            grant = self._sim.oauth.authenticate(token, now)
        except OAuthError as error:
            self._record(request, now, fault, error.status, token, outcome=error.error)
            return self._refuse_token(error, now), 0.0
        verdict = self._sim.limits.check(grant.account_id, grant.client_id, now)
        if verdict.refused is not None:
            self._record(request, now, fault, 429, token, level=verdict.level, outcome=verdict.refused.value)
            price = self._sim.world.price(request.url.path, _params(request.query_params, fault))
            headers = self._headers(grant) | limit_headers(verdict, price)
            return reply(429, api_error_body(429, _REFUSALS[verdict.refused]), HTML, now, headers), 0.0
        answer = self._ask(request, grant, fault, now)
        verdict = self._sim.limits.charge(grant.account_id, grant.client_id, answer.cost, now)
        self._record(request, now, fault, answer.status, token, cost=answer.cost, level=verdict.level, rows=answer.rows)
        body, content_type = answer.body, JSON
        if not _wants_json(request):
            body, content_type = to_xml(body), XML
        elif answer.status >= 400:
            content_type = HTML  # recorded: errors come as JSON under this type
        headers = self._headers(grant) | limit_headers(verdict, answer.cost)
        return reply(answer.status, body, content_type, now, headers), answer.seconds

    def _refuse_token(self, error: OAuthError, now: float) -> Response:
        """Return the answer to a token that is not good; A1 has three other forms for a revoked one."""
        form = self._sim.live.values.get("A1")
        if form is None or error.hint != ACCESS_REVOKED:
            return oauth_error(error, now)
        status = int(form[:3])
        if form.endswith("oauth"):
            return json_reply(status, error.body(), now)
        return reply(status, api_error_body(status, ACCESS_REVOKED, error_class=None), JSON, now)

    def _ask(self, request: Request, grant: Grant, fault: Fault | None, now: float) -> Answer:
        """Return the world's answer, or a refusal that needs no world."""
        path = request.url.path
        if request.method != "GET":
            return Answer(405, api_error_body(405, "The simulator answers reads only."), 1.0, 0)
        account = _ACCOUNT.search(path)
        if account and account[1] != grant.account_id:
            message = f"Object of type 'Account' not found with primary ID '{account[1]}'."
            return Answer(404, api_error_body(404, message), 1.0, 0)
        self._sim.reads += 1
        every = self._sim.live.number("A12")
        if every and self._sim.reads % every == 0:
            return Answer(400, api_error_body(400, "Please try again later."), 1.0, 0)
        params = _params(request.query_params, fault)
        if not _is_well_formed(request.url.query):
            return Answer(400, api_error_body(400, "Malformed query string."), 1.0, 0)
        base_url = f"{request.url.scheme}://{request.url.netloc}"
        caller = Caller(grant.scope, grant.employee_id)
        moment = datetime.fromtimestamp(now, UTC)
        return self._sim.world.query(path, params, base_url=base_url, now=moment, caller=caller)

    def _headers(self, grant: Grant) -> dict[str, str]:
        return {
            "X-LS-Acct-Id": grant.account_id,
            "X-LS-Oauth-Client-Id": grant.client_id,
            "Cf-Ray": f"{secrets.token_hex(8)}-SIM",
        }

    def _record(
        self,
        request: Request,
        now: float,
        fault: Fault | None,
        status: int,
        token: str | None,
        *,
        cost: float = 0.0,
        level: float | None = None,
        rows: int = 0,
        outcome: str = "ok",
    ) -> None:
        self._sim.audit.add(
            Entry(
                at=now,
                kind="api",
                method=request.method,
                path=target(request),
                status=status,
                cost=cost,
                level=level,
                rows=rows,
                token=fingerprint(token),
                outcome=outcome,
                fault=fault.action.value if fault else None,
                in_flight=self._sim.in_flight,
            )
        )


def target(request: Request) -> str:
    """Return path and query of a request as they came."""
    query = request.url.query
    return f"{request.url.path}?{query}" if query else request.url.path


def _params(query: Mapping[str, str], fault: Fault | None) -> dict[str, str]:
    """Return the query, without the filters that a fault makes the server overlook; ``archived`` too, if the fault names it."""
    if fault is None or fault.action is not Action.IGNORE_FILTER:
        return dict(query)
    return {
        name: value
        for name, value in query.items()
        if name not in fault.fields and (fault.fields or name in _NOT_FILTERS)
    }


def _is_well_formed(query: str) -> bool:
    """Tell whether every percent escape is one, and all of them are UTF-8."""
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        return False
    return _BAD_ESCAPE.search(query) is None


def _wants_json(request: Request) -> bool:
    """Tell the format: XML unless asked otherwise, and the header wins over the suffix (page "Getting started")."""
    accept = request.headers.get("accept", "")
    if "application/json" in accept or "xml" in accept:
        return "application/json" in accept
    return request.url.path.endswith(".json")
