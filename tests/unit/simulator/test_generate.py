"""Shops made up from a seed."""

from __future__ import annotations

from decimal import Decimal

from tests.support.small_world import NOW, ROOT, TRUTH, ask, make


def test_one_seed_makes_one_world() -> None:
    """To the byte; another seed makes another."""
    again = make().query(f"{ROOT}/Sale.json", {}, base_url="http://x", now=NOW)
    assert again == ask("Sale")
    assert make(2).query(f"{ROOT}/Sale.json", {}, base_url="http://x", now=NOW).body != again.body


def test_sales_add_up() -> None:
    """Lines make the subtotal; payments that stood, those not archived, the total of completed sales (F6)."""
    for sale in TRUTH["Sale"]:
        lines = [line for line in TRUTH["SaleLine"] if line["saleID"] == sale["saleID"]]
        payments = [p for p in TRUTH["SalePayment"] if p["saleID"] == sale["saleID"] and not p["archived"]]
        paid = [Decimal(p["amount"]) for p in payments]
        assert sum((Decimal(line["calcSubtotal"]) for line in lines), Decimal(0)) == Decimal(sale["calcSubtotal"])
        assert not sale["completed"] or sum(paid, Decimal(0)) == Decimal(sale["calcTotal"])


def test_stock_of_all_shops_is_their_sum() -> None:
    """Shop 0 stands for all."""
    for item in TRUTH["Item"]:
        rows = [row for row in TRUTH["ItemShop"] if row["itemID"] == item["itemID"]]
        assert sum(row["qoh"] for row in rows if row["shopID"]) == next(r["qoh"] for r in rows if not r["shopID"])
