"""Time that tests move."""

from __future__ import annotations

import pytest

from airflow_provider_lightspeed.simulator.clock import SimulatorClock


def test_clock_goes_on_from_where_it_was_moved_to() -> None:
    """Advancing by an hour is the same as waiting for an hour."""
    times = iter([0.0, 5.0, 7.0])
    clock = SimulatorClock(lambda: next(times))
    assert (clock.now(), clock.advance(3_600), clock.now()) == (0.0, 3_605.0, 3_607.0)


def test_clock_never_runs_backwards() -> None:
    """Buckets and tokens rely on that."""
    with pytest.raises(ValueError, match="only moves forward"):
        SimulatorClock().advance(-1)
