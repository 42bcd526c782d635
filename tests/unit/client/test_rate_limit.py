"""The promise of the limiter: with right headers, no request is refused."""

from __future__ import annotations

import threading
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.client.bucket import LeakyBucket
from airflow_provider_lightspeed.client.pacing import FIRST_BURST
from airflow_provider_lightspeed.client.rate_headers import RateHeaders
from airflow_provider_lightspeed.client.rate_limit import RateLimiter
from tests.support.fakes import FakeClock

costs = st.floats(0.5, 30)


class Server:
    """The documented limiters, exact: the oracle that the client's limiter must never annoy."""

    def __init__(self, clock: FakeClock, size: float, drip: float, burst: int, level: float) -> None:
        self.clock, self.burst = clock, burst
        self.bucket = LeakyBucket(level, size, drip, 0)
        self.window: tuple[int, int] = (0, 0)
        self.refusals = 0

    def answer(self, cost: float) -> dict[str, str]:
        now = self.clock.monotonic()
        second, count = self.window
        count = count + 1 if int(now) == second else 1
        self.window = (int(now), count)
        bucket = self.bucket.drained(now)
        if bucket.level >= bucket.size or count > self.burst:
            self.refusals += 1
        else:
            bucket = replace(bucket, level=bucket.level + cost)
        self.bucket = bucket
        return {
            "X-LS-API-Bucket-Level": f"{bucket.level}/{bucket.size}",
            "X-LS-API-Drip-Rate": str(bucket.drip),
            "X-LS-API-Burst-Level": f"{count}/{self.burst}",
        }


@given(
    st.lists(costs, min_size=1, max_size=60),
    st.floats(60, 300),
    st.floats(0.5, 5),
    st.integers(2, 40),
    st.floats(0, 0.9),
)
def test_requests_in_a_row_are_never_refused(
    wanted: list[float], size: float, drip: float, burst: int, filled: float
) -> None:
    """Whatever the account's size, drip and burst limit are, and however full a neighbour left the bucket."""
    clock = FakeClock()
    server = Server(clock, size, drip, burst, level=min(size * filled, 59))
    limiter = RateLimiter(clock)
    limiter.observe(limiter.acquire(1), RateHeaders.parse(server.answer(1)))
    for cost in wanted:
        ticket = limiter.acquire(cost)
        limiter.observe(ticket, RateHeaders.parse(server.answer(cost)))
    assert server.refusals == 0


def test_full_speed_is_kept_while_the_bucket_has_room() -> None:
    """Waiting begins when it must, not before: the burst share is the only brake."""
    clock = FakeClock()
    limiter = RateLimiter(clock, random=lambda: 0.0)
    for _ in range(int(FIRST_BURST)):
        limiter.observe(limiter.acquire(1), RateHeaders(level=1, size=900, drip=10, burst_limit=20))
    assert clock.sleeps == []


def test_older_reply_never_lowers_the_level() -> None:
    """Replies of parallel requests overtake each other."""
    limiter = RateLimiter(FakeClock())
    limiter.observe(limiter.acquire(1), RateHeaders(level=1, size=90, drip=1))
    first, second = limiter.acquire(10), limiter.acquire(10)
    limiter.observe(second, RateHeaders(level=60, size=90, drip=1))
    limiter.observe(first, RateHeaders(level=10, size=90, drip=1))
    assert limiter.snapshot().level == 60


def test_lost_request_keeps_its_cost() -> None:
    """No reply came, but the server may have counted it."""
    limiter = RateLimiter(FakeClock())
    limiter.lost(limiter.acquire(10))
    assert limiter.snapshot().level == 10


def test_refusal_stops_everybody_for_as_long_as_the_server_says() -> None:
    """At least a second; a full bucket is taken as full, a burst is not."""
    clock = FakeClock()
    limiter = RateLimiter(clock)
    limiter.refused(limiter.acquire(1), RateHeaders(limiter="api-burst-limiter"), retry_after=0)
    limiter.acquire(1)
    assert clock.passed >= 1
    limiter.refused(limiter.acquire(1), RateHeaders(level=92.57, size=90, drip=1), retry_after=3)
    before = clock.passed
    limiter.acquire(1)
    assert clock.passed - before >= 3


def test_threads_book_each_cost_once() -> None:
    """The estimate is the sum of what all threads sent."""
    limiter = RateLimiter(FakeClock())
    threads = [threading.Thread(target=lambda: limiter.acquire(2)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert limiter.snapshot().level + limiter._clock.monotonic() >= 32
