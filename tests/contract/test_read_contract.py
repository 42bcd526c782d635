"""The read contract: what a merge keeps and what a view shows, against a model in plain Python, on any history."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from airflow_provider_lightspeed.warehouse.dialects import DIALECTS
from tests.support.read_contract.checks import Both, Loads, check_payments, check_sales
from tests.support.read_contract.model import payment_histories, sale_histories
from tests.support.table_specs import payment_tables, sale_tables
from tests.support.warehouses import DuckWarehouse, Read, Row, Warehouse, at

EXAMPLES = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


# Postgres speaks for itself in tests/integration.
@pytest.fixture(scope="module", params=[name for name in DIALECTS if name != "postgres"])
def warehouse(request: pytest.FixtureRequest) -> Warehouse:
    return DuckWarehouse(request.param)


@pytest.fixture(scope="module")
def sales(warehouse: Warehouse) -> Both:
    return Both.of(warehouse, sale_tables())


@pytest.fixture(scope="module")
def payments(warehouse: Warehouse) -> Both:
    return Both.of(warehouse, payment_tables())


@given(loads=sale_histories())
@EXAMPLES
def test_sales_with_lines_and_tombstones(sales: Both, loads: Loads) -> None:
    """Newest version by key, less what is gone or replaced, with the lines of that version: in any order of loads."""
    check_sales(sales, loads)


def test_full_read_replaces_only_what_it_had_seen(sales: Both) -> None:
    """Of two at once, each keeps what the other one shows, and the newer row of a key counts; in any order of loads."""

    def sale(key: int, modified: int) -> Row:
        return {"saleID": key, "updateTime": at(modified), "order": f"{key}@{modified}"}

    before = Read("before", 0, {"": [sale(3, -5)]})
    slow = Read("slow", 1, {"": [sale(1, 6), sale(2, 0)]}, whole=True, seen=0)
    quick = Read("quick", 4, {"": [sale(1, 2)]}, whole=True, seen=0)
    for loads in ([[before], [slow], [quick]], [[quick], [slow, before]], [[slow, quick], [before]]):
        check_sales(sales, loads)
        assert sorted(sales.warehouse.rows("SELECT saleID, updateTime FROM Sale")) == [(1, at(6)), (2, at(0))]


@given(loads=payment_histories())
@EXAMPLES
def test_payments_are_current_with_their_sale(payments: Both, loads: Loads) -> None:
    """A payment that a later read of its sale does not have is gone."""
    check_payments(payments, loads)
