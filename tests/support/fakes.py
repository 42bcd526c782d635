"""Stand-ins for what a unit test must control: time, and what the other side answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from airflow_provider_lightspeed.auth.source import StaticTokenSource
from airflow_provider_lightspeed.auth.token import Token
from airflow_provider_lightspeed.client.pacing import Ticket
from airflow_provider_lightspeed.client.rate_limit import RateLimiter
from airflow_provider_lightspeed.client.rest import RSeriesClient
from airflow_provider_lightspeed.client.transport import Reply, Request, RequestsTransport, Transport
from airflow_provider_lightspeed.clock import SystemClock
from airflow_provider_lightspeed.exceptions import Unreachable
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


class FakeClock:
    """Time that passes only when somebody sleeps."""

    def __init__(self, now: datetime = NOON) -> None:
        self.start = now
        self.passed = 0.0
        self.sleeps: list[float] = []

    def now(self) -> datetime:
        """Return the time."""
        return self.start + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        """Return the seconds slept."""
        return self.passed

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.sleeps.append(seconds)
        self.passed += max(0.0, seconds)


class HurriedClock(SystemClock):
    """The machine's clock, but its seconds are short: time-outs of many seconds end at once, over real sockets."""

    def monotonic(self) -> float:
        """Return the seconds that have passed, each of them the twentieth part of one."""
        return super().monotonic() * 20


def make_token(name: str = "1", *, issued: datetime = NOON, life: float = 3600.0, account: str | None = "7") -> Token:
    """Return a token pair whose texts end in ``name``."""
    expires = issued + timedelta(seconds=life)
    return Token(Secret(f"access-{name}"), Secret(f"refresh-{name}"), issued, expires, account_id=account)


class UnlimitedRate(RateLimiter):
    """Makes nobody wait."""

    def acquire(self, cost: float) -> Ticket:
        """Count a request as sent, at once."""
        with self._lock:
            return self._pacer.book(cost, self._clock.monotonic())


def client_of(simulator: SimulatorProcess, transport: Transport | None = None, **options: Any) -> RSeriesClient:
    """Return a client of a simulator started with ``grant=True``; its token outlives the test.

    Where the simulator enforces no limits, the client does not start slowly either.
    """
    now = datetime.now(UTC)
    if not simulator.is_limited:
        options.setdefault("limiter", UnlimitedRate(SystemClock()))
    access = Secret(simulator.facts["access_token"])
    token = Token(access, Secret(""), now, now + timedelta(days=1), account_id=simulator.account_id)
    return RSeriesClient(
        host=simulator.base_url,
        tokens=StaticTokenSource(token),
        transport=transport or RequestsTransport(),
        **options,
    )


Scripted = Reply | Unreachable | Callable[[Request], Reply]


class ScriptedTransport:
    """Answers from a list, in order; remembers what was sent."""

    def __init__(self, *replies: Scripted) -> None:
        self.replies = list(replies)
        self.requests: list[Request] = []

    def send(self, request: Request) -> Reply:
        """Return or raise the next answer."""
        self.requests.append(request)
        answer = self.replies.pop(0)
        if isinstance(answer, Unreachable):
            raise answer
        return answer(request) if callable(answer) else answer


def json_reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a reply with a JSON body."""
    return Reply(status, dict(headers or {}), orjson.dumps(body))
