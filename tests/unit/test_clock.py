"""The machine's clock, behind the interface that tests replace."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest

from airflow_provider_lightspeed.clock import Clock, SystemClock
from tests.support.fakes import FakeClock


def test_times_are_aware_and_durations_never_negative() -> None:
    """UTC, and monotonic."""
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    first = clock.monotonic()
    assert clock.monotonic() >= first


@pytest.mark.parametrize("seconds", [0.0, -5.0])
def test_sleep_of_nothing_returns_at_once(seconds: float) -> None:
    """Computed waits may be negative: ``time.sleep`` would raise."""
    SystemClock().sleep(seconds)


def test_tests_have_a_clock_that_moves_by_sleeping_alone() -> None:
    """``now`` and ``monotonic`` together."""
    clock: Clock = FakeClock()
    before = clock.now()
    clock.sleep(90)
    assert clock.now() - before == timedelta(seconds=90)
    assert clock.monotonic() == 90
