"""The leaky bucket and the burst window against the documented numbers and a slow reference model."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_lightspeed.simulator.limits import (
    BurstWindow,
    LeakyBucket,
    LimitKind,
    RateLimits,
    bucket_size,
    burst_limit,
    drip_rate,
)

# Sixteenths of seconds and drips are exact in floats, so the model and the bucket must agree exactly.
ticks = st.integers(0, 16 * 40).map(lambda number: number / 16)
costs = st.integers(0, 16 * 60).map(lambda number: number / 16)


@pytest.mark.parametrize(("registers", "size", "drip", "burst"), [(1, 90, 1, 20), (2, 100, 1.5, 22), (5, 130, 3, 28)])
def test_registers_set_size_drip_and_burst(registers: int, size: float, drip: float, burst: int) -> None:
    """90 + 10 and 1/s + 0.5/s per register beyond the first; the burst sample is 20 beside 90."""
    assert (bucket_size(registers), drip_rate(registers), burst_limit(size)) == (size, drip, burst)


def test_request_that_overflows_is_served_and_the_next_is_not() -> None:
    """The level at arrival decides, not the cost."""
    bucket = LeakyBucket(90, 1, level=89.5)
    assert bucket.admits(0.0)
    assert bucket.charge(10, 0.0) == 99.5
    assert not bucket.admits(0.0)
    assert bucket.retry_after() == 10


def test_full_bucket_refuses_at_exactly_its_size() -> None:
    """Served only while the level is below the size."""
    assert not LeakyBucket(90, 1, level=90).admits(0.0)


def test_retry_after_matches_the_documented_sample() -> None:
    """92.57/90 at 1 drip per second answers Retry-After: 3."""
    assert LeakyBucket(90, 1, level=92.57).retry_after() == 3


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.lists(st.tuples(ticks, costs), max_size=40))
def test_bucket_agrees_with_a_tick_by_tick_model(registers: int, steps: list[tuple[float, float]]) -> None:
    """However requests are spaced and priced, the level equals that of a model that drips sixteenth by sixteenth."""
    size, drip = bucket_size(registers), drip_rate(registers)
    bucket = LeakyBucket(size, drip)
    model, now = Fraction(0), Fraction(0)
    for wait, cost in steps:
        for _ in range(int(wait * 16)):
            model = max(Fraction(0), model - Fraction(drip) / 16)
        now += Fraction(wait)
        served = bucket.admits(float(now))
        assert served == (model < size)
        if served:
            model += Fraction(cost)
            bucket.charge(cost, float(now))
        assert bucket.level == model


def test_clock_that_runs_backwards_drips_nothing() -> None:
    """Time before the last look neither drains nor fills."""
    bucket = LeakyBucket(90, 1, level=50, at=100.0)
    assert bucket.drain(90.0) == 50
    assert bucket.drain(101.0) == 49


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.lists(st.integers(0, 24).map(lambda number: number / 8), max_size=60))
def test_burst_window_serves_the_first_of_every_second(limit: int, waits: list[float]) -> None:
    """In a fixed window of one second exactly the first ``limit`` requests are served."""
    window, now = BurstWindow(limit), 0.0
    arrivals: dict[int, int] = {}
    for wait in waits:
        now += wait
        arrivals[int(now)] = arrivals.get(int(now), 0) + 1
        assert window.admits(now) == (arrivals[int(now)] <= limit)


def test_burst_refusal_costs_nothing_and_says_one_second() -> None:
    """The burst limiter counts requests, whatever they cost, and refuses with its own kind."""
    limits = RateLimits(registers=1)
    for _ in range(20):
        assert limits.check("1", "app", 0.5).refused is None
    verdict = limits.check("1", "app", 0.9)
    assert (verdict.refused, verdict.retry_after, verdict.level) == (LimitKind.BURST, 1, 0)
    assert limits.check("1", "app", 1.0).refused is None


def test_each_account_and_client_has_a_bucket_of_its_own() -> None:
    """The bucket belongs to the pair of account and client."""
    limits = RateLimits(registers=1)
    limits.charge("1", "app", 95, 0.0)
    assert limits.check("1", "app", 0.0).refused is LimitKind.BUCKET
    assert limits.check("1", "other", 0.0).refused is None
    assert limits.check("2", "app", 0.0).refused is None


def test_limits_switched_off_serve_everything_at_level_zero() -> None:
    """Without limits a client must not see a level that would slow it down."""
    limits = RateLimits(registers=1, enforced=False)
    for _ in range(100):
        assert limits.check("1", "app", 0.0).refused is None
        assert limits.charge("1", "app", 10, 0.0).level == 0
