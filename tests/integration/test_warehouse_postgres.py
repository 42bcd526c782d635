"""The read contract on a real Postgres, and what only Postgres says."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings

pytest.importorskip("sqlglot", reason="the extra 'warehouse' is not installed")

from airflow_provider_lightspeed.arrow.types import Selection
from airflow_provider_lightspeed.warehouse.clients import load_postgres
from airflow_provider_lightspeed.warehouse.loads import create, create_staging, load, loaded
from airflow_provider_lightspeed.warehouse.statements import add_columns, current_view, merge
from airflow_provider_lightspeed.warehouse.tables import tables_of
from tests.support.lake import publish
from tests.support.read_contract.checks import Both, Loads, check_payments, check_sales
from tests.support.read_contract.model import payment_histories, sale_histories
from tests.support.table_specs import label_tables, payment_tables, report_tables, sale_tables
from tests.support.warehouses import PostgresWarehouse, Read, at, made, postgres_warehouse, put

psycopg2 = pytest.importorskip("psycopg2")
pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR")]
EXAMPLES = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresWarehouse]:
    with postgres_warehouse(tmp_path_factory.mktemp("postgres")) as running:
        yield running


@pytest.fixture
def warehouse(server: PostgresWarehouse) -> PostgresWarehouse:
    """An empty database."""
    server.run(["DROP SCHEMA public CASCADE", "CREATE SCHEMA public"])
    return server


@pytest.fixture(scope="module")
def sales(server: PostgresWarehouse) -> Both:
    server.run(["CREATE SCHEMA sales", "SET search_path TO sales"])
    return Both.of(server, sale_tables())


@pytest.fixture(scope="module")
def payments(server: PostgresWarehouse) -> Both:
    server.run(["CREATE SCHEMA payments", "SET search_path TO payments"])
    return Both.of(server, payment_tables())


@given(loads=sale_histories())
@EXAMPLES
def test_sales_with_lines_and_tombstones(sales: Both, loads: Loads) -> None:
    """Newest version by key, less what is gone or replaced, with the lines of that version: in any order of loads."""
    sales.warehouse.run(["SET search_path TO sales"])
    check_sales(sales, loads)


@given(loads=payment_histories())
@EXAMPLES
def test_payments_are_current_with_their_sale(payments: Both, loads: Loads) -> None:
    """A payment that a later read of its sale does not have is gone."""
    payments.warehouse.run(["SET search_path TO payments"])
    check_payments(payments, loads)


@pytest.fixture(autouse=True)
def default_schema(server: PostgresWarehouse) -> None:
    server.run(["SET search_path TO public"])


def test_a_commit_that_another_load_has_just_noted_is_refused(warehouse: PostgresWarehouse) -> None:
    """Of two loads at a time one fails as a whole, and finds nothing left to do when it is tried again."""
    tables = made(warehouse, sale_tables())
    read = Read("a", 10, {"": [{"saleID": 1, "updateTime": at(1)}]})
    put(warehouse, tables, [read])
    with pytest.raises(psycopg2.errors.UniqueViolation):
        put(warehouse, tables, [Read("a", 10, {"": [{"saleID": 9, "updateTime": at(1)}]})])
    warehouse.run(["ROLLBACK"])
    assert warehouse.rows("SELECT saleID FROM sale") == [(1,)]
    assert warehouse.rows(loaded(tables, "postgres")) == [("a",)]


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_loads_what_is_new_in_one_transaction(warehouse: PostgresWarehouse, driver: str, tmp_path: Path) -> None:
    """With either driver; a load that fails leaves neither rows, nor the note, nor staging tables."""
    tables, fs = sale_tables(), fsspec.filesystem("file")
    line = {"_root_key": 1, "_path": "SaleLines[0]", "_position": 0, "saleLineID": 11}
    first = Read("a", 10, {"": [{"saleID": 1, "updateTime": at(1)}, {"saleID": 2}], "SaleLines": [line]})
    second = Read("b", 20, {"": [{"saleID": 1, "updateTime": at(12)}], "tombstones": [{"saleID": 2}]})
    connection = pytest.importorskip(driver).connect(warehouse.uri)
    folder = publish(fs, str(tmp_path), tables, [first])
    assert [load.commit for load in load_postgres(connection, tables, folder)] == ["00000001-a-1"]
    publish(fs, str(tmp_path), tables, [first, second], known=1)
    warehouse.run(["ALTER TABLE sale__salelines RENAME TO away"])
    warehouse.run(["CREATE VIEW sale__salelines AS SELECT 1 AS one"])
    with pytest.raises(connection.Error):
        load_postgres(connection, tables, folder)
    warehouse.run(["DROP VIEW sale__salelines", "ALTER TABLE away RENAME TO sale__salelines"])
    assert warehouse.rows("SELECT saleid FROM sale ORDER BY 1") == [(1,), (2,)]
    assert [load.commit for load in load_postgres(connection, tables, folder)] == ["00000002-b-1"]
    assert load_postgres(connection, tables, folder) == ()
    connection.close()
    assert warehouse.rows("SELECT saleid, updatetime FROM sale") == [(1, at(12))]
    assert warehouse.rows("SELECT * FROM sale__salelines") == []
    assert warehouse.rows("SELECT 1 FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE '%staging'") == []


def test_rows_without_keys(warehouse: PostgresWarehouse) -> None:
    """A snapshot is replaced as a whole, a report by the day; merging twice changes nothing."""
    labels = made(warehouse, label_tables())
    put(warehouse, labels, [Read("a", 10, {"": [{"itemID": 1}, {"itemID": 1}]}, whole=True)])
    put(warehouse, labels, [Read("b", 20, {"": [{"itemID": 2}, {"itemID": 2}]}, whole=True)])
    warehouse.run(merge(labels.main, "postgres"))
    assert warehouse.rows("SELECT itemid FROM displaytemplatelabel") == [(2,), (2,)]
    reports = made(warehouse, report_tables())
    day = at(0).date()
    put(warehouse, reports, [Read("a", 10, {"": [{"date": day, "tax": Decimal(1)}]}, days=(day, day))])
    put(warehouse, reports, [Read("b", 20, {"": []}, days=(day, day))])
    assert warehouse.rows("SELECT * FROM reportsaccountingtaxesbyday") == []


def test_moved_field_shows_in_the_view_and_fills_new_columns(warehouse: PostgresWarehouse) -> None:
    """What is no value of the column's type is null, not an error."""
    chosen = Selection(columns=("saleID", "total", "archived", "completeTime", "ticketNumber"))
    tables = tables_of("Sale", selection=chosen)
    warehouse.run(["CREATE TABLE sale (saleid BIGINT, _extra TEXT)"])
    kept = """{"total": "11.4860025", "archived": "true", "completeTime": "2026-02-28T10:00:00+00:00", "ticketNumber": "22"}"""
    strange = """{"total": "eleven", "archived": "perhaps", "completeTime": "2021-02-29T10:00:00+00:00"}"""
    warehouse.run([f"INSERT INTO sale VALUES (1, '{kept}'), (2, '{strange}'), (3, NULL)"])  # noqa: S608
    moved = ["total", "archived", "completeTime", "ticketNumber"]
    warehouse.run(add_columns(tables.main, "postgres", ["saleid", "_extra"]))
    warehouse.run(["UPDATE sale SET _account_id = '1', _extracted_at = now()"])
    warehouse.run(create(tables, "postgres"))
    warehouse.run(current_view(tables.main, "postgres", moved=moved))
    shown = "SELECT saleid, total, archived, completetime, ticketnumber FROM {} ORDER BY 1"
    values = (Decimal("11.4860025000"), True, at(-24 * 60 + 600), "22")
    assert warehouse.rows(shown.format("sale__current")) == [(1, *values), (2, *[None] * 4), (3, *[None] * 4)]
    # A view whose columns change is made anew.
    warehouse.run(current_view(tables_of("Sale", selection=Selection(columns=("saleID",))).main, "postgres"))
    warehouse.run(add_columns(tables.main, "postgres", tables.main.columns, moved=moved))
    assert warehouse.rows(shown.format("sale")) == [(1, *values), (2, *[None] * 4), (3, *[None] * 4)]


def test_nested_columns_arrive_as_jsonb(warehouse: PostgresWarehouse) -> None:
    """With all digits of money, which stays a number."""
    tables = tables_of("Sale", ["SaleLines"], Selection(columns=("saleID", "SaleLines", "updateTime")))
    warehouse.run([*create(tables, "postgres"), *create_staging(tables, "postgres")])
    lines = [{"saleLineID": 5, "calcTotal": Decimal("1.2300000001")}, {"saleLineID": 6}]
    read = Read("a", 10, {"": [{"saleID": 1, "SaleLines": lines, "updateTime": at(1)}]})
    for spec in tables:
        warehouse.fill(spec, read.table(spec))
    warehouse.run(load(tables, "postgres", [read.load("Sale")]))
    query = (
        "SELECT line ->> 'saleLineID', (line ->> 'calcTotal')::numeric FROM sale, jsonb_array_elements(salelines) line"
    )
    assert warehouse.rows(query) == [("5", Decimal("1.2300000001")), ("6", None)]
