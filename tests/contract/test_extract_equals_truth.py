"""What the issue of this project is: an extract holds exactly what the account holds, for every resource."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lightspeed.arrow.types import shape_of
from airflow_provider_lightspeed.client.rest import RSeriesClient
from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.summary import Summary
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.resources.catalog import resource, resource_names
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.fakes import client_of
from tests.support.hostile import Record, losses, spoil
from tests.support.interference import Rewriter
from tests.support.tables import joined, plain
from tests.support.truth import assert_equal, rows_of, scalar_fields


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
    if name == "CatalogSearch":
        options["filters"] = {"description": "~,%"}
    job = Job.of(name, **options)
    start = datetime(2020, 1, 1, tzinfo=UTC) if job.resource.strategy.value == "period" else None
    facts = RunFacts(start=start, end=client.server_now() + timedelta(minutes=1) if start else None)
    return extract(client, Storage.at(str(folder)), job, facts, run_key=key, attempt="1", most_chains=1)


@pytest.mark.parametrize("name", resource_names())
def test_extract_equals_the_truth_field_by_field(
    name: str, simulator: SimulatorProcess, client: RSeriesClient, tmp_path: Path
) -> None:
    """Record by record, no more and no less; every scalar column has the truth's value."""
    summary = run(client, tmp_path, name)
    rows = rows_of(tmp_path, name)
    assert summary.rows == len(rows)
    assert_equal(name, rows, simulator.truth(name))
    assert not rows or {field.name for field in scalar_fields(name)} <= rows[0].keys()
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
        # Layaways and special orders are lines without a sale (F15).
        assert nested == {(line["saleID"], line[key]) for line in simulator.truth(name) if line["saleID"]}


def _hostile() -> list[Any]:
    """All resources; the ones without relations, and those that only print documents, take their turn in the slow tests."""
    quick = {name for name in resource_names() if resource(name).relations and not name.startswith("DisplayTemplate")}
    quick |= {"InventoryLog", "Option", "ReportsAccountingPaymentsByDay", "ItemShop", "DisplayTemplateLabel"}
    return [pytest.param(name, marks=[] if name in quick else pytest.mark.slow) for name in resource_names()]


@pytest.mark.parametrize("name", _hostile())
def test_both_layouts_hold_every_hostile_value(name: str, simulator: SimulatorProcess, tmp_path: Path) -> None:
    """With all relations loaded: what is not in its column is in ``_extra``; child tables, put together again, are the rows."""
    found = resource(name)
    relations = [key for key, facts in found.relations.items() if not facts.single_only]
    shape = shape_of(found, relations)
    sent: dict[str, Record] = {}

    def change(record: Record) -> Record:
        # A record may be asked for more than once.
        return sent.setdefault(record.get(found.primary_key or "") or str(len(sent)), spoil(found, shape, record))

    rewriter = Rewriter(re.sub(r"\{\w+\}", r"\\d+", found.path.strip("/")), found.envelope, change)
    client = client_of(simulator, transport=rewriter)
    run(client, tmp_path / "nested", name, relations=relations, mode="full")
    rows = rows_of(tmp_path / "nested", name)
    assert len(rows) == len(sent)
    received = {str(row[found.primary_key]) if found.primary_key else str(place): row for place, row in enumerate(rows)}
    assert [lost for key, record in sent.items() for lost in losses(shape, record, received[key])] == []
    summary = run(client, tmp_path / "tables", name, relations=relations, mode="full", relation_layout="tables")
    tables = {table: rows_of(tmp_path / "tables", name, table) for table in ("", *summary.tables)}
    assert {table: len(each) for table, each in tables.items() if table} == dict(summary.tables)
    again = plain(shape, tables[""] if found.primary_key is None else joined(shape, tables))
    assert again == plain(shape, rows)
    assert [row["_extra"] for row in tables[""]] == [row["_extra"] for row in rows]


@pytest.mark.parametrize("archived", [True, False, "only"])
def test_filter_on_the_archived_flag_is_heeded(
    archived: bool | str, simulator: SimulatorProcess, client: RSeriesClient, tmp_path: Path
) -> None:
    """It is no field to the API: left out, both kinds come; a wrong word is refused."""
    if archived == "only":
        with pytest.raises(InvalidArgument, match="filters: 'archived' is 'only'; allowed are True and False"):
            Job.of("Item", filters={"archived": archived})
        return
    run(client, tmp_path, "Item", filters={"archived": archived})
    truth = [row for row in simulator.truth("Item") if row["archived"] is archived]
    assert_equal("Item", rows_of(tmp_path, "Item"), truth)
    assert truth
