"""Loads: once each, in any order, and what rows without a key do."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from airflow_provider_lightspeed.warehouse.dialects import DIALECTS
from airflow_provider_lightspeed.warehouse.loads import create_staging, load, loaded
from airflow_provider_lightspeed.warehouse.statements import current_view, merge
from airflow_provider_lightspeed.warehouse.tables import Tables
from tests.support.table_specs import label_tables, report_tables, sale_tables
from tests.support.warehouses import DuckWarehouse, Read, Row, at, made, put, renamed


# Postgres speaks for itself in tests/integration.
@pytest.fixture(params=[name for name in DIALECTS if name != "postgres"])
def warehouse(request: pytest.FixtureRequest) -> DuckWarehouse:
    return DuckWarehouse(request.param)


def sale(key: int, modified: int, text: str = "") -> Row:
    return {"saleID": key, "updateTime": at(modified), "order": text, "total": Decimal(key)}


def line(key: int, place: int) -> Row:
    return {"_root_key": key, "_path": f"SaleLines[{place}]", "_position": place, "saleLineID": 100 * key + place}


def contents(warehouse: DuckWarehouse) -> list[list[tuple[object, ...]]]:
    return [warehouse.rows(f"SELECT * FROM {name} ORDER BY ALL") for name in ("Sale", "Sale__SaleLines")]  # noqa: S608


def test_merging_twice_changes_nothing(warehouse: DuckWarehouse) -> None:
    """A load that is repeated, for its transaction's end was not heard of, does no harm."""
    tables = made(warehouse, sale_tables())
    put(
        warehouse,
        tables,
        [Read("a", 10, {"": [sale(1, 1), sale(2, 1)], "SaleLines": [line(1, 0), line(1, 1), line(2, 0)]})],
    )
    put(
        warehouse,
        tables,
        [Read("b", 20, {"": [sale(1, 12)], "SaleLines": [line(1, 0)], "tombstones": [{"saleID": 2}]})],
    )
    before = contents(warehouse)
    for spec in tables:
        warehouse.run(merge(spec, warehouse.dialect))
    assert contents(warehouse) == before
    assert [len(rows) for rows in before] == [1, 1]


def test_an_old_commit_that_comes_late_lowers_nothing(warehouse: DuckWarehouse) -> None:
    """Neither a row that has changed, nor one that is gone, nor what a whole read has replaced."""
    tables = made(warehouse, sale_tables())
    put(
        warehouse,
        tables,
        [Read("late", 30, {"": [sale(1, 25, "new")]}), Read("gone", 31, {"tombstones": [{"saleID": 2}]})],
    )
    put(warehouse, tables, [Read("whole", 40, {"": [sale(1, 25, "new")]}, whole=True)])
    put(warehouse, tables, [Read("early", 10, {"": [sale(1, 1, "old"), sale(2, 1), sale(3, 1)]})])
    assert warehouse.rows('SELECT saleID, "order" FROM Sale') == [(1, "new")]


def test_lines_follow_their_sale(warehouse: DuckWarehouse) -> None:
    """Those of an older version are gone, a sale that has none left included; other sales keep theirs."""
    tables = made(warehouse, sale_tables())
    first = {"": [sale(1, 1), sale(2, 1), sale(3, 1)], "SaleLines": [line(1, 0), line(1, 1), line(2, 0), line(3, 0)]}
    put(warehouse, tables, [Read("a", 10, first)])
    put(warehouse, tables, [Read("b", 20, {"": [sale(1, 12), sale(2, 13)], "SaleLines": [line(1, 0)]})])
    assert warehouse.rows("SELECT saleLineID FROM Sale__SaleLines ORDER BY 1") == [(100,), (300,)]


def test_tombstone_of_the_same_moment_counts_and_an_earlier_one_does_not(warehouse: DuckWarehouse) -> None:
    """A record that is read again after it was found gone is back."""
    tables = made(warehouse, sale_tables())
    put(warehouse, tables, [Read("a", 10, {"": [sale(1, 1), sale(2, 1)], "tombstones": [{"saleID": 1}]})])
    put(warehouse, tables, [Read("b", 9, {"tombstones": [{"saleID": 2}]})])
    assert warehouse.rows("SELECT saleID FROM Sale") == [(2,)]


def test_rows_of_two_accounts_do_not_meet(warehouse: DuckWarehouse) -> None:
    """Equal keys, a whole read and a tombstone of one leave the other's alone."""
    tables = made(warehouse, sale_tables())
    both = {"": [sale(1, 1), sale(2, 1)], "SaleLines": [line(1, 0)]}
    put(warehouse, tables, [Read(f"a{n}", 10, both, account=n) for n in ("1", "2")])
    put(
        warehouse,
        tables,
        [Read("b", 20, {"": [sale(1, 1)]}, whole=True), Read("c", 21, {"tombstones": [{"saleID": 1}]})],
    )
    assert warehouse.rows("SELECT _account_id, saleID FROM Sale ORDER BY 2") == [("2", 1), ("2", 2)]
    assert warehouse.rows("SELECT _account_id, saleLineID FROM Sale__SaleLines") == [("2", 100)]


def test_commits_are_noted_with_their_rows() -> None:
    """A load that breaks off leaves neither; one that ends leaves both."""
    warehouse, tables = DuckWarehouse(), sale_tables()
    made(warehouse, tables)
    warehouse.run(create_staging(tables, "duckdb"))
    read = Read("a", 10, {"": [sale(1, 1)]})
    warehouse.fill(tables.main, read.table(tables.main))
    *statements, commit = load(tables, "duckdb", [read.load("Sale")])
    warehouse.run(statements)
    warehouse.run(["ROLLBACK"])
    assert (warehouse.rows("FROM Sale"), warehouse.rows(loaded(tables, "duckdb"))) == ([], [(None,)])
    warehouse.run([*statements, commit])
    assert len(warehouse.rows("FROM Sale")) == 1
    assert warehouse.rows(loaded(tables, "duckdb")) == [("a",)]
    assert load(tables, "duckdb", []) == ()


@pytest.mark.parametrize("name", ["merged", "view"])
def test_snapshot_without_keys_is_replaced(warehouse: DuckWarehouse, name: str) -> None:
    """By the next one, be it empty; equal rows stay as many as there were."""
    tables, keeps = made(warehouse, label_tables(), keeps_history=name == "view"), name == "view"
    warehouse.run(current_view(tables.main, warehouse.dialect))
    shown = f"SELECT itemID FROM {tables.main.current if keeps else tables.main.name} ORDER BY 1"  # noqa: S608

    def take(label: str, minute: int, *items: int) -> None:
        read = Read(label, minute, {"": [{"itemID": item} for item in items]}, whole=True)
        put(warehouse, tables, [read], keeps_history=keeps)

    take("b", 20, 1, 1, 2)
    if not keeps:
        warehouse.run(merge(tables.main, warehouse.dialect))
    assert warehouse.rows(shown) == [(1,), (1,), (2,)]
    take("a", 10, 7)
    assert warehouse.rows(shown) == [(1,), (1,), (2,)]
    take("c", 30)
    assert warehouse.rows(shown) == []


@pytest.mark.parametrize("name", ["merged", "view"])
def test_report_is_replaced_by_the_day(warehouse: DuckWarehouse, name: str) -> None:
    """The newest report on a day counts, be it one that has no rows for it any more; other days stay."""
    tables, keeps = made(warehouse, report_tables(), keeps_history=name == "view"), name == "view"
    warehouse.run(current_view(tables.main, warehouse.dialect))
    shown = tables.main.current if keeps else tables.main.name
    days = [date(2026, 2, day) for day in range(1, 6)]

    def report(label: str, minute: int, first: int, last: int, *rows: tuple[int, int]) -> Read:
        found = [{"date": days[day], "tax": Decimal(tax)} for day, tax in rows]
        return Read(label, minute, {"": found}, days=(days[first], days[last]))

    put(warehouse, tables, [report("b", 20, 1, 3, (1, 12), (1, 13))], keeps_history=keeps)
    put(
        warehouse,
        tables,
        [report("a", 10, 0, 3, (0, 1), (1, 2), (2, 3), (3, 4)), report("c", 30, 4, 4, (4, 5))],
        keeps_history=keeps,
    )
    found = warehouse.rows(f"SELECT date, tax FROM {shown} ORDER BY 1, 2")  # noqa: S608
    assert [(day, int(tax)) for day, tax in found] == [(days[0], 1), (days[1], 12), (days[1], 13), (days[4], 5)]


def test_two_resources_share_the_table_of_loads() -> None:
    """Commits of one do not count for the other, though their names be equal."""
    warehouse = DuckWarehouse()
    sales, labels = made(warehouse, sale_tables()), made(warehouse, label_tables())
    put(warehouse, sales, [Read("a", 10, {"": [sale(1, 1)]})])
    put(warehouse, labels, [Read("a", 20, {"": [{"itemID": 1}]}, whole=True)])
    assert len(warehouse.rows("FROM Sale")) == 1
    assert warehouse.rows(loaded(labels, "duckdb")) == [("a",)]


def test_staging_has_no_rows_of_before() -> None:
    """It is made anew for each load."""
    warehouse, tables = DuckWarehouse(), sale_tables()
    warehouse.run(create_staging(tables, "duckdb"))
    warehouse.fill(tables.main, Read("a", 10, {"": [sale(1, 1)]}).table(tables.main))
    warehouse.run(create_staging(tables, "duckdb"))
    assert warehouse.rows("FROM Sale__staging") == []


def test_sources_may_be_named() -> None:
    """For whoever has staging tables of other names."""
    tables: Tables = renamed(sale_tables(), "")
    statements = load(tables, "duckdb", [Read("a", 10).load("Sale")], sources={"": "landing.new_sales"})
    assert any('"landing"."new_sales"' in statement for statement in statements)
    assert not any('"Sale__staging"' in statement for statement in statements)
