"""Parquet rows as CSV: what Postgres reads back is what was there."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_lightspeed.exceptions import ConversionError
from airflow_provider_lightspeed.warehouse.copy import CsvStream, batches_of
from airflow_provider_lightspeed.warehouse.tables import TableSpec

LINES = pa.list_(pa.struct([pa.field("total", pa.decimal128(38, 10)), pa.field("at", pa.timestamp("us", "UTC"))]))
SPEC = TableSpec(
    "t", "Sale", pa.schema([pa.field("key", pa.int64()), pa.field("text", pa.string()), pa.field("lines", LINES)])
)
MOMENT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def rows_of(stream: CsvStream) -> list[list[str]]:
    return list(csv.reader(io.TextIOWrapper(io.BufferedReader(stream), "utf-8", newline="")))


def test_nested_columns_are_json_with_all_digits() -> None:
    """Money is a number that keeps its decimals, times are ISO 8601."""
    table = pa.table(
        {"key": [1], "text": ["a"], "lines": [[{"total": Decimal("1.2300000001"), "at": MOMENT}]]}, SPEC.schema
    )
    ((_, _, lines),) = rows_of(CsvStream(SPEC, table.to_batches()))
    assert json.loads(lines, parse_float=Decimal) == [
        {"total": Decimal("1.2300000001"), "at": "2026-03-01T12:30:00+00:00"}
    ]


def test_null_and_empty_text_differ() -> None:
    """Null is an empty field, an empty text is quoted; quotes, commas and line ends come back."""
    texts = ["", None, 'Says "hi",\nwaves']
    table = pa.table({"key": [1, None, 3], "text": texts, "lines": pa.nulls(3, LINES)}, SPEC.schema)
    content = CsvStream(SPEC, table.to_batches()).read()
    assert content == b'1,"",\n,,\n3,"Says ""hi"",\nwaves",\n'


def test_columns_that_a_file_lacks_are_null() -> None:
    """A file of an earlier release; the order of the columns is the table's."""
    table = pa.table({"text": ["a"], "key": [1]})
    assert CsvStream(SPEC, table.to_batches()).read() == b'1,"a",\n'


def test_columns_that_the_table_lacks_are_refused() -> None:
    """Nothing is left out silently."""
    table = pa.table({"key": [1], "tip": [2]})
    with pytest.raises(ConversionError, match=r"\['tip'\]"):
        CsvStream(SPEC, table.to_batches()).read()


def test_reads_files_bit_by_bit(tmp_path: Path) -> None:
    """However small the buffer of whoever reads."""
    spec = replace(SPEC, schema=pa.schema([pa.field("key", pa.int64())]))
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"key": list(range(25_000))}), path)
    stream, found = CsvStream(spec, batches_of(path)), b""
    while part := stream.read(1_000):
        found += part
    assert found.split() == [str(number).encode() for number in range(25_000)]
