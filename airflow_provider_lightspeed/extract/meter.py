"""Measures a read while it runs, and estimates how long it will go on.

Nothing in a page says how many follow, and a ``count`` costs ten pages. But lists come in ascending order of their
primary key, so the share of the key range that has been passed tells how far a read is, once the last key is known.
That takes one request (the same list, backwards, one row), which is spent only on a read that has proved to be long:
after ``ASK_AFTER`` pages, so that knowing costs a tenth of the read at most. Without a numeric primary key to sort by,
and for lists below several parents, the end stays unknown.

It is an estimate: gaps in the keys (deleted rows, filters) make it uneven, so the pages still to come are counted with
the density of the newest pages, not with the mean. Those take as long as the newest ones took, or as long as the bucket
needs to take their cost in, whichever is longer: a read begins fast, in an empty bucket, and ends at the drip rate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from airflow_provider_lightspeed.client.rate_limit import BucketSnapshot
from airflow_provider_lightspeed.client.rest import Page, RSeriesClient
from airflow_provider_lightspeed.clock import Clock
from airflow_provider_lightspeed.exceptions import LightspeedError
from airflow_provider_lightspeed.extract.pages import last_key
from airflow_provider_lightspeed.extract.plan import Plan
from airflow_provider_lightspeed.extract.summary import Progress

#: Pages after which a read counts as long.
ASK_AFTER: Final = 10
#: The newest pages, whose pace and density of keys are taken for the rest.
NEWEST: Final = 30


@dataclass(frozen=True, slots=True)
class Mark:
    """The last key of a page, and when it came."""

    key: int
    seconds: float


def share_passed(first: int, key: int, last: int) -> float:
    """Return the share of the key range ``first`` to ``last`` that lies up to ``key``; rows born meanwhile are past 1."""
    return min(1.0, max(0.0, (key - first + 1) / max(last - first + 1, 1)))


def seconds_left(marks: deque[Mark], last: int, cost: float, bucket: BucketSnapshot) -> float | None:
    """Return how long the pages up to the key ``last`` will take, by the newest pages and the bucket.

    :param cost: of one page, in bucket units.
    """
    pages, keys = len(marks) - 1, marks[-1].key - marks[0].key
    if pages < 1 or keys <= 0:
        return None
    left = max(0, last - marks[-1].key) * pages / keys
    pace = (marks[-1].seconds - marks[0].seconds) / pages
    overflow = bucket.level + left * cost - bucket.size
    return max(left * pace, overflow / bucket.drip if bucket.drip else 0.0)


class Meter:
    """Takes the pages of one read and reports a :class:`Progress` after each.

    :param began: when the extract began, by ``clock.monotonic()``.
    :param estimate: whether the request that makes an estimate possible may be spent.
    """

    def __init__(
        self, client: RSeriesClient, clock: Clock, began: float, report: Callable[[Progress], None], *, estimate: bool
    ) -> None:
        self._client = client
        self._clock = clock
        self._began = began
        self._report = report
        self._may_ask = estimate
        self._rows = 0
        self._first: int | None = None
        self._last: int | None = None
        self._marks: deque[Mark] = deque(maxlen=NEWEST + 1)

    def passed(self, plan: Plan, page: Page, rows: int) -> None:
        """Note that a page has been read and gave this many rows."""
        self._rows += rows
        self._mark(plan, page)
        if self._may_ask and page.next_url and page.index + 1 >= ASK_AFTER:
            self._may_ask = False
            self._last = self._ask(plan)
        bucket, usage = self._client.bucket(), self._client.usage
        done, left = self._estimate(plan, page, bucket)
        self._report(
            Progress(
                rows=self._rows,
                requests=usage.requests,
                seconds=self._seconds(),
                bucket_level=bucket.level,
                bucket_size=bucket.size,
                drips=usage.drips,
                drip_rate=bucket.drip,
                done=done,
                seconds_left=left,
            )
        )

    def _seconds(self) -> float:
        return self._clock.monotonic() - self._began

    def _mark(self, plan: Plan, page: Page) -> None:
        name = plan.resource.primary_key
        if not name or not page.records:
            return
        first, last = (str(page.records[place].get(name, "")) for place in (0, -1))
        if first.isdecimal() and last.isdecimal():
            self._first = int(first) if self._first is None else self._first
            self._marks.append(Mark(int(last), self._seconds()))

    def _ask(self, plan: Plan) -> int | None:
        try:
            return last_key(self._client, plan) if self._marks else None
        except LightspeedError:
            return None  # an estimate is not worth an error; if it was a serious one, the next page meets it too

    def _estimate(self, plan: Plan, page: Page, bucket: BucketSnapshot) -> tuple[float | None, float | None]:
        if page.next_url is None and not plan.resource.parents:
            return 1.0, 0.0
        if self._last is None or self._first is None or not self._marks:
            return None, None
        done = share_passed(self._first, self._marks[-1].key, self._last)
        return done, seconds_left(self._marks, self._last, page.cost, bucket)
