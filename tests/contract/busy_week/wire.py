"""What a worker process reaches: the simulator's application without a network, and storage it can die in front of."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import orjson
from requests.structures import CaseInsensitiveDict

from airflow_provider_lightspeed.auth.source import StaticTokenSource
from airflow_provider_lightspeed.auth.token import Token
from airflow_provider_lightspeed.client.transport import Reply, Request
from airflow_provider_lightspeed.exceptions import Unreachable
from airflow_provider_lightspeed.extract.storage import Storage
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.app import create_app
from airflow_provider_lightspeed.simulator.clients import OAuthRules
from airflow_provider_lightspeed.simulator.clock import SimulatorClock
from airflow_provider_lightspeed.simulator.state import Settings, Simulator
from airflow_provider_lightspeed.simulator.world import World
from tests.contract.busy_week.timeline import Process, Timeline

HOST = "http://simulator"
Message = MutableMapping[str, Any]


class Server:
    """The simulator's application, on the timeline's clock, called in the caller's thread."""

    def __init__(self, world: World, timeline: Timeline) -> None:
        settings = Settings(limits=False, oauth=OAuthRules(token_life=1e9, refresh_life=1e9))
        self._app = create_app(world, settings, SimulatorClock(lambda: timeline.now))
        simulator: Simulator = self._app.state.simulator
        pair = simulator.oauth.issue(simulator.client.client_id, world.account_id, settings.scope, timeline.now)
        issued = timeline.moment()
        token = Token(
            Secret(pair.access_token), Secret(""), issued, issued + timedelta(days=1000), account_id=world.account_id
        )
        self.tokens = StaticTokenSource(token)

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

    def __init__(self, server: Server, process: Process, weather: Weather, rng: random.Random) -> None:
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
