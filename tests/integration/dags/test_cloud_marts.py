"""Check and mart of the DAGs of Snowflake, BigQuery and Redshift: what their statements compute, told by DuckDB.

sqlglot translates each statement from the warehouse's dialect, so the providers are not needed.
"""

from __future__ import annotations

import ast
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("sqlglot")

import duckdb
import sqlglot

from airflow_provider_lightspeed.arrow.types import Selection
from airflow_provider_lightspeed.warehouse.loads import create
from airflow_provider_lightspeed.warehouse.tables import tables_of

DAGS = Path(__file__).parents[3] / "dags"
SCHEMAS = {"snowflake": "RAW", "bigquery": "lightspeed", "redshift": "lightspeed"}
#: shop, completed, voided, time, subtotal, discount, tax, total. The second subtotal is after the discount.
SALES = [
    (1, True, False, "2026-03-10T23:30:00+00:00", "100", "10", "9", "99"),
    (1, True, False, "2026-03-11T03:59:00+00:00", "90", "10", "9", "99"),
    (1, True, False, "2026-03-11T04:00:00+00:00", "-20", "-5", "-1.5", "-16.5"),
    (1, False, False, "2026-03-10T23:30:00+00:00", "50", "0", "5", "55"),
    (1, True, True, "2026-03-10T23:30:00+00:00", "50", "0", "5", "55"),
    (9, True, False, "2026-03-10T23:30:00+00:00", "7", "0", "0", "7"),
]


def constants(name: str) -> dict[str, Any]:
    """Return the texts and lists that a DAG file gives names to; the file is not imported."""
    found = {}
    for node in ast.parse((DAGS / f"example_lightspeed_{name}.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


@pytest.fixture(params=SCHEMAS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def warehouse(name: str) -> Any:
    """The tables as a load of sales and shops leaves them."""
    connection, schema = duckdb.connect(), SCHEMAS[name]
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"CREATE SCHEMA {schema}")
    connection.execute(f"USE {schema}")
    for resource in ("Sale", "Shop"):
        tables = tables_of(resource, (), Selection(naming="snake_case"), prefix=f"{schema}.")
        for statement in create(tables, "duckdb"):
            connection.execute(statement)
    connection.execute(
        "INSERT INTO shop BY NAME SELECT '7' AS _account_id, 1 AS shop_id, 'One' AS name, "
        "'America/New_York' AS time_zone"
    )
    for number, (shop, completed, voided, time, subtotal, discount, tax, total) in enumerate(SALES, 1):
        connection.execute(
            "INSERT INTO sale BY NAME SELECT '7' AS _account_id, ? AS sale_id, ? AS shop_id, ? AS completed, "
            "? AS voided, CAST(? AS TIMESTAMPTZ) AS complete_time, CAST(? AS DECIMAL(38, 10)) AS calc_subtotal, "
            "CAST(? AS DECIMAL(38, 10)) AS calc_discount, CAST(? AS DECIMAL(38, 10)) AS calc_tax1, 0 AS calc_tax2, "
            "CAST(? AS DECIMAL(38, 10)) AS calc_total",
            [number, shop, completed, voided, time, subtotal, discount, tax, total],
        )
    return connection


def translated(statement: str, name: str) -> str:
    """Return a warehouse's statement as DuckDB writes it."""
    (found,) = sqlglot.transpile(statement, read=name, write="duckdb")
    return str(found)


def test_net_of_the_mart_is_after_discounts(name: str, warehouse: Any) -> None:
    """By the shop's day and shop; sales that are voided or not completed count nowhere."""
    for _ in range(2):  # it is built anew each time
        for statement in constants(name)["MART"]:
            warehouse.execute(translated(statement, name))
    rows = warehouse.execute(
        "SELECT account_id, day, shop, sales, discount, net, tax FROM mart_sales ORDER BY shop, day"
    ).fetchall()
    assert rows == [
        ("7", date(2026, 3, 10), "?", 1, 0, 7, 0),
        ("7", date(2026, 3, 10), "One", 2, 20, 180, 18),
        ("7", date(2026, 3, 11), "One", 1, -5, -15, Decimal("-1.5")),
    ]


def test_check_finds_a_net_that_no_discount_explains(name: str, warehouse: Any) -> None:
    """It takes the subtotal before the discount, as documented, and after it, as seen; nothing else."""
    check = translated(constants(name)["CHECK"], name)
    assert warehouse.execute(check).fetchone() == (True,)
    warehouse.execute("UPDATE sale SET calc_subtotal = calc_subtotal + 1 WHERE sale_id = 1")
    assert warehouse.execute(check).fetchone() == (False,)
