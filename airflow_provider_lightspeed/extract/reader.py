"""Runs the chains of one read: as many as the account's bucket has work for, stopped together at the first error.

The calling thread counts what the chains bring, estimates what is left, and decides how many there should be.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_lightspeed.client.rest import Page
from airflow_provider_lightspeed.exceptions import LightspeedError
from airflow_provider_lightspeed.extract.chain import Chain, Report, Work
from airflow_provider_lightspeed.extract.lookups import cheapest
from airflow_provider_lightspeed.extract.meter import ASK_AFTER, Meter, Outlook
from airflow_provider_lightspeed.extract.pages import last_key
from airflow_provider_lightspeed.extract.pause import Paused, PausePolicy
from airflow_provider_lightspeed.extract.slices import Slice, chains_wanted
from airflow_provider_lightspeed.extract.summary import lasting

log = logging.getLogger(__name__)

#: Seconds that chains get to end once they are told to; a request under way is not waited for.
GRACE: Final = 2.0


@dataclass(frozen=True, slots=True)
class _Passed:
    page: Page
    rows: int


@dataclass(frozen=True, slots=True)
class _Ended:
    error: BaseException | None = None


class Reader:
    """One read. Call :meth:`read` once.

    :param most_chains: of chains at a time.
    :param pause: when to give the worker slot back; ``None``: never.
    """

    def __init__(self, work: Work, meter: Meter, *, most_chains: int = 1, pause: PausePolicy | None = None) -> None:
        self._work = work
        self._meter = meter
        self._most_chains = most_chains
        self._pause = pause
        self._events: queue.SimpleQueue[_Passed | _Ended] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._page_seconds = 0.0
        self._has_asked = False
        #: The first rows, as they came with all relations loaded.
        self._sample: list[dict[str, Any]] = []
        #: Values kept in ``_extra`` by this read, by (path, reason).
        self.set_aside: Counter[tuple[str, str]] = Counter()

    def read(self) -> None:
        """Read everything.

        :raises Paused: all that was read is stored, and the bucket should drain now.
        :raises LightspeedError: of the first chain that failed; the others have been stopped.
        """
        running = self._start(self._chains())
        try:
            while running:
                event = self._events.get()
                if isinstance(event, _Ended):
                    running -= 1
                    if event.error is not None:
                        raise event.error
                else:
                    self._count(event)
                    if self._pause_if_worth():
                        break
                running += self._start(self._chains() - running)
                self._work.running = running
        finally:
            self._work.stop.set()
            end = self._meter.seconds() + GRACE
            for thread in self._threads:
                thread.join(max(0.0, end - self._meter.seconds()))

    def _start(self, wanted: int) -> int:
        """Start up to so many chains, cutting slices for them if need be; return how many were started."""
        started, board = 0, self._work.board
        while started < wanted:
            found = board.claim()
            if found is None:
                # One part stays with the chain that is at it.
                if not board.cut(wanted - started + 1):
                    break
                continue
            thread = threading.Thread(target=self._run, args=(found,), name="lightspeed-chain", daemon=True)
            self._threads.append(thread)
            thread.start()
            started += 1
        return started

    def _run(self, found: Slice) -> None:
        try:
            Chain(self._work, found, passed=self._on_page, set_aside=self._on_set_aside).run()
        except BaseException as error:  # noqa: BLE001 - it is raised again in the calling thread
            self._events.put(_Ended(error))
        else:
            self._events.put(_Ended())

    def _on_page(self, page: Page, rows: int) -> None:
        self._events.put(_Passed(page, rows))

    def _on_set_aside(self, new: Report) -> None:
        with self._lock:
            self.set_aside.update(new)

    def _chains(self) -> int:
        left = self._work.board.pages_left()
        if left is None:
            return 1
        bucket = self._work.client.bucket()
        wanted = chains_wanted(
            left,
            self._work.plan.cost,
            self._page_seconds,
            room=max(0.0, bucket.size - bucket.level),
            drip=max(bucket.drip - bucket.strangers, bucket.drip / 10),
            burst=self._work.client.limiter.burst(),
        )
        return max(1, min(self._most_chains, round(wanted + 0.49)))

    def _count(self, event: _Passed) -> None:
        page = event.page
        weight = 0.2 if self._page_seconds else 1.0
        self._page_seconds += weight * (page.seconds - self._page_seconds)
        if not self._has_asked:
            self._sample += page.records
            if page.next_url and (self._meter.pages + 1) * max(1.0, self._work.client.bucket().drip) >= ASK_AFTER:
                self._has_asked = True
                self._survey()
                self._sample = []
        is_last = page.next_url is None and self._work.board.open_slices() <= 1 and not self._work.plan.resource.parents
        self._meter.passed(event.rows, self._outlook(page.cost), is_last=is_last)

    def _survey(self) -> None:
        """Spend a request on the list's last key: how much is left decides how it is read."""
        work = self._work
        if work.plan.key is None:
            return
        try:
            if work.board.last is None:
                work.board.last = last_key(work.client, work.plan)
            self._choose_plan()
        except LightspeedError:
            pass  # an estimate is not worth an error; if it was a serious one, the next page meets it too
        outlook = self._outlook(work.plan.cost)
        if outlook is not None:
            names = ", ".join(table.name for table in work.tables)
            log.info(
                "%s: plan: %.0f more requests, %.1f drips, >= %s at %g drips/s, in %d chain(s) of at most %d%s",
                work.plan.resource.name, outlook.requests, outlook.drips, lasting(outlook.seconds),
                work.client.bucket().drip, self._chains(), self._most_chains,
                f"; {names} from their own lists, which costs less than loading them" if names else "",
            )  # fmt: skip

    def _choose_plan(self) -> None:
        """Read relations from their own lists where that is cheaper. Not if each pause would have to read them again."""
        work, left = self._work, self._work.board.pages_left()
        if left is None or self._pause is not None:
            return
        plan, tables = cheapest(work.client, work.plan, self._sample, left)
        if tables:
            work.plan, work.tables = plan, tuple(tables)
            work.board.cut_here()

    def _outlook(self, cost: float) -> Outlook | None:
        left = self._work.board.pages_left()
        return None if left is None else Outlook.of(left, cost, self._work.client.bucket())

    def _pause_if_worth(self) -> bool:
        """Pause, if it is worth it; return whether the chains ended instead, having read everything."""
        if self._pause is None:
            return False
        work, cost = self._work, self._work.plan.cost
        outlook = self._outlook(cost)
        drips_left = outlook.drips if outlook else None
        seconds = self._pause.seconds(work.client.bucket(), cost, drips_left=drips_left, drips=work.client.usage.drips)
        if seconds is None:
            return False
        work.stop.set()
        for thread in self._threads:
            thread.join()
        while not self._events.empty():
            event = self._events.get()
            if isinstance(event, _Ended) and event.error is not None:
                raise event.error
        if any(not found.is_done for found in work.board.slices):
            usage = work.client.usage
            rows = sum(found.rows for found in work.board.slices)
            raise Paused(seconds, rows=rows, drips=usage.drips, requests=usage.requests)
        return True
