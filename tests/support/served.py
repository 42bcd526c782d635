"""A simulator over a world of one sale, on a clock that stands still: in this process, or served on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import requests
from starlette.testclient import TestClient

from airflow_provider_lightspeed.simulator.answer import Answer
from airflow_provider_lightspeed.simulator.app import create_app
from airflow_provider_lightspeed.simulator.caller import Caller
from airflow_provider_lightspeed.simulator.clock import SimulatorClock
from airflow_provider_lightspeed.simulator.live import Live
from airflow_provider_lightspeed.simulator.server import base_url, build_server, listen
from airflow_provider_lightspeed.simulator.state import Settings, Simulator

START = 1_800_000_000.0
ORIGIN = "http://127.0.0.1:8765"


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

    def behave(self, live: Live) -> None:
        """Behave as ever."""

    def query(self, path: str, params: Mapping[str, str], *, base_url: str, now: datetime, caller: Caller) -> Answer:
        """Return one sale."""
        self.asked.append((path, dict(params), base_url, now))
        body = {"@attributes": {"next": "", "previous": ""}, "Sale": {"saleID": "1", "total": "9.50"}}
        return Answer(self.status, json.dumps(body).encode(), self.cost, 1)

    def price(self, path: str, params: Mapping[str, str]) -> float:
        """Return the price of every request."""
        return self.cost

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


class Served:
    """A simulator and a client for it.

    :param send: sends a request (method, URL, and options of ``requests``) and follows no redirects.
    """

    def __init__(self, simulator: Simulator, world: FakeWorld, url: str, send: Callable[..., Any]) -> None:
        self.sim = simulator
        self.world = world
        self.url = url
        self._send = send

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Send a request; no redirects are followed."""
        return self._send(method, self.url + path, **arguments)

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """Call ``/_sim/{path}`` and return its JSON."""
        reply = self.call(method, f"/_sim/{path}", json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def grant(self, **options: str) -> dict[str, Any]:
        """Create a grant without the consent page."""
        created: dict[str, Any] = self.admin("POST", "grants", options)
        return created

    def get(self, access_token: str, path: str = "/API/V3/Account/12345/Sale.json", **query: str) -> Any:
        """Read from the API."""
        return self.call("GET", path, params=query, headers={"Authorization": f"Bearer {access_token}"})

    def token(self, **params: str) -> Any:
        """Post to the token endpoint with the client's credentials."""
        return self.call("POST", "/auth/oauth/token", json=self.credentials() | params)

    def credentials(self) -> dict[str, str]:
        """Return client ID and secret as the token endpoint wants them."""
        return {"client_id": self.sim.client.client_id, "client_secret": self.sim.client.secret}


def in_process(world: Any, settings: Settings | None = None) -> Served:
    """Return a simulator whose app is called without a server."""
    app = create_app(world, settings, SimulatorClock(lambda: START))
    client = TestClient(app, base_url=ORIGIN, follow_redirects=False)

    def send(method: str, url: str, *, data: Any = None, **options: Any) -> Any:
        body = {"content": data} if isinstance(data, (bytes, str)) else {"data": data}
        return client.request(method, url, **body, **options)

    return Served(app.state.simulator, world, ORIGIN, send)


@contextmanager
def on_loopback(world: FakeWorld, settings: Settings | None = None) -> Iterator[Served]:
    """Serve a simulator over real HTTP, in a thread."""
    app = create_app(world, settings, SimulatorClock(lambda: START))
    listener = listen("127.0.0.1", 0)
    ready = threading.Event()
    server = build_server(app, ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    assert ready.wait(10)
    with requests.Session() as http:
        http.trust_env = False
        send = partial(http.request, allow_redirects=False, timeout=10)
        yield Served(app.state.simulator, world, base_url(listener), send)
    server.should_exit = True
    thread.join(10)
