"""The simulator as one ASGI application: API host and OAuth host on one origin, and ``/_sim`` for tests and demos."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_lightspeed.simulator.admin_routes import AdminRoutes
from airflow_provider_lightspeed.simulator.api_routes import ApiRoutes, target
from airflow_provider_lightspeed.simulator.audit import Entry
from airflow_provider_lightspeed.simulator.clock import SimulatorClock
from airflow_provider_lightspeed.simulator.faults import Action, Fault
from airflow_provider_lightspeed.simulator.oauth_routes import OAuthRoutes
from airflow_provider_lightspeed.simulator.replies import BrokenResponse, faulty_reply
from airflow_provider_lightspeed.simulator.state import Settings, Simulator, World

Handler = Callable[[Request, Fault | None], Awaitable[Response]]

_ANY: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_NEEDS_ANSWER: Final = {Action.SLOW, Action.IGNORE_FILTER, Action.TRUNCATE}


def create_app(world: World, settings: Settings | None = None, clock: SimulatorClock | None = None) -> Starlette:
    """Return the application; its :class:`~.state.Simulator` is ``app.state.simulator``.

    :param world: the data behind the API.
    :param settings: behaviour; default all as documented.
    :param clock: default the machine's time.
    """
    simulator = Simulator(world, settings or Settings(), clock or SimulatorClock())
    oauth, api = OAuthRoutes(simulator), ApiRoutes(simulator)
    table: list[tuple[str, str, Handler, list[str]]] = [
        ("/API/{rest:path}", "api", api.api, _ANY),
        ("/auth/oauth/token", "token", oauth.token, _ANY),
        ("/auth/oauth/authorize", "authorize", oauth.authorize, ["GET", "POST"]),
        ("/auth/oauth/revoke", "revoke", oauth.revoke, _ANY),
        ("/auth/oauth/introspect", "introspect", oauth.introspect, ["GET"]),
        ("/.well-known/jwks", "jwks", oauth.jwks, ["GET"]),
    ]
    routes = [
        Route(path, _with_faults(simulator, kind, handler), methods=methods) for path, kind, handler, methods in table
    ]
    app = Starlette(routes=[*routes, *AdminRoutes(simulator).routes()], exception_handlers={ClientDisconnect: _hung_up})
    app.state.simulator = simulator
    return app


async def _hung_up(request: Request, error: Exception) -> Response:  # noqa: ARG001 - the interface
    """A caller that was killed in the middle of its request gets no answer, and that is no error of ours."""
    return Response(status_code=499)


def _with_faults(simulator: Simulator, kind: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Let the fault plan have its say before, or after, a request is carried out."""

    async def endpoint(request: Request) -> Response:
        fault = simulator.faults.pick(request.method, target(request))
        if fault is None:
            return await handler(request, None)
        if fault.action is Action.SLOW:
            await asyncio.sleep(fault.seconds)
        now = simulator.clock.now()
        if fault.after or fault.action in _NEEDS_ANSWER:
            return faulty_reply(fault, await handler(request, fault), now)
        response = faulty_reply(fault, None, now)
        status = 0 if isinstance(response, BrokenResponse) else response.status_code
        path = target(request) if kind == "api" else request.url.path
        simulator.audit.add(Entry(now, kind, request.method, path, status, outcome="fault", fault=fault.action.value))
        return response

    return endpoint
