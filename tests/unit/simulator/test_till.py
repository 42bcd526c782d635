"""Sales under way: lines, payments, completion."""

from __future__ import annotations

import pytest

from airflow_provider_lightspeed.simulator.world import World
from tests.support.clockwork import after, do, listed, open_sale


def test_lines_of_an_open_sale_come_and_go_and_move_the_sale(shop: World) -> None:
    """``updatetime`` and the total follow; a line that is taken off is gone for good."""
    sale = open_sale(shop)
    before = listed(shop, "Sale", 0)[0]
    line = do(shop, "add_line", 60, sale=sale)
    grown = listed(shop, "Sale", 60)[0]
    assert grown["updatetime"] == grown["timeStamp"] == after(60).isoformat()
    assert float(grown["calcSubtotal"]) > float(before["calcSubtotal"])
    do(shop, "drop_line", 120, line=line)
    shrunk = listed(shop, "Sale", 120)[0]
    assert shrunk == before | {"updatetime": after(120).isoformat(), "timeStamp": after(120).isoformat()}
    assert str(line) not in {row["saleLineID"] for row in listed(shop, "SaleLine", 120)}


def test_completed_sale_keeps_its_time_and_its_lines(shop: World) -> None:
    """``timeStamp`` is the completion's from then on, only ``updatetime`` moves; lines are refused."""
    sale = open_sale(shop)
    do(shop, "finish", 60, sale=sale)
    do(shop, "update", 120, resource="Sale", key=sale, fields={"voided": True})
    found = listed(shop, "Sale", 120, load_relations='["SalePayments"]')[0]
    assert (found["completeTime"], found["timeStamp"], found["updatetime"]) == (
        after(60).isoformat(), after(60).isoformat(), after(120).isoformat()
    )  # fmt: skip
    assert found["SalePayments"]
    with pytest.raises(ValueError, match=f"Sale {sale} is completed"):
        do(shop, "add_line", 130, sale=sale)


def test_payment_is_taken_off_with_its_sale_but_archived_without(shop: World) -> None:
    """An update of a payment does not touch the sale; taking it off does."""
    payment = shop.rows("SalePayment")[0]
    sale = next(row for row in shop.rows("Sale") if row["saleID"] == payment["saleID"])
    key = payment["salePaymentID"]
    do(shop, "update", 60, resource="SalePayment", key=key, fields={"archived": True})
    assert next(row for row in shop.rows("Sale") if row["saleID"] == sale["saleID"]) == sale
    do(shop, "unpay", 120, payment=key)
    assert key not in {row["salePaymentID"] for row in shop.rows("SalePayment")}
    moved = next(row for row in shop.rows("Sale") if row["saleID"] == sale["saleID"])
    assert moved["updateTime"] == after(120).isoformat()
