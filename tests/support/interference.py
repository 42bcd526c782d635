"""What happens to a read from outside: time that passes at once, and deeds between one reply and the next."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import orjson

from airflow_provider_lightspeed.client.transport import Reply, Request, RequestsTransport, Transport
from airflow_provider_lightspeed.exceptions import Unreachable
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess

Deed = Callable[[list[dict[str, Any]]], None]


class SharedTime:
    """A clock whose sleep moves the simulator's clock and itself by as much, and takes no time."""

    def __init__(self, simulator: SimulatorProcess) -> None:
        self._simulator = simulator
        self._lock = threading.Lock()
        self.slept = 0.0

    def now(self) -> datetime:
        """Return the machine's time and what was slept."""
        return datetime.now(UTC) + timedelta(seconds=self.slept)

    def monotonic(self) -> float:
        """Return the machine's seconds and what was slept."""
        return time.monotonic() + self.slept

    def sleep(self, seconds: float) -> None:
        """Let time pass, for the server first: whoever reads this clock is never ahead of it."""
        if seconds > 0:
            self._simulator.advance(seconds)
            with self._lock:
                self.slept += seconds


class Interloper:
    """Passes requests on and does something after the n-th reply with records of a list, before the reader gets to see it.

    :param name: the list, such as ``Sale``.
    :param deeds: what to do, by the number of the reply from 1; each gets the records of that reply.
    """

    def __init__(self, name: str, deeds: Mapping[int, Deed], transport: Transport | None = None) -> None:
        self._name = name
        self.deeds = dict(deeds)
        self._transport = transport or RequestsTransport()
        self._lock = threading.Lock()
        self._replies = 0
        self.statuses: list[int] = []

    def send(self, request: Request) -> Reply:
        """Send, then act."""
        try:
            reply = self._transport.send(request)
        except Unreachable:
            self._note(0)
            raise
        self._note(reply.status)
        if urlsplit(request.url).path.endswith(f"/{self._name}.json") and (records := _records(reply, self._name)):
            with self._lock:
                self._replies += 1
                deed = self.deeds.pop(self._replies, None)
                if deed:
                    deed(records)
        return reply

    def _note(self, status: int) -> None:
        with self._lock:
            self.statuses.append(status)


def every(count: int, deed: Deed) -> dict[int, Deed]:
    """Return the deed for each of the first replies."""
    return dict.fromkeys(range(1, count + 1), deed)


def _records(reply: Reply, name: str) -> list[dict[str, Any]]:
    try:
        found: Any = orjson.loads(reply.body).get(name, [])
    except (orjson.JSONDecodeError, AttributeError):
        return []
    return found if isinstance(found, list) else [found]


class Rewriter:
    """Passes requests on and changes the records of a list's replies: what the API might send one day.

    :param path: regular expression of the list's path.
    :param envelope: the key of its records.
    :param change: returns another record.
    """

    def __init__(self, path: str, envelope: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._path = re.compile(rf"/{path}\.json$")
        self._envelope = envelope
        self._change = change
        self._transport = RequestsTransport()

    def send(self, request: Request) -> Reply:
        """Send, then change."""
        reply = self._transport.send(request)
        if not self._path.search(urlsplit(request.url).path) or reply.status != 200:
            return reply
        body = orjson.loads(reply.body)
        inner = body.get(self._envelope)
        if inner:
            many = inner if isinstance(inner, list) else [inner]
            changed = [self._change(record) for record in many]
            body[self._envelope] = changed if isinstance(inner, list) else changed[0]
        return replace(reply, body=orjson.dumps(body))
