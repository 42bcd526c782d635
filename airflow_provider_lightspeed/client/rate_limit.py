"""Makes callers wait so that no request is refused: the pacer's arithmetic with a clock and a lock around it."""

from __future__ import annotations

import random as _random
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

from airflow_provider_lightspeed.client.pacing import Pacer, Ticket
from airflow_provider_lightspeed.client.rate_headers import RateHeaders
from airflow_provider_lightspeed.clock import Clock, SystemClock

#: The first request waits up to so many seconds: tasks that start together should not send together.
SPREAD: Final = 0.2
#: Longest single sleep; after it the wait is worked out anew, as replies to other threads may have changed it.
LONGEST_SLEEP: Final = 1.0
#: Seconds too short to wait for: adding them to a clock's reading may not change it.
_INSTANT: Final = 1e-6


@dataclass(frozen=True, slots=True)
class BucketSnapshot:
    """The estimate of the bucket at one moment, for logs and progress.

    :param strangers: units per second that others pour in, as far as it shows.
    """

    level: float
    size: float
    drip: float
    strangers: float = 0.0


class RateLimiter:
    """One per account and client in a process (:func:`limiter_for`); safe among threads.

    :param random: returns a number in [0, 1).
    """

    def __init__(self, clock: Clock, *, random: Callable[[], float] = _random.random) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._pacer = Pacer(clock.monotonic(), delay=SPREAD * random(), patience=0.8 + 0.6 * random())
        self.waited = 0.0
        self._here = threading.local()

    @property
    def waited_here(self) -> float:
        """Seconds that the calling thread has waited."""
        return float(getattr(self._here, "seconds", 0.0))

    def acquire(self, cost: float) -> Ticket:
        """Wait until a request of ``cost`` may be sent, and count it as sent."""
        while True:
            with self._lock:
                now = self._clock.monotonic()
                wait = min(self._pacer.wait(cost, now), LONGEST_SLEEP)
                if wait <= _INSTANT:
                    return self._pacer.book(cost, now)
                self.waited += wait
            self._here.seconds = self.waited_here + wait
            self._clock.sleep(wait)

    def observe(self, ticket: Ticket, headers: RateHeaders) -> None:
        """Correct the estimate by a reply."""
        with self._lock:
            self._pacer.observe(ticket, headers, self._clock.monotonic())

    def lost(self, ticket: Ticket) -> None:
        """Note that no reply came; its cost stays in the estimate, because the server may have counted it."""
        with self._lock:
            self._pacer.lost(ticket)

    def refused(self, ticket: Ticket, headers: RateHeaders, retry_after: float) -> None:
        """Learn from a 429: nothing is sent for ``retry_after`` seconds, at least one."""
        with self._lock:
            self._pacer.refused(ticket, headers, retry_after, self._clock.monotonic())

    def snapshot(self) -> BucketSnapshot:
        """Return the present estimate."""
        with self._lock:
            bucket = self._pacer.bucket(self._clock.monotonic())
            return BucketSnapshot(bucket.level, bucket.size, bucket.drip, self._pacer.strangers)

    def burst(self) -> float:
        """Return the requests per second that all senders together should not exceed."""
        with self._lock:
            return self._pacer.burst


_limiters: dict[Hashable, RateLimiter] = {}
_limiters_lock = threading.Lock()


def limiter_for(key: Hashable) -> RateLimiter:
    """Return the process's limiter of one account and client, by any key that names them."""
    with _limiters_lock:
        return _limiters.setdefault(key, RateLimiter(SystemClock()))
