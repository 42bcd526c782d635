"""Parquet rows as CSV for ``COPY ... FROM STDIN``, for databases that read no Parquet: Postgres and its kin."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from airflow_provider_lightspeed.exceptions import ConversionError
from airflow_provider_lightspeed.warehouse.dialects import dialect as dialect_named
from airflow_provider_lightspeed.warehouse.tables import TableSpec

#: Rows turned into CSV at a time.
BATCH_ROWS: Final = 10_000
_OPTIONS: Final = pyarrow.csv.WriteOptions(include_header=False)


def copy_statement(spec: TableSpec, *, table: str | None = None, dialect: str = "postgres") -> str:
    """Return the statement that takes the CSV.

    :param table: default ``spec.staging``.
    :raises InvalidArgument: an unknown dialect.
    """
    found = dialect_named(dialect)
    columns = ", ".join(found.sql(found.identifier(name)) for name in spec.columns)
    return f"COPY {found.sql(found.table(table or spec.staging))} ({columns}) FROM STDIN WITH (FORMAT csv)"


def batches_of(file: Any) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a Parquet file (a path, or a file that is open for reading) bit by bit."""
    with pq.ParquetFile(file) as parquet:
        yield from parquet.iter_batches(BATCH_ROWS)


class CsvStream(io.RawIOBase):
    """Record batches as a file of CSV to read from, one batch in memory; nested columns are JSON.

    Null is an empty field, an empty text is ``""``. A column that a batch lacks is null: the catalog of an earlier
    release did not know it.

    :param batches: rows of files of the table.
    """

    def __init__(self, spec: TableSpec, batches: Iterable[pa.RecordBatch]) -> None:
        super().__init__()
        self._spec = spec
        self._batches = iter(batches)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer and return how many bytes there were; none at the end.

        :raises ConversionError: a batch has a column that the table does not have.
        """
        while not self._left:
            batch = next(self._batches, None)
            if batch is None:
                return 0
            self._left = memoryview(self._csv(batch))
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def _csv(self, batch: pa.RecordBatch) -> bytes:
        strange = set(batch.schema.names) - set(self._spec.columns)
        if strange:
            msg = (
                f"{self._spec.name}: the files have the columns {sorted(strange)}, the table does not; name the relations "
                "and columns of the extract, with a release of the provider that is not older than its"
            )
            raise ConversionError(msg, columns=sorted(strange))
        table = pa.table({field.name: _flat(batch, field) for field in self._spec.schema})
        out = io.BytesIO()
        pyarrow.csv.write_csv(table, out, _OPTIONS)
        return out.getvalue()


def _flat(batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    if field.name not in batch.schema.names:
        return pa.nulls(batch.num_rows, pa.string())
    column = batch.column(field.name)
    if not pa.types.is_nested(column.type):
        return column
    texts = [None if value is None else orjson.dumps(value, _plain).decode() for value in column.to_pylist()]
    return pa.array(texts, pa.string())


def _plain(value: Any) -> Any:
    """Return a value that JSON has no notation for: money with all its digits, times as ISO 8601."""
    if isinstance(value, Decimal):
        return orjson.Fragment(f"{value:f}")
    raise TypeError(type(value))
