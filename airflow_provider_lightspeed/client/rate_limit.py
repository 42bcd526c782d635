"""The account's two limiters, modelled here so that requests wait on this side of the wire.

A leaky bucket per account and API client holds request costs and drains steadily; beside it, one-second windows count
requests (docs: introduction/rate-limiting). The arithmetic is pure; :class:`RateLimiter` adds a clock and a lock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from airflow_provider_lightspeed.clock import Clock

#: What the smallest account has: 90, draining 1 per second; the first reply says what this one has.
DEFAULT_SIZE: Final = 90.0
DEFAULT_DRIP: Final = 1.0
#: The burst limit of the documented sample; replies say what it is.
DEFAULT_BURST: Final = 20.0
#: The share of a burst window that this process uses: others may send in the same second.
BURST_SHARE: Final = 0.8
BURST_WINDOW: Final = 1.0
#: Seconds too short to wait for: adding them to a clock's reading may not change it.
_INSTANT: Final = 1e-6


@dataclass(frozen=True, slots=True)
class LeakyBucket:
    """A bucket's level at a moment.

    :param level: units in it at ``at``; may exceed ``size``, because the request that overflows is served.
    :param drip: units that leave per second.
    :param at: monotonic seconds.
    """

    level: float = 0.0
    size: float = DEFAULT_SIZE
    drip: float = DEFAULT_DRIP
    at: float = 0.0

    def drained(self, now: float) -> LeakyBucket:
        """Return the bucket at ``now``; time that runs backwards drains nothing."""
        passed = max(0.0, now - self.at)
        return replace(self, level=max(0.0, self.level - passed * self.drip), at=max(now, self.at))

    def after(self, cost: float, now: float) -> LeakyBucket:
        """Return the bucket once ``cost`` has been poured in at ``now``."""
        bucket = self.drained(now)
        return replace(bucket, level=bucket.level + cost)

    def wait_for(self, cost: float, now: float) -> float:
        """Return the seconds until ``cost`` fits below ``size``; a cost above ``size`` waits for an empty bucket."""
        over = self.drained(now).level + min(cost, self.size) - self.size
        return max(0.0, over / self.drip) if self.drip > 0 else (0.0 if over <= 0 else 1.0)


@dataclass(frozen=True, slots=True)
class RateHeaders:
    """What a reply says of the limiters; ``None`` for what it does not say."""

    level: float | None = None
    size: float | None = None
    drip: float | None = None
    cost: float | None = None
    burst_limit: float | None = None
    limiter: str | None = None

    @classmethod
    def parse(cls, headers: Mapping[str, str]) -> RateHeaders:
        """Read the ``X-LS-*`` headers; unreadable ones count as absent."""
        found = {name.lower(): value for name, value in headers.items() if name.lower().startswith("x-ls-")}
        level, size = _pair(found.get("x-ls-api-bucket-level"))
        _, burst_limit = _pair(found.get("x-ls-api-burst-level"))
        return cls(
            level=level,
            size=size,
            drip=_number(found.get("x-ls-api-drip-rate")),
            cost=_number(found.get("x-ls-api-request-cost")),
            burst_limit=burst_limit,
            limiter=found.get("x-ls-api-ratelimit-type"),
        )


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < 1e9 else None


def _pair(text: str | None) -> tuple[float | None, float | None]:
    level, _, size = (text or "").partition("/")
    return _number(level), _number(size)


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to send one request; handed back with its reply."""

    number: int
    cost: float


@dataclass(frozen=True, slots=True)
class BucketSnapshot:
    """The estimate of the bucket at one moment, for logs and progress."""

    level: float
    size: float
    drip: float


class RateLimiter:
    """Makes callers wait so that no request is refused. One per account and client in a process; safe among threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._bucket = LeakyBucket(at=clock.monotonic())
        self._burst = DEFAULT_BURST
        self._sent: deque[float] = deque()
        self._blocked_until = 0.0
        self._in_flight: dict[int, float] = {}
        self._tickets = 0
        self._newest_reply = 0
        self.waited = 0.0

    def acquire(self, cost: float) -> Ticket:
        """Wait until a request of ``cost`` may be sent, and count it as sent."""
        while True:
            with self._lock:
                now = self._clock.monotonic()
                wait = self._wait(cost, now)
                if wait <= _INSTANT:
                    return self._book(cost, now)
                self.waited += wait
            self._clock.sleep(wait)

    def _wait(self, cost: float, now: float) -> float:
        # Requests under way are in the estimate already. The reserve is for programs we do not see.
        reserve = max([cost, *self._in_flight.values()]) * len(self._in_flight)
        room = min(cost + reserve, self._bucket.size)
        while self._sent and self._sent[0] <= now - BURST_WINDOW:
            self._sent.popleft()
        allowed = max(1, int(self._burst * BURST_SHARE))
        burst = self._sent[-allowed] + BURST_WINDOW - now if len(self._sent) >= allowed else 0.0
        return max(self._blocked_until - now, self._bucket.wait_for(room, now), burst)

    def _book(self, cost: float, now: float) -> Ticket:
        self._tickets += 1
        ticket = Ticket(self._tickets, cost)
        self._bucket = self._bucket.after(cost, now)
        self._sent.append(now)
        self._in_flight[ticket.number] = cost
        return ticket

    def observe(self, ticket: Ticket, headers: RateHeaders) -> None:
        """Correct the estimate by a reply. Draining counts from receipt; an older reply never lowers the level."""
        with self._lock:
            self._in_flight.pop(ticket.number, None)
            bucket = self._bucket.drained(self._clock.monotonic())
            bucket = replace(bucket, size=headers.size or bucket.size, drip=headers.drip or bucket.drip)
            if headers.level is not None:
                alone = not self._in_flight and ticket.number >= self._newest_reply
                bucket = replace(bucket, level=headers.level if alone else max(headers.level, bucket.level))
            self._newest_reply = max(self._newest_reply, ticket.number)
            self._bucket = bucket
            self._burst = headers.burst_limit or self._burst

    def lost(self, ticket: Ticket) -> None:
        """Note that no reply came; its cost stays in the estimate, because the server may have counted it."""
        with self._lock:
            self._in_flight.pop(ticket.number, None)

    def refused(self, ticket: Ticket, headers: RateHeaders, retry_after: float) -> None:
        """Learn from a 429: nothing is sent for ``retry_after`` seconds, at least one."""
        self.observe(ticket, headers)
        with self._lock:
            now = self._clock.monotonic()
            self._blocked_until = max(self._blocked_until, now + max(BURST_WINDOW, retry_after))
            if headers.limiter != "api-burst-limiter":
                full = max(self._bucket.level, self._bucket.size)
                self._bucket = replace(self._bucket, level=full)

    def snapshot(self) -> BucketSnapshot:
        """Return the present estimate."""
        with self._lock:
            bucket = self._bucket.drained(self._clock.monotonic())
            return BucketSnapshot(bucket.level, bucket.size, bucket.drip)
