"""Time and randomness as arguments: the one place that reads a clock and the one place that sleeps."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the package needs of time. Tests pass one whose ``sleep`` moves ``now``."""

    def now(self) -> datetime:
        """Return the wall clock as an aware UTC datetime."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards; for durations only."""

    def sleep(self, seconds: float) -> None:
        """Wait for ``seconds``; zero and below return at once."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the wall clock as an aware UTC datetime."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never run backwards; for durations only."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for ``seconds``; zero and below return at once."""
        if seconds > 0:
            time.sleep(seconds)
