"""Extracts of a shop that goes on selling, loaded commit by commit: the warehouse holds what the account holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from airflow_provider_lightspeed.arrow.types import Selection
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.warehouse.clients import load_duckdb
from airflow_provider_lightspeed.warehouse.tables import Tables, tables_of
from tests.support.fakes import client_of
from tests.support.truth import assert_equal


@pytest.fixture
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(
        sales=60, items=20, customers=10, days=5, no_limits=True, grant=True, token_life=864_000
    ) as running:
        running.advance(600)
        yield running


class Lake:
    """Extracts into files and loads them into DuckDB."""

    def __init__(self, simulator: SimulatorProcess, folder: Path) -> None:
        self.simulator, self.folder, self.runs = simulator, folder, 0
        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'")

    def extract(self, name: str, *, sweep: bool = False, **options: Any) -> None:
        """Extract a resource up to a moment later than all that the shop has done; look for deleted records."""
        self.runs += 1
        self.simulator.advance(600)
        client, job = client_of(self.simulator), Job.of(name, **options)
        is_report = job.resource.strategy.value == "period"
        start = datetime(2020, 1, 1, tzinfo=UTC) if is_report else None
        facts = RunFacts(start=start, end=client.server_now() + timedelta(minutes=1) if start else None)
        every = timedelta() if sweep else None
        run_key = f"run {self.runs}"
        extract(client, Storage.at(str(self.folder)), job, facts, run_key=run_key, attempt="1", sweep_every=every)

    def load(self, tables: Tables) -> int:
        """Load what is new; return how many commits there were."""
        return len(load_duckdb(self.connection, tables, self.folder / tables.main.resource))

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return a table's rows."""
        found = self.connection.execute(f'FROM "{table}"')
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def change(self, sale: int = 3) -> None:
        """Sell something, and change a sale."""
        now = datetime.fromtimestamp(self.simulator.advance(60), UTC).isoformat(timespec="seconds")
        self.simulator.mutate("sell", count=7, at=now)
        self.simulator.mutate("update", resource="Sale", key=sale, fields={"voided": True}, at=now)


@pytest.fixture
def lake(simulator: SimulatorProcess, tmp_path: Path) -> Lake:
    return Lake(simulator, tmp_path)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Sale", {}),
        ("SaleLine", {}),
        ("InventoryLog", {}),
        ("Shop", {}),
        ("PaymentType", {}),
        ("Locale", {}),
        ("ReportsAccountingTaxesByDay", {}),
        ("SalePayment", {}),
        ("Sale", {"mode": "full"}),
    ],
)
def test_merged_table_equals_the_truth(lake: Lake, name: str, options: dict[str, Any]) -> None:
    """After a first extract, after more has happened, and when both come in one load; nothing is loaded twice."""
    tables = tables_of(name)
    lake.extract(name, **options)
    assert lake.load(tables) == 1
    assert_equal(name, lake.rows(tables.main.name), lake.simulator.truth(name))
    for _ in range(2):
        lake.change()
        lake.extract(name, **options)
    assert lake.load(tables) >= 1
    assert_equal(name, lake.rows(tables.main.name), lake.simulator.truth(name))
    assert lake.load(tables) == 0


def test_lines_in_a_table_of_their_own(lake: Lake) -> None:
    """Those of a sale that was changed are as they are now, others stay."""
    tables = tables_of("Sale", ["SaleLines"], Selection(naming="snake_case"), layout="tables")
    (lines,) = (spec for spec in tables if spec.relation == "SaleLines")
    options: dict[str, Any] = {"relations": ["SaleLines"], "column_naming": "snake_case", "relation_layout": "tables"}
    for sale in (3, 4, 5):
        lake.extract("Sale", **options)
        lake.load(tables)
        truth = [line for line in lake.simulator.truth("SaleLine") if line["saleID"]]  # reservations hang on no sale
        expected = sorted((line["saleID"], line["saleLineID"], line["unitQuantity"]) for line in truth)
        found = [(row["_root_key"], row["sale_line_id"], row["unit_quantity"]) for row in lake.rows(lines.name)]
        assert sorted(found) == expected
        gone = next(key for root, key, _ in expected if root == sale)
        lake.simulator.mutate("delete", resource="SaleLine", key=gone)
        lake.change(sale)


def test_payment_that_its_sale_no_longer_has(lake: Lake) -> None:
    """It is read through its sales: a later read of the sale without it says that it is gone."""
    tables = tables_of("SalePayment")
    lake.extract("SalePayment")
    lake.load(tables)
    gone = next(row for row in lake.simulator.truth("SalePayment") if row["saleID"] == 3)
    lake.simulator.mutate("delete", resource="SalePayment", key=gone["salePaymentID"])
    lake.change(3)
    lake.extract("SalePayment")
    lake.load(tables)
    assert_equal("SalePayment", lake.rows("SalePayment"), lake.simulator.truth("SalePayment"))


def test_full_read_replaces_what_is_gone(lake: Lake) -> None:
    """Records that were deleted at Lightspeed go with the next full read."""
    tables = tables_of("Item")
    lake.extract("Item")
    lake.load(tables)
    lake.simulator.mutate("delete", resource="Item", key=2)
    lake.extract("Item")
    lake.load(tables)
    assert 2 in {row["itemID"] for row in lake.rows("Item")}
    lake.extract("Item", mode="full")
    lake.load(tables)
    assert_equal("Item", lake.rows("Item"), lake.simulator.truth("Item"))


@pytest.mark.parametrize("in_one_load", [False, True])
def test_deleted_and_archived_without_a_trace(lake: Lake, in_one_load: bool) -> None:
    """What a sweep finds goes, or is archived; lines of a sale that is gone go with it."""
    options: dict[str, Any] = {"relations": ["SaleLines"], "relation_layout": "tables"}
    tables = tables_of("Sale", ["SaleLines"], layout="tables")
    lake.extract("Sale", **options)
    if not in_one_load:
        lake.load(tables)
    lake.simulator.mutate("delete", resource="Sale", key=7)
    old = next(sale for sale in lake.simulator.truth("Sale") if sale["saleID"] == 9)
    unseen = {"archived": not old["archived"], "updateTime": old["updateTime"], "timeStamp": old["timeStamp"]}
    lake.simulator.mutate("update", resource="Sale", key=9, fields=unseen)
    lake.change()
    lake.extract("Sale", sweep=True, **options)
    lake.load(tables)
    rows = lake.rows("Sale")
    assert 7 not in {row["saleID"] for row in rows}
    assert_equal("Sale", rows, lake.simulator.truth("Sale"))
    assert {row["_root_key"] for row in lake.rows("Sale__SaleLines")} <= {row["saleID"] for row in rows}
