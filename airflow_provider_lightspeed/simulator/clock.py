"""The simulator's clock: the machine's time plus an offset that tests move forward."""

from __future__ import annotations

import time
from collections.abc import Callable


class SimulatorClock:
    """Seconds since the epoch, shiftable.

    One clock drives token lifetimes, rate limits and the ``Date`` header, so that advancing it by an hour is the same
    as waiting for an hour.

    :param source: returns epoch seconds; default the machine's clock.
    """

    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self._offset = 0.0

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self._source() + self._offset

    def advance(self, seconds: float) -> float:
        """Move the clock forward and return the new time.

        :raises ValueError: on negative ``seconds``: buckets and tokens rely on time not running backwards.
        """
        if seconds < 0:
            msg = f"the clock only moves forward, not by {seconds} s"
            raise ValueError(msg)
        self._offset += seconds
        return self.now()
