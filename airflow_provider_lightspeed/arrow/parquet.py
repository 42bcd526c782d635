"""Streams record batches into one Parquet file, a row group at a time."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Protocol, Self

import pyarrow as pa
import pyarrow.parquet as pq

#: A row group is written once it holds so many rows, or so many bytes in memory.
ROW_GROUP_ROWS: Final = 50_000
ROW_GROUP_BYTES: Final = 48 * 2**20


class FileSystem(Protocol):
    """The part of an fsspec file system that is needed."""

    def open(self, path: str, mode: str) -> Any:
        """Open a file."""


@dataclass(frozen=True, slots=True)
class FileStats:
    """What was written.

    :param bytes: the file's size.
    :param schema_hash: names the schema; equal for files that can be unioned.
    """

    path: str
    rows: int
    bytes: int
    row_groups: int
    schema_hash: str


class ParquetSink:
    """A Parquet file being written; zstd, one row group in memory. Use as a context manager.

    :param row_group_rows: rows after which a row group is written.
    :param row_group_bytes: bytes in memory after which it is written.
    """

    def __init__(
        self,
        fs: FileSystem,
        path: str,
        schema: pa.Schema,
        *,
        row_group_rows: int = ROW_GROUP_ROWS,
        row_group_bytes: int = ROW_GROUP_BYTES,
    ) -> None:
        self._schema = schema
        self._path = path
        self._row_group_rows = row_group_rows
        self._row_group_bytes = row_group_bytes
        self._waiting: list[pa.RecordBatch] = []
        self._rows = self._waiting_rows = self._waiting_bytes = self._row_groups = 0
        self._file = fs.open(path, "wb")
        try:
            self._writer = pq.ParquetWriter(
                self._file, schema, compression="zstd", version="2.6", write_statistics=True
            )
        except BaseException:
            with suppress(Exception):  # it would hide why
                self._file.close()
            raise

    @property
    def rows(self) -> int:
        """Rows taken so far."""
        return self._rows

    def write(self, batch: pa.RecordBatch) -> None:
        """Take a batch; writes a row group when enough has gathered."""
        self._waiting.append(batch)
        self._rows += batch.num_rows
        self._waiting_rows += batch.num_rows
        self._waiting_bytes += batch.nbytes
        if self._waiting_rows >= self._row_group_rows or self._waiting_bytes >= self._row_group_bytes:
            self._flush()

    def _flush(self) -> None:
        if self._waiting_rows:
            table = pa.Table.from_batches(self._waiting, schema=self._schema)
            self._writer.write_table(table, row_group_size=max(1, table.num_rows))
            self._row_groups += 1
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0

    def close(self) -> FileStats:
        """Write what is left and the footer; the file is complete only now."""
        self._flush()
        self._writer.close()
        size = self._file.tell()
        self._file.close()
        return FileStats(self._path, self._rows, size, self._row_groups, schema_hash(self._schema))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def abort(self) -> None:
        """End a file that is not complete: without its footer nobody can take it for a whole one. Not after close."""
        if not self._file.closed:
            self._writer.is_open = False  # or its destructor would write the footer
            self._file.close()


def schema_hash(schema: pa.Schema) -> str:
    """Return 16 hex digits that name a schema."""
    return hashlib.sha256(schema.serialize().to_pybytes()).hexdigest()[:16]
