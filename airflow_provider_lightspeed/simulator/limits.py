"""The two rate limiters of the API: a leaky bucket and a one-second burst window. No I/O; time is an argument.

Rules: documentation page "Rate limiting" (2026-03-17). The bucket belongs to one pair of account and API client. The
first request that goes over the size is still served; while the level is not below the size, further ones are refused.
The burst limiter counts requests, whatever they cost, in fixed windows of one second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

#: Requests per second that are announced where no limit is enforced: clients then have no reason to wait.
NO_BURST_LIMIT: Final = 1_000_000


class LimitKind(StrEnum):
    """Value of the header ``X-LS-API-RateLimit-Type``."""

    BUCKET = "api-leaky-bucket"
    BURST = "api-burst-limiter"


def bucket_size(registers: int) -> float:
    """Return the bucket's size in drips: 90, and 10 for every register beyond the first."""
    return 90.0 + 10.0 * max(registers - 1, 0)


def drip_rate(registers: int) -> float:
    """Return the drips that leave the bucket per second: 1, and 0.5 for every register beyond the first."""
    return 1.0 + 0.5 * max(registers - 1, 0)


def burst_limit(size: float) -> int:
    """Return the requests allowed in one second. The documented sample is 20 beside a bucket of 90: two ninths."""
    return max(1, int(size * 2 / 9))


@dataclass(slots=True)
class LeakyBucket:
    """A bucket that drains continuously.

    :param size: drips; at this level requests are refused.
    :param drip: drips that leave per second.
    """

    size: float
    drip: float
    level: float = 0.0
    at: float = 0.0

    def drain(self, now: float) -> float:
        """Let out what has dripped since the last call and return the level at ``now`` (epoch seconds)."""
        elapsed = max(0.0, now - self.at)
        self.level = max(0.0, self.level - elapsed * self.drip)
        self.at = max(self.at, now)
        return self.level

    def admits(self, now: float) -> bool:
        """Tell whether a request at ``now`` is served, whatever it costs."""
        return self.drain(now) < self.size

    def charge(self, cost: float, now: float) -> float:
        """Add the cost of a served request and return the new level."""
        self.drain(now)
        self.level += cost
        return self.level

    def retry_after(self) -> int:
        """Return whole seconds until the level is back at the size, at least 1 (documented: 92.57/90 gives 3)."""
        return max(1, math.ceil((self.level - self.size) / self.drip))


@dataclass(slots=True)
class BurstWindow:
    """Counts requests in fixed windows of one second.

    :param limit: requests served per window.
    """

    limit: int
    window: int = -1
    count: int = 0

    def admits(self, now: float) -> bool:
        """Count a request at ``now`` and tell whether it is served. Refused ones are not counted."""
        window = math.floor(now)
        if window > self.window:
            self.window, self.count = window, 0
        if self.count >= self.limit:
            return False
        self.count += 1
        return True


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the limiters say about one request.

    ``refused`` is None for a request that is served; ``retry_after`` is in seconds.
    """

    level: float
    size: float
    drip: float
    burst: int
    burst_limit: int
    refused: LimitKind | None = None
    retry_after: int | None = None


@dataclass(slots=True)
class RateLimits:
    """All buckets of the simulator.

    :param registers: registers of the account; they set size and drip.
    :param enforced: False serves everything, leaves the levels at zero and announces a burst limit that nobody reaches.
    """

    registers: int
    enforced: bool = True
    _shape: tuple[float, float] | None = None
    _buckets: dict[tuple[str, str], tuple[LeakyBucket, BurstWindow]] = field(default_factory=dict)

    def check(self, account_id: str, client_id: str, now: float) -> Verdict:
        """Count a request that arrives at ``now`` and tell whether it is served. It is not charged yet."""
        bucket, burst = self._of(account_id, client_id)
        if not self.enforced:
            return self._verdict(bucket, burst)
        if not burst.admits(now):
            bucket.drain(now)
            return self._verdict(bucket, burst, LimitKind.BURST, 1)
        if not bucket.admits(now):
            return self._verdict(bucket, burst, LimitKind.BUCKET, bucket.retry_after())
        return self._verdict(bucket, burst)

    def charge(self, account_id: str, client_id: str, cost: float, now: float) -> Verdict:
        """Add ``cost`` drips to the bucket; also the way to play another program of the same client."""
        bucket, burst = self._of(account_id, client_id)
        if self.enforced:
            bucket.charge(cost, now)
        return self._verdict(bucket, burst)

    def level(self, account_id: str, client_id: str, now: float) -> float:
        """Return the bucket's level at ``now``."""
        return self._of(account_id, client_id)[0].drain(now)

    def resize(self, shape: tuple[float, float] | None) -> None:
        """Give all buckets a size and a drip rate; None for those of the registers."""
        self._shape = shape
        size, drip = self._measures()
        for bucket, burst in self._buckets.values():
            bucket.size, bucket.drip, burst.limit = size, drip, self._burst_limit(size)

    def _measures(self) -> tuple[float, float]:
        return self._shape or (bucket_size(self.registers), drip_rate(self.registers))

    def _burst_limit(self, size: float) -> int:
        return burst_limit(size) if self.enforced else NO_BURST_LIMIT

    def _of(self, account_id: str, client_id: str) -> tuple[LeakyBucket, BurstWindow]:
        key = (account_id, client_id)
        if key not in self._buckets:
            size, drip = self._measures()
            self._buckets[key] = LeakyBucket(size, drip), BurstWindow(self._burst_limit(size))
        return self._buckets[key]

    @staticmethod
    def _verdict(
        bucket: LeakyBucket, burst: BurstWindow, refused: LimitKind | None = None, retry_after: int | None = None
    ) -> Verdict:
        return Verdict(bucket.level, bucket.size, bucket.drip, burst.count, burst.limit, refused, retry_after)
