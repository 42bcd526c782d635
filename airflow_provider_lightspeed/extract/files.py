"""The staged Parquet files of one run: one row of files per slice, in the order of the keys whoever finishes first."""

from __future__ import annotations

import threading
from typing import Final

import pyarrow as pa

from airflow_provider_lightspeed.arrow.parquet import ROW_GROUP_BYTES, ROW_GROUP_ROWS, FileStats, ParquetSink
from airflow_provider_lightspeed.extract.storage import Storage

#: Rows after which the next file is begun.
FILE_ROWS: Final = 2_000_000
#: A row group is never cut smaller than this, however many chains share the memory.
LEAST_GROUP_BYTES: Final = 4 * 2**20


class StagedFiles:
    """The files of a run, below one folder. Safe among threads.

    :param folder: below the storage's root.
    :param chains: that write at a time; they share the memory of one row group.
    """

    def __init__(self, storage: Storage, folder: str, schema: pa.Schema, *, chains: int = 1) -> None:
        self._storage = storage
        self._folder = folder
        self._schema = schema
        self._rows = max(1, ROW_GROUP_ROWS // chains)
        self._bytes = max(LEAST_GROUP_BYTES, ROW_GROUP_BYTES // chains)
        self._lock = threading.Lock()
        self._begun = 0
        self._done: list[tuple[int, int, FileStats]] = []
        self._open: set[ParquetSink] = set()

    def writer(self, order: int) -> Writer:
        """Return a writer whose files come in the place that ``order`` gives them."""
        return Writer(self, order)

    def begin(self) -> ParquetSink:
        """Open the next file."""
        with self._lock:
            number, self._begun = self._begun, self._begun + 1
        path = self._storage.path(f"{self._folder}/{number}.parquet")
        sink = ParquetSink(self._storage, path, self._schema, row_group_rows=self._rows, row_group_bytes=self._bytes)
        with self._lock:
            self._open.add(sink)
        return sink

    def end(self, sink: ParquetSink, order: int) -> None:
        """Complete a file."""
        stats = sink.close()
        with self._lock:
            self._open.discard(sink)
            self._done.append((order, len(self._done), stats))

    def abort(self) -> None:
        """End the files that are not complete, such that nobody can take them for whole ones."""
        with self._lock:
            sinks, self._open = self._open, set()
        for sink in sinks:
            sink.abort()

    @property
    def done(self) -> tuple[FileStats, ...]:
        """The complete files, in order."""
        with self._lock:
            return tuple(stats for _, _, stats in sorted(self._done, key=lambda found: found[:2]))


class Writer:
    """Writes the batches of one slice, into one file or several."""

    def __init__(self, files: StagedFiles, order: int) -> None:
        self._files = files
        self._order = order
        self._sink: ParquetSink | None = None

    def write(self, batch: pa.RecordBatch) -> None:
        """Take a batch."""
        if not batch.num_rows:
            return
        if self._sink is None:
            self._sink = self._files.begin()
        self._sink.write(batch)
        if self._sink.rows >= FILE_ROWS:
            self.close()

    def close(self) -> None:
        """Complete the file that is being written, if there is one."""
        if self._sink is not None:
            self._files.end(self._sink, self._order)
            self._sink = None
