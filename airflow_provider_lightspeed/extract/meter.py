"""Measures a read while it runs, and estimates how long it will go on.

Nothing in a page says how many follow, and a ``count`` costs ten pages. But lists come in ascending order of their
primary key, so the share of the key range that has been passed tells how far a read is, once the last key is known.
That takes one request (the same list, backwards, one row), which is spent only on a read that has proved to be long:
after ``ASK_AFTER`` pages, sooner where it takes the bucket no time to take it. Without a numeric primary key to sort by, and for lists below several parents, the end stays
unknown.

It is an estimate: gaps in the keys (deleted rows, filters) make it uneven. The pages to come take as long as the newest
ones took, or as long as the bucket needs to take their cost in, whichever is longer: a read begins fast, in an empty
bucket, and ends at the drip rate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from airflow_provider_lightspeed.client.rate_limit import BucketSnapshot
from airflow_provider_lightspeed.client.rest import RSeriesClient
from airflow_provider_lightspeed.clock import Clock
from airflow_provider_lightspeed.extract.summary import Progress

#: Pages after which a read counts as long, on an account that drips one unit a second; on a faster one, sooner.
ASK_AFTER: Final = 5
#: The newest pages, whose pace is taken for the rest.
NEWEST: Final = 30


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is left of a read, as estimated.

    :param requests: pages to come.
    :param drips: bucket units they cost.
    :param seconds: they take at least, because the bucket drains no faster.
    """

    requests: float
    drips: float
    seconds: float

    @classmethod
    def of(cls, pages: float, cost: float, bucket: BucketSnapshot) -> Outlook:
        """Return the outlook of so many pages at ``cost`` each, beside the strangers there are."""
        overflow = bucket.level + pages * cost - bucket.size
        drip = max(bucket.drip - bucket.strangers, bucket.drip / 10)
        return cls(pages, pages * cost, max(0.0, overflow / drip) if drip > 0 else 0.0)


class Meter:
    """Takes the pages of one read and reports a :class:`Progress` after each.

    :param began: when the extract began, by ``clock.monotonic()``.
    """

    def __init__(self, client: RSeriesClient, clock: Clock, began: float, report: Callable[[Progress], None]) -> None:
        self._client = client
        self._clock = clock
        self._began = began
        self._report = report
        self._times: deque[float] = deque(maxlen=NEWEST)
        self.rows = 0
        self.pages = 0

    def seconds(self) -> float:
        """Return the seconds since the extract began."""
        return self._clock.monotonic() - self._began

    def passed(self, rows: int, outlook: Outlook | None, *, is_last: bool) -> None:
        """Note that a page has been read and gave this many rows.

        :param outlook: what is left; ``None`` while unknown.
        :param is_last: nothing follows.
        """
        self.rows += rows
        self.pages += 1
        self._times.append(self.seconds())
        bucket, usage = self._client.bucket(), self._client.usage
        done: float | None = 1.0 if is_last else None
        left: float | None = 0.0 if is_last else None
        if outlook is not None and not is_last:
            done = self.pages / (self.pages + outlook.requests)
            left = max(outlook.seconds, outlook.requests * self._pace())
        self._report(
            Progress(
                rows=self.rows,
                requests=usage.requests,
                seconds=self.seconds(),
                bucket_level=bucket.level,
                bucket_size=bucket.size,
                drips=usage.drips,
                drip_rate=bucket.drip,
                done=done,
                seconds_left=left,
            )
        )

    def _pace(self) -> float:
        """Return the seconds per page, by the newest ones."""
        return (self._times[-1] - self._times[0]) / max(1, len(self._times) - 1)
