"""Parquet files: whole or not a file, a row group in memory at a time."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_lightspeed.arrow.parquet import ParquetSink, schema_hash
from airflow_provider_lightspeed.lake.storage import Storage

SCHEMA = pa.schema([pa.field("n", pa.int64(), metadata={"lightspeed": "integer"})])


def batch(size: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(range(size), pa.int64())], schema=SCHEMA)


@given(st.lists(st.integers(0, 30), max_size=12), st.integers(1, 40))
@settings(max_examples=30)
def test_all_rows_arrive_in_order(tmp_path_factory: pytest.TempPathFactory, sizes: list[int], group: int) -> None:
    """However batches and row groups fall."""
    folder = tmp_path_factory.mktemp("sink")
    with ParquetSink(Storage.at(str(folder)), f"{folder}/x.parquet", SCHEMA, row_group_rows=group) as sink:
        for size in sizes:
            sink.write(batch(size))
        stats = sink.close()
    table = pq.read_table(folder / "x.parquet")
    assert table["n"].to_pylist() == [number for size in sizes for number in range(size)]
    assert (stats.rows, stats.bytes) == (sum(sizes), (folder / "x.parquet").stat().st_size)
    assert stats.row_groups == pq.read_metadata(folder / "x.parquet").num_row_groups
    assert stats.schema_hash == schema_hash(SCHEMA)


def test_file_left_by_an_error_is_no_parquet(tmp_path: Path) -> None:
    """Nobody can take a part for the whole."""
    sink = ParquetSink(Storage.at(str(tmp_path)), f"{tmp_path}/x.parquet", SCHEMA, row_group_rows=1)
    sink.write(batch(5))
    sink.abort()
    del sink
    with pytest.raises(pa.ArrowInvalid):
        pq.read_table(tmp_path / "x.parquet")


def test_schema_hash_sees_types_and_order() -> None:
    """Equal hashes mean that files can be unioned."""
    a, b = pa.field("a", pa.int64()), pa.field("b", pa.string())
    hashes = [schema_hash(pa.schema(fields)) for fields in ([a, b], [b, a], [a], [a, pa.field("b", pa.int64())])]
    assert len(set(hashes)) == 4
