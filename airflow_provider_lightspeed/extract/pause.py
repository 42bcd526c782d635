"""When a read gives its worker slot back while the bucket drains. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from airflow_provider_lightspeed.client.rate_limit import BucketSnapshot

#: Seconds that a pause must last to be worth starting a process anew.
WORTH_PAUSING: Final = 30.0
#: Seconds that a new process takes until its first request, before it has been measured.
START_UP: Final = 10.0
#: Seconds kept in the bucket beyond the start-up, so that it never runs empty.
MARGIN: Final = 2.0


class Paused(Exception):
    """All that was read is stored; the same read goes on in ``seconds``.

    :param seconds: by then the bucket has drained to what drips out while a process starts.
    :param rows: read by this process.
    :param drips: spent by this process.
    :param requests: sent by this process.
    """

    def __init__(self, seconds: float, *, rows: int, drips: float, requests: int) -> None:
        super().__init__(f"{rows} rows read and stored; the bucket drains for {seconds:.0f} s")
        self.seconds = seconds
        self.rows = rows
        self.drips = drips
        self.requests = requests


@dataclass(frozen=True, slots=True)
class PausePolicy:
    """Works the bucket off as fast as it takes requests, and pauses once it is full.

    :param start_up: seconds from the end of a pause to the first request, as measured.
    """

    start_up: float = START_UP
    worth: float = WORTH_PAUSING

    def seconds(self, bucket: BucketSnapshot, cost: float, *, drips_left: float | None, drips: float) -> float | None:
        """Return how long to pause now, ``None`` to go on.

        :param cost: of the next request.
        :param drips_left: what the read still needs; ``None`` while unknown.
        :param drips: what this process has spent.
        """
        drip = bucket.drip - bucket.strangers
        if drip <= 0 or bucket.size - bucket.level > 3 * cost:
            return None
        kept = (self.start_up + MARGIN) * bucket.drip
        pause = (bucket.level - kept) / drip
        if drips_left is None:
            # A read of unknown length is taken for as long as it has been: a pause may make a short one late.
            drips_left = drips - bucket.size / 2
        # The last pages go out at once after the pause: it must end before they would be through without it.
        pause = min(pause, drips_left / drip - self.start_up - MARGIN)
        return pause if pause >= max(self.worth, 2 * self.start_up) else None
