"""A simulator over a world of one sale, served for real on loopback, on a clock that stands still."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
import requests

from airflow_provider_lightspeed.simulator.app import create_app
from airflow_provider_lightspeed.simulator.clients import OAuthRules
from airflow_provider_lightspeed.simulator.clock import SimulatorClock
from airflow_provider_lightspeed.simulator.oauth import AuthorizationServer
from airflow_provider_lightspeed.simulator.server import base_url, build_server, listen
from airflow_provider_lightspeed.simulator.state import Settings, Simulator

START = 1_800_000_000.0


@dataclass(frozen=True, slots=True)
class FakeAnswer:
    """What the fake world says."""

    status: int
    body: bytes
    cost: float
    rows: int


@dataclass(slots=True)
class FakeWorld:
    """Answers every path with one sale and remembers what it was asked."""

    account_id: str = "12345"
    account_name: str = "Bikes & <Boards>"
    register_count: int = 1
    cost: float = 1.0
    status: int = 200
    asked: list[tuple[str, dict[str, str], str, datetime]] = field(default_factory=list)
    done: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def query(self, path: str, params: Mapping[str, str], *, base_url: str, now: datetime) -> FakeAnswer:
        """Return one sale."""
        self.asked.append((path, dict(params), base_url, now))
        body = {"@attributes": {"next": "", "previous": ""}, "Sale": {"saleID": "1", "total": "9.50"}}
        return FakeAnswer(self.status, json.dumps(body).encode(), self.cost, 1)

    def rows(self, name: str, *, now: datetime | None = None) -> list[dict[str, Any]]:
        """Return one row that names the resource."""
        return [{"resource": name}]

    def mutate(self, action: str, **arguments: Any) -> dict[str, Any]:
        """Remember the change."""
        self.done.append((action, arguments))
        return {"done": action}

    def changes(self, after: int = 0) -> list[dict[str, Any]]:
        """Return the changes that it remembers."""
        return [{"action": action} for action, _ in self.done[after:]]


class Running:
    """A served simulator and a client for it."""

    def __init__(self, simulator: Simulator, world: FakeWorld, url: str) -> None:
        self.sim = simulator
        self.world = world
        self.url = url
        self.http = requests.Session()
        self.http.trust_env = False

    def call(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """Send a request; no redirects are followed."""
        return self.http.request(method, self.url + path, allow_redirects=False, timeout=10, **arguments)

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """Call ``/_sim/{path}`` and return its JSON."""
        reply = self.call(method, f"/_sim/{path}", json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def grant(self, **options: str) -> dict[str, Any]:
        """Create a grant without the consent page."""
        created: dict[str, Any] = self.admin("POST", "grants", options)
        return created

    def get(self, access_token: str, path: str = "/API/V3/Account/12345/Sale.json", **query: str) -> requests.Response:
        """Read from the API."""
        return self.call("GET", path, params=query, headers={"Authorization": f"Bearer {access_token}"})

    def token(self, **params: str) -> requests.Response:
        """Post to the token endpoint with the client's credentials."""
        return self.call("POST", "/auth/oauth/token", json=self.credentials() | params)

    def credentials(self) -> dict[str, str]:
        """Return client ID and secret as the token endpoint wants them."""
        return {"client_id": self.sim.client.client_id, "client_secret": self.sim.client.secret}


@pytest.fixture
def serve() -> Iterator[Callable[..., Running]]:
    """Start simulators; all are stopped at the end of the test."""
    started: list[tuple[Any, threading.Thread, Running]] = []

    def start(settings: Settings | None = None, world: FakeWorld | None = None) -> Running:
        world = world or FakeWorld()
        app = create_app(world, settings, SimulatorClock(lambda: START))
        listener = listen("127.0.0.1", 0)
        ready = threading.Event()
        server = build_server(app, ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        assert ready.wait(10)
        running = Running(app.state.simulator, world, base_url(listener))
        started.append((server, thread, running))
        return running

    yield start
    for server, thread, running in started:
        running.http.close()
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def world() -> FakeWorld:
    """Return a world whose cost, status and registers a test may change before it is served."""
    return FakeWorld()


class CountingSigner:
    """Makes tokens that are not JWTs: rotation does not care."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return the next token."""
        return f"access-{next(self._numbers)}"


@pytest.fixture
def oauth() -> Callable[..., AuthorizationServer]:
    """Make an OAuth server with one client ``app`` whose secret is ``secret``."""

    def make(**rules: Any) -> AuthorizationServer:
        server = AuthorizationServer(OAuthRules(**rules), CountingSigner())
        server.register("app", "secret", "https://example.com/back?keep=1")
        return server

    return make
