"""``/_sim/...``: what tests and demos do to the simulator. Nothing here exists in the real API.

=========================  ============================================================================================
``GET health``             account, client ID and time: it is up
``GET audit``              requests and counters; ``?kind=api`` filters, ``?counters=1`` leaves the requests out
``DELETE audit``           start counting anew
``GET|POST|DELETE faults`` list, add (one rule or a list, see :class:`~.faults.Fault`), drop all
``GET|POST live``          the switches that are on; ``{"live": "all,-A12"}`` replaces them, see :class:`~.live.Live`
``POST clock``             ``{"advance": seconds}``
``GET|POST grants``        list with live token fingerprints; create ``{"scope", "account_id", "employee_id"}``
``POST grants/revoke``     ``{"grant_id"}``, or all
``POST clients``           ``{"regenerate_secret": true}``, ``{"redirect_uri": ...}``, or a new ``client_id``
``POST bucket``            ``{"add": drips}``: another program of the same client has been busy
``GET truth/{resource}``   all rows of the world that show by now, in canonical form
``POST mutate``            ``{"action": name, ...}``: change the world, see :class:`~.deeds.Deeds`
``GET changes``            what was changed so far, whole rows and when they show; ``?after=7`` since the seventh change
=========================  ============================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_lightspeed.simulator.audit import fingerprint
from airflow_provider_lightspeed.simulator.errors import OAuthError
from airflow_provider_lightspeed.simulator.faults import Fault
from airflow_provider_lightspeed.simulator.live import Live
from airflow_provider_lightspeed.simulator.rotation import Grant, Pair
from airflow_provider_lightspeed.simulator.scopes import parse_scope
from airflow_provider_lightspeed.simulator.state import Simulator


class AdminRoutes:
    """Handlers of the admin paths. Each takes the request and its JSON body and returns plain data."""

    def __init__(self, simulator: Simulator) -> None:
        self._sim = simulator

    def routes(self) -> list[Route]:
        """Return all admin routes."""
        table: list[tuple[str, str, Callable[[Request, Any], Any]]] = [
            ("GET", "health", self.health),
            ("GET", "audit", self.audit),
            ("DELETE", "audit", self.clear_audit),
            ("GET", "faults", self.list_faults),
            ("POST", "faults", self.add_faults),
            ("DELETE", "faults", self.clear_faults),
            ("GET", "live", self.show_live),
            ("POST", "live", self.change_live),
            ("POST", "clock", self.advance),
            ("GET", "grants", self.list_grants),
            ("POST", "grants", self.add_grant),
            ("POST", "grants/revoke", self.revoke_grants),
            ("POST", "clients", self.change_client),
            ("POST", "bucket", self.fill_bucket),
            ("GET", "truth/{resource}", self.truth),
            ("POST", "mutate", self.mutate),
            ("GET", "changes", self.changes),
        ]
        return [Route(f"/_sim/{path}", _endpoint(handler), methods=[method]) for method, path, handler in table]

    def health(self, request: Request, body: Any) -> Any:
        """Tell that the simulator is up."""
        sim = self._sim
        return {
            "status": "ok",
            "account_id": sim.world.account_id,
            "client_id": sim.client.client_id,
            "now": sim.clock.now(),
        }

    def audit(self, request: Request, body: Any) -> Any:
        """Return what happened so far."""
        query = request.query_params
        report = self._sim.audit.report(kind=query.get("kind"), counters_only=query.get("counters") == "1")
        report["counters"] |= self._sim.oauth.counts
        return report

    def clear_audit(self, request: Request, body: Any) -> Any:
        """Start counting anew."""
        self._sim.audit.clear()
        self._sim.oauth.counts.clear()
        return {}

    def list_faults(self, request: Request, body: Any) -> Any:
        """Return the rules in force with their hits."""
        return self._sim.faults.report()

    def add_faults(self, request: Request, body: Any) -> Any:
        """Put rules in force."""
        rules = body if isinstance(body, list) else [body]
        self._sim.faults.add([Fault.parse(rule) for rule in rules])
        return self._sim.faults.report()

    def clear_faults(self, request: Request, body: Any) -> Any:
        """Drop all rules."""
        self._sim.faults.clear()
        return []

    def show_live(self, request: Request, body: Any) -> Any:
        """Return the switches that are on, with their values."""
        return dict(self._sim.live.values)

    def change_live(self, request: Request, body: Any) -> Any:
        """Replace the switches that are on."""
        self._sim.behave(Live.parse(body["live"]))
        return dict(self._sim.live.values)

    def advance(self, request: Request, body: Any) -> Any:
        """Move the clock forward."""
        return {"now": self._sim.clock.advance(float(body["advance"]))}

    def list_grants(self, request: Request, body: Any) -> Any:
        """Return every grant with the fingerprints of its live tokens."""
        now = self._sim.clock.now()
        return [self._describe(grant, now) for grant in self._sim.oauth.grants.values()]

    def _describe(self, grant: Grant, now: float) -> dict[str, Any]:
        pairs = _pairs(grant)
        oldest = now - self._sim.oauth.rules.refresh_life
        return {
            "grant_id": grant.grant_id,
            "account_id": grant.account_id,
            "client_id": grant.client_id,
            "scope": " ".join(grant.scope),
            "revoked": grant.revoked,
            "pairs": len(pairs),
            "live_refresh_tokens": [
                fingerprint(pair.refresh_token) for pair in pairs if not pair.refresh_dead and pair.last_active > oldest
            ],
            "live_access_tokens": [
                fingerprint(pair.access_token) for pair in pairs if not pair.access_dead and now < pair.expires_at
            ],
        }

    def add_grant(self, request: Request, body: Any) -> Any:
        """Create a grant without the consent page and return its tokens."""
        sim = self._sim
        body = body or {}
        scope = parse_scope(body["scope"]) if "scope" in body else sim.settings.scope
        account = str(body.get("account_id", sim.world.account_id))
        pair = sim.oauth.issue(
            sim.client.client_id, account, scope, sim.clock.now(), employee_id=str(body.get("employee_id", "1"))
        )
        return {
            "grant_id": pair.grant.grant_id,
            "account_id": account,
            "access_token": pair.access_token,
            "refresh_token": pair.refresh_token,
            "expires_in": sim.oauth.rules.token_life,
            "scope": " ".join(scope),
        }

    def revoke_grants(self, request: Request, body: Any) -> Any:
        """End one grant or all, as a merchant can in the settings of the account."""
        grants = self._sim.oauth.grants
        chosen = [grants[body["grant_id"]]] if body and "grant_id" in body else list(grants.values())
        for grant in chosen:
            grant.revoke()
        return {"revoked": len(chosen)}

    def change_client(self, request: Request, body: Any) -> Any:
        """Register or change a client and return it."""
        oauth = self._sim.oauth
        client_id = body.get("client_id", self._sim.client.client_id)
        known = oauth.clients.get(client_id, self._sim.client)
        client = oauth.register(
            client_id, body.get("client_secret", known.secret), body.get("redirect_uri", known.redirect_uri)
        )
        if client_id == self._sim.client.client_id:
            self._sim.client = client
        if body.get("regenerate_secret"):
            oauth.regenerate_secret(client_id)
        return {"client_id": client_id, "client_secret": client.secret, "redirect_uri": client.redirect_uri}

    def fill_bucket(self, request: Request, body: Any) -> Any:
        """Add drips to the bucket as a neighbour would and return its level."""
        sim = self._sim
        account, client = sim.world.account_id, sim.client.client_id
        verdict = sim.limits.charge(account, client, float(body.get("add", 0)), sim.clock.now())
        return {"level": verdict.level, "size": verdict.size, "drip": verdict.drip}

    def truth(self, request: Request, body: Any) -> Any:
        """Return all rows of a resource that show by now."""
        return self._sim.world.rows(request.path_params["resource"], now=self._now())

    def mutate(self, request: Request, body: Any) -> Any:
        """Change the world; what is stamped with no time of its own is stamped with the clock's."""
        arguments = {"at": self._now().isoformat()} | body
        return self._sim.world.mutate(str(arguments.pop("action")), **arguments)

    def changes(self, request: Request, body: Any) -> Any:
        """Return what was changed so far, or since a change."""
        return self._sim.world.changes(int(request.query_params.get("after", "0")))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._sim.clock.now(), UTC)


def _endpoint(handler: Callable[[Request, Any], Any]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        try:
            data = handler(request, json.loads(raw) if raw else {})
        except (OAuthError, ValueError, TypeError, LookupError) as error:
            return Response(orjson.dumps({"error": repr(error)}), 400, media_type="application/json")
        return Response(orjson.dumps(data, default=str), media_type="application/json")

    return endpoint


def _pairs(grant: Grant) -> list[Pair]:
    """Return all pairs of a grant, oldest first on every branch."""
    found = [] if grant.root is None else [grant.root]
    for pair in found:
        found.extend(pair.children)
    return found
