"""What the issue of this project is: an extract holds exactly what the account holds, for every resource."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_lightspeed.client.rest import RSeriesClient
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.storage import Storage
from airflow_provider_lightspeed.extract.summary import Summary
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.resources.base import Field, FieldType, Resource
from airflow_provider_lightspeed.resources.catalog import resource, resource_names
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.fakes import client_of


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(
        sales=230, items=40, customers=30, days=20, registers=2, no_limits=True, grant=True
    ) as running:
        running.advance(600)  # the history ends where a window's end may lie: the settle time is over
        yield running


@pytest.fixture
def client(simulator: SimulatorProcess) -> RSeriesClient:
    return client_of(simulator)


def run(client: RSeriesClient, folder: Path, name: str, key: str = "run", **options: Any) -> Summary:
    """Extract a resource from the beginning of time."""
    filters = {"description": "~,%"} if name == "CatalogSearch" else None
    job = Job.of(name, filters=filters, **options)
    start = datetime(2020, 1, 1, tzinfo=UTC) if job.resource.strategy.value == "period" else None
    facts = RunFacts(start=start, end=client.server_now() + timedelta(minutes=1) if start else None)
    return extract(client, Storage.at(str(folder)), job, facts, run_key=key, attempt="1")


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return all rows that the manifest names."""
    manifest = orjson.loads((folder / name / "_manifest.json").read_bytes())
    tables = [pq.read_table(folder / name / file["path"]) for file in manifest["files"]]
    return pa.concat_tables(tables).to_pylist() if tables else []


def typed(field: Field, value: Any) -> Any:
    """Return a value of the simulator's truth as Arrow's Python value."""
    if value is None:
        return None
    match field.type:
        case FieldType.MONEY | FieldType.FLOAT:
            return Decimal(str(value))
        case FieldType.DATETIME:
            return datetime.fromisoformat(value)
        case FieldType.DATE:
            return date.fromisoformat(value)
    return value


def plain(field: Field, value: Any) -> Any:
    """Return an extracted value such that equal amounts are equal."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return Decimal(str(value)) if field.type in (FieldType.MONEY, FieldType.FLOAT) and value is not None else value


def scalar_fields(found: Resource) -> list[Field]:
    """Return the fields that are columns of their own."""
    inside = {FieldType.OBJECT, FieldType.COLLECTION, FieldType.MIXED, FieldType.STRING_LIST}
    return [field for field in found.entity.fields.values() if field.type not in inside]


@pytest.mark.parametrize("name", resource_names())
def test_extract_equals_the_truth_field_by_field(
    name: str, simulator: SimulatorProcess, client: RSeriesClient, tmp_path: Path
) -> None:
    """Record by record, no more and no less; every scalar column has the truth's value."""
    found = resource(name)
    summary = run(client, tmp_path, name)
    rows, truth = rows_of(tmp_path, name), simulator.truth(name)
    assert summary.rows == len(rows) == len(truth)
    fields = scalar_fields(found)

    def shown(record: dict[str, Any], read: Any) -> tuple[str, ...]:
        return tuple(repr(read(field, record.get(field.name))) for field in fields)

    def normal(value: Any) -> Any:
        return value.normalize() + 0 if isinstance(value, Decimal) else value

    expected = Counter(shown(record, lambda field, value: normal(typed(field, value))) for record in truth)
    extracted = Counter(shown(record, lambda field, value: normal(plain(field, value))) for record in rows)
    assert [field.name for field in fields if field.name not in (rows[0] if rows else {field.name: 0})] == []
    assert extracted == expected
    assert {key: count for key, count in summary.set_aside.items() if "decimals" not in key} == {}


def test_relations_arrive_whole_and_with_their_parent(
    simulator: SimulatorProcess, client: RSeriesClient, tmp_path: Path
) -> None:
    """Lines and payments are nested in their sale, sales with one line or none included."""
    run(client, tmp_path, "Sale", relations=["SaleLines", "SalePayments"])
    rows = rows_of(tmp_path, "Sale")
    for relation, name, key in (
        ("SaleLines", "SaleLine", "saleLineID"),
        ("SalePayments", "SalePayment", "salePaymentID"),
    ):
        nested = {(row["saleID"], line[key]) for row in rows for line in row[relation] or ()}
        assert nested == {(line["saleID"], line[key]) for line in simulator.truth(name)}
