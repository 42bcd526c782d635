"""The staged Parquet files of one run: one row of files per slice, in the order of the keys whoever finishes first."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from airflow_provider_lightspeed.arrow.parquet import ROW_GROUP_BYTES, ROW_GROUP_ROWS, FileStats, ParquetSink
from airflow_provider_lightspeed.lake.storage import Storage

log = logging.getLogger(__name__)

#: Rows after which the next file is begun, shared among the chains: until its end, what a file's footer will say of each
#: row group and column is in memory.
FILE_ROWS: Final = 2_000_000
#: A row group is never cut smaller than this, however many chains share the memory.
LEAST_GROUP_BYTES: Final = 4 * 2**20

#: What a slice has for a table is no file of its own until it is so large: a short read, cut among several chains,
#: ends in one file ...
LEAST_FILE_BYTES: Final = 2 * 2**20
#: ... as long as all of these together are no larger than this.
MOST_LOOSE_BYTES: Final = 8 * 2**20

#: The files of a commit by table.
Files = Mapping[str, Sequence[FileStats]]


class StagedFiles:
    """The files of a run, below one folder. Safe among threads.

    :param folder: below the storage's root.
    :param schemas: of the tables by name, the resource's own one first.
    :param chains: that write at a time; they share the memory of one row group.
    """

    def __init__(self, storage: Storage, folder: str, schemas: Mapping[str, pa.Schema], *, chains: int = 1) -> None:
        self._storage = storage
        self._folder = folder
        self._schemas = schemas
        #: Rows after which a writer begins its next file.
        self.file_rows = max(1, FILE_ROWS // chains)
        self._rows = max(1, ROW_GROUP_ROWS // chains)
        self._bytes = max(LEAST_GROUP_BYTES, ROW_GROUP_BYTES // chains // len(schemas))
        self._lock = threading.Lock()
        self._begun = 0
        self._done: list[tuple[int, int, str, FileStats]] = []
        self._loose: list[_Loose] = []
        self._loose_bytes = 0
        self._open: set[ParquetSink] = set()

    def writer(self, order: int) -> Writer:
        """Return a writer whose files come in the place that ``order`` gives them."""
        return Writer(self, order)

    def begin(self, table: str) -> ParquetSink:
        """Open a table's next file."""
        with self._lock:
            number, self._begun = self._begun, self._begun + 1
        path = self._storage.path(f"{self._folder}/{number}.parquet")
        sink = ParquetSink(
            self._storage, path, self._schemas[table], row_group_rows=self._rows, row_group_bytes=self._bytes
        )
        with self._lock:
            self._open.add(sink)
        return sink

    def end(self, sink: ParquetSink, order: int, table: str) -> None:
        """Complete a file."""
        stats = sink.close()
        with self._lock:
            self._open.discard(sink)
            self._done.append((order, len(self._done), table, stats))

    def leave(self, table: str, order: int, batches: list[pa.RecordBatch]) -> bool:
        """Take what is too little for a file, to be written together with its neighbours; refuse if there is too much."""
        size = sum(batch.nbytes for batch in batches)
        with self._lock:
            if self._loose_bytes + size > MOST_LOOSE_BYTES:
                return False
            self._loose_bytes += size
            self._loose.append(_Loose(table, order, batches))
        return True

    def complete(self) -> Files:
        """Write what is loose, neighbours into one file, and return the complete files; all writers are closed."""
        with self._lock:
            loose, self._loose, self._loose_bytes = self._loose, [], 0
        for table in self._schemas:
            taken = {order for order, _, name, _ in self._done if name == table}
            mine = {found.order: found for found in loose if found.table == table}
            for neighbours in _runs(sorted({*taken, *mine}), taken):
                sink = self.begin(table)
                for order in neighbours:
                    for batch in mine[order].batches:
                        sink.write(batch)
                self.end(sink, neighbours[0], table)
        return self.done

    def abort(self) -> None:
        """End the files that are not complete, such that nobody can take them for whole ones. Never fails."""
        with self._lock:
            sinks, self._open = self._open, set()
        for sink in sinks:
            try:
                sink.abort()
            except Exception as error:  # noqa: BLE001 - on a full disk say; why the read failed is what counts
                log.warning("a staged file could not be closed: %s", error)

    @property
    def done(self) -> Files:
        """The complete files of each table, in order; tables without rows have none."""
        with self._lock:
            done = sorted(self._done, key=lambda found: found[:2])
        return {name: tuple(stats for _, _, table, stats in done if table == name) for name in self._schemas}


@dataclass(frozen=True, slots=True)
class _Loose:
    table: str
    order: int
    batches: list[pa.RecordBatch]


def _runs(orders: Sequence[int], taken: Collection[int]) -> Iterator[list[int]]:
    """Yield the stretches of orders between those that have files of their own."""
    run: list[int] = []
    for order in orders:
        if order not in taken:
            run.append(order)
        elif run:
            yield run
            run = []
    if run:
        yield run


class Writer:
    """Writes the rows of one slice, each table into one file or several, or leaves them to be written with others."""

    def __init__(self, files: StagedFiles, order: int) -> None:
        self._files = files
        self._order = order
        self._sinks: dict[str, ParquetSink] = {}
        self._waiting: dict[str, list[pa.RecordBatch]] = {}
        self._begun: set[str] = set()

    def write(self, batches: Mapping[str, pa.RecordBatch]) -> None:
        """Take rows of some tables."""
        for table, batch in batches.items():
            if not batch.num_rows:
                continue
            if table in self._begun:
                self._write(table, batch)
                continue
            waiting = self._waiting.setdefault(table, [])
            waiting.append(batch)
            if sum(each.nbytes for each in waiting) >= LEAST_FILE_BYTES:
                self._begin(table)

    def _begin(self, table: str) -> None:
        for batch in self._waiting.pop(table):
            self._write(table, batch)

    def _write(self, table: str, batch: pa.RecordBatch) -> None:
        self._begun.add(table)
        sink = self._sinks.get(table) or self._sinks.setdefault(table, self._files.begin(table))
        sink.write(batch)
        if sink.rows >= self._files.file_rows:
            self._files.end(self._sinks.pop(table), self._order, table)

    def close(self) -> None:
        """Complete the files that are being written."""
        for table, batches in list(self._waiting.items()):
            if not self._files.leave(table, self._order, batches):
                self._begin(table)
        self._waiting = {}
        while self._sinks:
            table, sink = self._sinks.popitem()
            self._files.end(sink, self._order, table)
