"""Reads chosen rows of many files in the order of their keys, some megabytes at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_lightspeed.lake.current_rows import Rows
from airflow_provider_lightspeed.lake.storage import Storage

#: Bytes in memory of the rows that are put in order at a time, and how many rows are the first of them.
CHUNK_BYTES: Final = 16 * 2**20
FIRST_ROWS: Final = 1_000


class _Source:
    """One file, of which row groups are read as needed; the last one stays in memory."""

    def __init__(self, storage: Storage, path: str, columns: Sequence[str] | None) -> None:
        self._storage = storage
        self._path = path
        self._columns = columns
        with storage.open(path, "rb") as file:
            metadata = pq.ParquetFile(file).metadata
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        self.starts = np.cumsum([0, *(group.num_rows for group in groups)])

    def take(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, pa.Table]]:
        """Yield rows by row group, with their places in what was asked for."""
        numbers = np.searchsorted(self.starts, rows, side="right") - 1
        with self._storage.open(self._path, "rb") as file:
            parquet = pq.ParquetFile(file, pre_buffer=False)
            for number in np.unique(numbers):
                chosen = np.flatnonzero(numbers == number)
                group = parquet.read_row_group(int(number), columns=self._columns, use_threads=False)
                yield chosen, group.take(pa.array(rows[chosen] - self.starts[number]))


def batches(
    storage: Storage, paths: Sequence[str], rows: Rows, schema: pa.Schema, *, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield rows of files, in their order.

    :param schema: of the batches; columns that a file lacks are null.
    :param columns: those to read; default all.
    """
    sources = [_Source(storage, path, columns) for path in paths]
    files, places = rows.files.to_numpy(), rows.rows.to_numpy()
    start, step = 0, FIRST_ROWS
    while start < len(rows):
        part, wanted = files[start : start + step], places[start : start + step]
        order, tables = [], []
        for number in np.unique(part):
            mine = np.flatnonzero(part == number)
            for chosen, table in sources[number].take(wanted[mine]):
                order.append(mine[chosen])
                tables.append(as_schema(table, schema))
        whole = pa.concat_tables(tables)
        yield from whole.take(pa.array(np.argsort(np.concatenate(order)))).combine_chunks().to_batches()
        start += step
        # How many bytes a row has in memory shows only there: a file's own size says little of it.
        step = max(FIRST_ROWS, CHUNK_BYTES * len(part) // max(whole.nbytes, 1))


def as_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table in a schema; columns that it lacks are null."""
    present = set(table.schema.names)
    columns = [
        table[field.name].cast(field.type) if field.name in present else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
