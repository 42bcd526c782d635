"""A bucket that a neighbour keeps at its brim: when a request gets in nevertheless. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from airflow_provider_lightspeed.client.bucket import LeakyBucket

#: How far behind the brim's crossing a try is aimed, in seconds, and how late it may still be sent: timers wake late.
AIM: Final = 0.004
LATE: Final = 0.03
#: Seconds after which trying at the brim gives way to waiting for room again.
AT_THE_BRIM: Final = 300.0
#: No request costs less than this, in units of the bucket.
LEAST_UNIT: Final = 0.1


@dataclass(frozen=True, slots=True)
class Brim:
    """The last reading while somebody keeps the bucket at its brim, and by how much that neighbour overfills it.

    The level sinks steadily between jumps, so it crosses the brim at known moments: once the overfill of the reading has
    dripped out, and later by ``unit / drip`` for each request that the neighbour gets in before us.

    :param unit: what the neighbour pours in at a time.
    :param until: when to stop believing that waiting for room does not help.
    """

    level: float
    at: float
    unit: float
    until: float

    def crossing(self, bucket: LeakyBucket, earliest: float) -> float:
        """Return the first moment from ``earliest`` on at which the level falls below the brim."""
        first = self.at + (self.level - bucket.size) / bucket.drip
        step = max(self.unit, LEAST_UNIT) / bucket.drip
        if first >= earliest:
            return first
        return first + math.ceil((earliest - first) / step) * step

    def wait(self, bucket: LeakyBucket, cost: float, last: float, now: float) -> float:
        """Return the seconds until the next try: half the drip is a fair share, and a crossing is the moment.

        :param last: when the last request was sent.
        """
        earliest = max(now, last + 2 * cost / bucket.drip)
        return self.crossing(bucket, earliest - LATE) + AIM - now

    def refused(self, level: float, at: float, drip: float) -> Brim:
        """Return the brim after a refusal at ``level``, by which the neighbour's unit is known better."""
        poured = level - (self.level - (at - self.at) * drip)
        jumps = max(1, round(poured / max(self.unit, LEAST_UNIT)))
        return replace(self, level=level, at=at, unit=poured / jumps if poured > 0 else self.unit)

    def served(self, level: float, at: float) -> Brim:
        """Return the brim after a request that got in and left the bucket at ``level``."""
        return replace(self, level=level, at=at)
