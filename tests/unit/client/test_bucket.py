"""The arithmetic of a leaky bucket."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.client.bucket import MEMORY, LeakyBucket

times = st.floats(0, 1000)


@given(times, times, st.floats(0, 200), st.floats(0.1, 10))
def test_draining_in_steps_is_draining_at_once(first: float, second: float, level: float, drip: float) -> None:
    """And the level never falls below zero."""
    bucket = LeakyBucket(level, 90, drip, 0)
    a, b = min(first, second), max(first, second)
    assert abs(bucket.drained(a).drained(b).level - bucket.drained(b).level) < 1e-6
    assert bucket.drained(b).level >= 0


@given(times, st.floats(0, 200), st.floats(0.1, 10), st.floats(0, 50))
def test_strangers_never_raise_the_estimate_by_more_than_they_can(
    passed: float, level: float, drip: float, inflow: float
) -> None:
    """What exceeds the drip dies away, and what is heard of nobody any more is believed less and less."""
    alone, beside = (LeakyBucket(level, 90, drip, 0).drained(passed, inflow=rate).level for rate in (0.0, inflow))
    assert alone <= beside <= level + inflow * passed + 1e-6
    assert beside <= level + max(0.0, inflow - drip) * MEMORY + 1e-6


def test_time_running_backwards_drains_nothing() -> None:
    """Two threads may read the clock in one order and take the lock in the other."""
    assert LeakyBucket(10, 90, 1, at=5).drained(3) == LeakyBucket(10, 90, 1, at=5)
