"""A process whose time of day is wrong, or later: for tests and the soak."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Final

from airflow_provider_lightspeed.clock import SystemClock

#: Environment variable: seconds that are added to everything that the package takes for the time of day.
SKEW: Final = "CLOCK_SKEW_SECONDS"


def skew_the_clock() -> None:
    """Shift the time of day that the package reads in this process."""
    skew = timedelta(seconds=float(os.environ.get(SKEW, "0")))
    true = SystemClock.now
    SystemClock.now = lambda self: true(self) + skew  # type: ignore[method-assign]
