"""The leaky bucket as this side sees it (docs: introduction/rate-limiting). Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

#: What the smallest account has: 90, draining 1 per second; the first reply says what this one has.
DEFAULT_SIZE: Final = 90.0
DEFAULT_DRIP: Final = 1.0
#: Seconds over which the strangers' rate is averaged, and over which it is believed while nothing is heard.
MEMORY: Final = 5.0
BELIEF: Final = 60.0


@dataclass(frozen=True, slots=True)
class LeakyBucket:
    """A bucket's level at a moment.

    :param level: units in it at ``at``; may exceed ``size``, because the request that overflows is served.
    :param drip: units that leave per second.
    :param at: monotonic seconds.
    """

    level: float = 0.0
    size: float = DEFAULT_SIZE
    drip: float = DEFAULT_DRIP
    at: float = 0.0

    def drained(self, now: float, *, inflow: float = 0.0) -> LeakyBucket:
        """Return the bucket at ``now``; time that runs backwards drains nothing.

        :param inflow: units per second that others poured in when they were last heard of. It is believed less and
            less, and nobody can pour in more than drips out for long: the bucket will be full, and refuse it.
        """
        passed = max(0.0, now - self.at)
        steady, excess = min(inflow, self.drip), max(0.0, inflow - self.drip)
        poured = steady * BELIEF * (1 - math.exp(-passed / BELIEF)) + excess * MEMORY * (1 - math.exp(-passed / MEMORY))
        return replace(self, level=max(0.0, self.level - passed * self.drip + poured), at=max(now, self.at))
