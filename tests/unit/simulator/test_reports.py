"""The accounting reports: they add up to the records that they are of."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_lightspeed.simulator.reports import REPORTS
from tests.support.small_world import WORLD

STORES = {
    name: list(WORLD.rows(name))
    for name in ("Sale", "SaleLine", "SalePayment", "PaymentType", "Order", "Vendor", "TaxCategory")
}
COMPLETED = {sale["saleID"]: sale for sale in STORES["Sale"] if sale["completed"] and not sale["voided"]}


def total(rows: Iterable[dict[str, Any]], name: str) -> Decimal:
    return sum((Decimal(row[name] or 0) for row in rows), Decimal(0))


@pytest.mark.parametrize(
    ("report", "amount", "rows", "field"),
    [
        (
            "ReportsAccountingPaymentsByDay",
            "amount",
            [row for row in STORES["SalePayment"] if row["saleID"] in COMPLETED and not row["archived"]],
            "amount",
        ),
        ("ReportsAccountingTaxesByDay", "tax", list(COMPLETED.values()), "taxTotal"),
        (
            "ReportsAccountingTaxClassSalesByDay",
            "subtotal",
            [row for row in STORES["SaleLine"] if row["saleID"] in COMPLETED],
            "calcSubtotal",
        ),
        ("ReportsAccountingDiscountsByDay", "discount", list(COMPLETED.values()), "calcDiscount"),
        ("ReportsAccountingOrdersByTaxClass", "cost", STORES["Order"], "totalCost"),
    ],
)
def test_report_adds_up_to_its_records(report: str, amount: str, rows: list[dict[str, Any]], field: str) -> None:
    """Of completed sales that are not voided; one row for each day and kind, in their order."""
    found = REPORTS[report](STORES)
    assert rows
    cents = Decimal("0.005") * len(found)  # a row of a report is in cents, a line has four decimals
    assert abs(total(found, amount) - total(rows, field)) <= cents
    assert [row["date"] for row in found] == sorted(row["date"] for row in found)
    assert {len(row["date"]) for row in found} == {10}
