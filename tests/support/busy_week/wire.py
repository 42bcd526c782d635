"""What a worker process reaches: the simulator's application without a network, and storage it can die in front of."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit

import orjson
from requests.structures import CaseInsensitiveDict

from airflow_provider_lightspeed.auth.source import StaticTokenSource
from airflow_provider_lightspeed.auth.token import Token
from airflow_provider_lightspeed.client.transport import Reply, Request, RequestsTransport
from airflow_provider_lightspeed.exceptions import Unreachable
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.app import create_app
from airflow_provider_lightspeed.simulator.clients import OAuthRules
from airflow_provider_lightspeed.simulator.clock import SimulatorClock
from airflow_provider_lightspeed.simulator.live import Live
from airflow_provider_lightspeed.simulator.state import Settings, Simulator
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.simulator.world import World
from tests.support.busy_week.timeline import Process, Timeline

Message = MutableMapping[str, Any]


class Simulation(Protocol):
    """A simulated account on a timeline's clock, in this process or another."""

    host: str
    tokens: StaticTokenSource

    def answer(self, request: Request) -> Reply:
        """Answer a request at once."""

    def mutate(self, action: str, **arguments: Any) -> Any:
        """Change the shop."""

    def changes(self, after: int = 0) -> Sequence[Mapping[str, Any]]:
        """Return what has been changed."""

    def rows(self, name: str) -> Sequence[Any]:
        """Return the records of a resource as they show."""


class InProcess:
    """The simulator's application, called in the caller's thread, without a network.

    :param live: behaviours of the live API that are switched on.
    :param sizes: of the shop: ``sales``, ``items``, ``customers``.
    """

    host = "http://simulator"

    def __init__(self, timeline: Timeline, seed: int, *, live: str = "none", **sizes: int) -> None:
        self._timeline = timeline
        self._world = World.generate(seed, days=20, registers=2, now=timeline.moment(), account_id="12345", **sizes)
        settings = Settings(limits=False, oauth=OAuthRules(token_life=1e9, refresh_life=1e9), live=Live.parse(live))
        self._app = create_app(self._world, settings, SimulatorClock(lambda: timeline.now))
        simulator: Simulator = self._app.state.simulator
        pair = simulator.oauth.issue(simulator.client.client_id, "12345", settings.scope, timeline.now)
        self.tokens = _lasting(pair.access_token, "12345", timeline)

    def answer(self, request: Request) -> Reply:
        """Answer a request at once."""
        url = urlsplit(request.url)
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": request.method, "scheme": "http",
            "path": url.path, "raw_path": url.path.encode(), "query_string": url.query.encode(), "root_path": "",
            "headers": [(b"host", url.netloc.encode()), *((k.lower().encode(), v.encode()) for k, v in request.headers.items())],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        _finish(self._app(scope, receive, send))
        headers = CaseInsensitiveDict({name.decode(): value.decode() for name, value in sent[0]["headers"]})
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return Reply(sent[0]["status"], headers, body)

    def mutate(self, action: str, **arguments: Any) -> Any:
        """Change the shop."""
        return self._world.mutate(action, **arguments)

    def changes(self, after: int = 0) -> Sequence[Mapping[str, Any]]:
        """Return what has been changed."""
        return self._world.changes(after)

    def rows(self, name: str) -> Sequence[Any]:
        """Return the records of a resource as they show."""
        return self._world.rows(name, now=self._timeline.moment())


class OverHttp:
    """A simulator in a process of its own, whose clock stands and is moved along with the timeline's.

    :param process: started with ``now`` and ``grant=True``.
    """

    def __init__(self, timeline: Timeline, process: SimulatorProcess) -> None:
        self._timeline = timeline
        self._process = process
        self._transport = RequestsTransport()
        self.host = process.base_url
        self.tokens = _lasting(process.facts["access_token"], process.account_id, timeline)

    def _catch_up(self) -> None:
        now = self._process.advance(0)
        if self._timeline.now > now:
            self._process.advance(self._timeline.now - now)

    def answer(self, request: Request) -> Reply:
        """Answer a request at once."""
        self._catch_up()
        return self._transport.send(request)

    def mutate(self, action: str, **arguments: Any) -> Any:
        """Change the shop."""
        self._catch_up()
        return self._process.mutate(action, **arguments)

    def changes(self, after: int = 0) -> Sequence[Mapping[str, Any]]:
        """Return what has been changed."""
        return self._process.changes(after)

    def rows(self, name: str) -> Sequence[Any]:
        """Return the records of a resource as they show."""
        self._catch_up()
        return self._process.truth(name)


def _lasting(access_token: str, account: str, timeline: Timeline) -> StaticTokenSource:
    """Return a token that outlives the week."""
    issued = timeline.moment()
    expires = issued + timedelta(days=1000)
    return StaticTokenSource(Token(Secret(access_token), Secret(""), issued, expires, account_id=account))


def _finish(work: Awaitable[None]) -> None:
    """Run a coroutine that never really waits, without an event loop."""
    try:
        work.__await__().__next__()
    except StopIteration:
        return
    raise RuntimeError("the application waits for something")


@dataclass(frozen=True, slots=True)
class Weather:
    """What the network and the server are like for one process.

    :param latency: mean seconds of a request.
    :param hiccups: share of requests that fail once.
    :param breaks_at: the request from which on all fail; ``None``: never.
    """

    latency: float = 0.4
    hiccups: float = 0.02
    breaks_at: int | None = None


class Wire:
    """A transport: time passes on the way there and back."""

    def __init__(self, server: Simulation, process: Process, weather: Weather, rng: random.Random) -> None:
        self._server = server
        self._process = process
        self._weather = weather
        self._rng = rng
        self._sent = 0

    def send(self, request: Request) -> Reply:
        """Send, and wait for the reply, which may be lost or late."""
        self._sent += 1
        weather, rng = self._weather, self._rng
        is_broken = weather.breaks_at is not None and self._sent >= weather.breaks_at
        fails = is_broken or rng.random() < weather.hiccups
        self._process.wait(weather.latency * rng.uniform(0.2, 1.0))
        if fails and rng.random() < 0.5:
            return Reply(503, {}, orjson.dumps({"httpCode": "503"}))
        reply = self._server.answer(request)
        self._process.wait(weather.latency * rng.uniform(0.2, 1.0))
        if fails:
            raise Unreachable("no complete reply", host="simulator", kind="ConnectionError")
        return reply


class WornStorage(Storage):
    """Storage of one process: before every step time passes, others act, and the process may die.

    :param seconds: that a step takes.
    """

    def __init__(self, storage: Storage, process: Process, *, seconds: float = 0.01) -> None:
        super().__init__(storage._fs, storage.root)
        self._step: Callable[[], None] = lambda: process.wait(seconds)

    def open(self, path: str, mode: str) -> Any:
        """Take a step, then open."""
        self._step()
        return super().open(path, mode)

    def read(self, name: str) -> bytes | None:
        """Take a step, then read."""
        self._step()
        return super().read(name)

    def write(self, name: str, content: bytes) -> None:
        """Take a step, then write."""
        self._step()
        super().write(name, content)

    def create(self, name: str, content: bytes) -> bool:
        """Take a step, then create."""
        self._step()
        return super().create(name, content)

    def move(self, source: str, target: str) -> None:
        """Take a step, then move."""
        self._step()
        super().move(source, target)

    def names(self, folder: str) -> list[str]:
        """Take a step, then list."""
        self._step()
        return super().names(folder)

    def age(self, name: str, now: datetime) -> timedelta:
        """Files are as old as the machine says, which knows nothing of virtual time: none is stale."""
        return timedelta()

    def remove(self, name: str) -> None:
        """Take a step, then delete."""
        self._step()
        super().remove(name)
