"""One chain: the pages of one slice, fetched one after the other, checked, converted, stored and written."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from airflow_provider_lightspeed.arrow.paged import PageConverter
from airflow_provider_lightspeed.client.rest import Page, RSeriesClient
from airflow_provider_lightspeed.extract.checks import check_filters, check_window, children
from airflow_provider_lightspeed.extract.files import StagedFiles
from airflow_provider_lightspeed.extract.journal import Segment
from airflow_provider_lightspeed.extract.lookups import Table
from airflow_provider_lightspeed.extract.output import Output
from airflow_provider_lightspeed.extract.pages import path_pages, slice_pages
from airflow_provider_lightspeed.extract.plan import Plan
from airflow_provider_lightspeed.extract.slices import Board, Slice
from airflow_provider_lightspeed.extract.window import Window

#: Pages that wait for conversion at most: enough to amortise Arrow's cost per call, and bounded memory. Those that wait as
#: lines take little of it, and each of several chains may gather half as many; of records, all chains together so many.
BATCH_PAGES: Final = 20
#: Pages per batch that a chain may gather however many there are.
LEAST_BATCH_PAGES: Final = 3
#: Seconds after which a batch is stored, full or not: a crash costs what one chain reads in this time.
STORE_EVERY: Final = 3.0

Report = Mapping[tuple[str, str], int]


@dataclass(slots=True)
class Work:
    """What all chains of a read share.

    :param plan: of the chains that begin from now on.
    :param new_converter: makes a converter; each chain has its own.
    :param output: spreads converted rows over the tables.
    :param check: is told what went to ``_extra``, before it counts.
    :param store: keeps a batch durably, with the keys of its parents; ``None``: nothing is stored.
    :param replay: yields the rows of stored segments, with the keys of their parents.
    :param files: takes the batches of each slice, in order; ``None``: they are only stored.
    :param seconds: since the read began.
    :param done_paths: of a list below several parents: those that are stored already.
    :param stop: set when chains are to end after the page they are at.
    :param tables: related lists, put into the rows of chains that begin from now on.
    :param running: how many chains there are now; they share the memory.
    :param seen: the fields that records have had.
    """

    client: RSeriesClient
    plan: Plan
    window: Window
    board: Board
    new_converter: Callable[[], PageConverter]
    output: Output
    check: Callable[[Report], None]
    store: Callable[[pa.RecordBatch, Segment, Sequence[int]], None] | None
    replay: Callable[[tuple[Segment, ...]], Iterator[tuple[pa.RecordBatch, Sequence[int]]]]
    files: StagedFiles | None
    seconds: Callable[[], float]
    done_paths: frozenset[str] = frozenset()
    stop: threading.Event = field(default_factory=threading.Event)
    tables: tuple[Table, ...] = ()
    running: int = 1
    seen: set[str] = field(default_factory=set)


class Chain:
    """Reads one slice.

    :param passed: called with every page and the number of rows it gave.
    :param set_aside: called with what went to ``_extra``.
    """

    def __init__(
        self, work: Work, found: Slice, *, passed: Callable[[Page, int], None], set_aside: Callable[[Report], None]
    ) -> None:
        self._work = work
        self._plan = work.plan
        self._tables = work.tables
        self._slice = found
        self._passed = passed
        self._set_aside = set_aside
        self._converter = work.new_converter()
        self._out = work.files.writer(found.after) if work.files else None
        self._parents: list[int] = []
        self._pages = 0
        self._since = 0.0
        self._after = found.reached
        self._paths: list[str] = []

    def run(self) -> None:
        """Hand on what is stored of the slice, and read the rest of it."""
        found = self._slice
        if self._out is not None and found.stored:
            for batch, parents in self._work.replay(found.stored):
                self._out.write(self._work.output.split(batch, parents))
        if not found.is_done:
            self._read()
        if self._out is not None and not self._work.stop.is_set():
            self._out.close()

    def _read(self) -> None:
        work, found = self._work, self._slice
        is_whole = True
        for page, keys, path in self._wire():
            is_whole = path is None or page.next_url is None
            kept = page.records if keys is None else page.records[: work.board.admit(found, keys)]
            check_window(self._plan, work.window, kept)
            check_filters(self._plan, kept)
            for table in self._tables:
                table.attach(kept)
            records = children(self._plan, kept)
            if self._plan.child is not None:
                self._parents += (keys or [])[: len(kept)]
            self._take(page, records, path)
            self._passed(page, len(records))
            if found.is_done or work.stop.is_set():
                break
        else:
            work.board.finish(found)
        if is_whole:
            self._flush()

    def _wire(self) -> Iterator[tuple[Page, list[int] | None, str | None]]:
        """Yield the slice's pages with their keys; those of a list below several parents with their path."""
        work, found = self._work, self._slice
        if self._plan.key is not None:
            for page, keys in slice_pages(work.client, self._plan, found.reached, found.upto):
                yield page, keys, None
        else:
            for path, page in path_pages(work.client, self._plan, skip=work.done_paths):
                yield page, None, path

    def _take(self, page: Page, records: list[dict[str, Any]], path: str | None) -> None:
        now = self._work.seconds()
        if not self._pages:
            self._since = now
        self._converter.take(records)
        self._pages += 1
        is_path_whole = page.next_url is None
        if path is not None and is_path_whole:
            self._paths.append(path)
        running = max(1, self._work.running)
        sharing = min(2, running) if self._converter.is_light else running
        most = max(LEAST_BATCH_PAGES, BATCH_PAGES // sharing)
        is_due = self._pages >= most or now - self._since >= STORE_EVERY
        if is_due and (path is None or is_path_whole):
            self._flush()

    def _flush(self) -> None:
        """Convert what is waiting, store it, hand it on."""
        work, found = self._work, self._slice
        before = Counter(self._converter.report)
        batch = self._converter.flush()
        new = self._converter.report - before
        work.seen.update(self._converter.fields)
        work.check(new)
        if work.store is not None:
            work.store(batch, self._segment(new), self._parents)
        if new:
            self._set_aside(new)
        if self._out is not None:
            self._out.write(work.output.split(batch, self._parents))
        self._after = found.reached if self._plan.key is not None else self._after + len(self._paths)
        self._parents, self._pages, self._paths = [], 0, []

    def _segment(self, new: Report) -> Segment:
        found = self._slice
        set_aside = tuple((path, reason, count) for (path, reason), count in sorted(new.items()))
        if self._plan.key is None:
            upto = self._after + len(self._paths)
            return Segment("", self._after, upto, 0, paths=tuple(self._paths), set_aside=set_aside)
        is_end = found.is_done and found.upto is None
        return Segment("", self._after, found.reached, 0, is_end=is_end, set_aside=set_aside)
