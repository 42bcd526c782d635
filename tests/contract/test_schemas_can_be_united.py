"""Files of a resource can be united: across runs, accounts and releases, by every reader a warehouse may use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import fastparquet
import orjson
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from airflow_provider_lightspeed.arrow.types import arrow_schema
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.resources.base import FieldType
from airflow_provider_lightspeed.resources.catalog import resource, resources
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.fakes import client_of
from tests.support.interference import SharedTime

SNAPSHOT = Path(__file__).with_name("schemas.json")
#: What is extracted: a resource, its relations, the layout.
DATASETS = (
    ("Sale", ("SaleLines", "SalePayments", "Customer", "Customer.Contact"), "nested"),
    ("Sale", ("SaleLines", "SalePayments", "Customer", "Customer.Contact"), "tables"),
    ("Item", ("ItemShops", "ItemPrices", "TagRelations", "TaxClass"), "nested"),
    ("Customer", (), "nested"),
)


def columns_of(name: str) -> dict[str, str]:
    """Return the columns of a resource with all relations, one level deep, and their types."""
    found = resource(name)
    relations = [key for key, facts in found.relations.items() if not facts.single_only and "." not in key]
    columns: dict[str, str] = {}
    for field in arrow_schema(found, relations):
        kind = field.type.value_type if pa.types.is_list(field.type) else field.type
        columns[field.name] = "records" if pa.types.is_struct(kind) else str(field.type)
        if pa.types.is_struct(kind):
            columns |= {f"{field.name}.{inner.name}": _kind(inner.type) for inner in kind}
    return columns


def _kind(kind: pa.DataType) -> str:
    return "records" if pa.types.is_nested(kind) else str(kind)


@pytest.mark.parametrize("name", [found.name for found in resources()])
def test_no_release_takes_a_column_away_or_changes_its_type(name: str) -> None:
    """Columns may be added, here too: ``python -m tests.contract.test_schemas_can_be_united`` writes the snapshot anew."""
    released = orjson.loads(SNAPSHOT.read_bytes())[name]
    now = columns_of(name)
    assert {column: now.get(column) for column in released} == released


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Datasets of two runs each."""
    folder = tmp_path_factory.mktemp("lake")
    with SimulatorProcess(sales=230, items=60, customers=40, days=20, no_limits=True, grant=True) as shop:
        shop.advance(600)
        for run in ("first", "second"):
            client = client_of(shop, clock=SharedTime(shop))
            for name, relations, layout in DATASETS:
                job = Job.of(name, relations=relations, relation_layout=layout)
                extract(client, Storage.at(str(folder / layout)), job, RunFacts(), run_key=run, attempt="1")
            shop.mutate("sell", count=3)
            shop.advance(1200)
        yield folder


def files_of(lake: Path) -> dict[str, list[str]]:
    """Return the live files of all tables, by manifest."""
    found = {}
    for path in sorted(lake.rglob("_manifest.json")):
        manifest = orjson.loads(path.read_bytes())
        found[str(path.parent.relative_to(lake))] = [str(path.parent / file["path"]) for file in manifest["files"]]
    return found


def test_every_reader_opens_every_file_and_unites_them(lake: Path) -> None:
    """pyarrow, DuckDB, pandas and polars, without being told to be lenient; all count the same rows."""
    several = 0
    for table, files in files_of(lake).items():
        several += len(files) > 1
        rows = sum(pq.ParquetFile(file).metadata.num_rows for file in files)
        assert rows == ds.dataset(files).count_rows() == ds.dataset(files).to_table().num_rows, table
        assert len(duckdb.read_parquet(files).fetchall()) == rows, table
        assert len(pl.scan_parquet(files).collect()) == rows, table
        frames = [pd.read_parquet(file, dtype_backend="pyarrow") for file in files]
        assert len({tuple(frame.dtypes.map(str)) for frame in frames}) == 1, table
        assert len(pd.concat(frames)) == rows, table
    assert several >= len(DATASETS)


def test_flat_tables_open_with_fastparquet(lake: Path) -> None:
    """A reader that shares no code with Arrow; it knows no lists of records."""
    for table, files in files_of(lake / "tables").items():
        for file in files:
            assert fastparquet.ParquetFile(file).count() == pq.ParquetFile(file).metadata.num_rows, table


def test_physical_types_are_those_that_spark_reads(lake: Path) -> None:
    """Microseconds in UTC, decimals of at most 38 digits, standard lists: no nanoseconds, no unsigned, no large types."""
    allowed = {"INT32", "INT64", "BOOLEAN", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"}
    for files in files_of(lake).values():
        for file in files:
            schema = pq.ParquetFile(file).schema
            for place in range(len(schema)):
                column = schema.column(place)
                assert column.physical_type in allowed, column
                logical = orjson.loads(column.logical_type.to_json())
                if logical["Type"] == "Timestamp":
                    assert (logical["timeUnit"], logical["isAdjustedToUTC"]) == ("microseconds", True)
                if logical["Type"] == "Decimal":
                    assert (logical["precision"], logical["scale"]) == (38, 10)
                if column.max_repetition_level:
                    assert ".list.element" in column.path


def test_every_type_of_the_catalog_has_a_column_type() -> None:
    """The table of docs/dataset.md."""
    kinds: dict[FieldType, set[str]] = {}
    for found in resources():
        for name, field in found.entity.fields.items():
            column: Any = arrow_schema(found)
            if name in column.names:
                kinds.setdefault(field.type, set()).add(_kind(column.field(name).type))
    money = {"decimal128(38, 10)"}
    assert kinds[FieldType.QUANTITY] == kinds[FieldType.MONEY] == kinds[FieldType.FLOAT] == money
    assert kinds[FieldType.INTEGER] == {"int64"}
    assert kinds[FieldType.DATETIME] == {"timestamp[us, tz=UTC]"}
    assert kinds[FieldType.DATE] == {"date32[day]"}
    assert kinds[FieldType.BOOLEAN] == {"bool"}
    assert kinds[FieldType.STRING] == kinds[FieldType.MIXED] == {"string"}


if __name__ == "__main__":
    everything = {found.name: columns_of(found.name) for found in resources()}
    SNAPSHOT.write_bytes(orjson.dumps(everything, option=orjson.OPT_INDENT_2))
