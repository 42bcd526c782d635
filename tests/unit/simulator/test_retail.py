"""The books of five shops, read over the API and added up anew, and what happens in them."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import orjson
import pytest

from airflow_provider_lightspeed.simulator.world import World

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SEEDS = (1, 2, 3, 4, 5)
CENT = Decimal("0.01")
Record = dict[str, Any]


class Shop:
    """The records of a seed, as a client gets them."""

    def __init__(self, seed: int) -> None:
        self.world = World.generate(
            seed, sales=400, items=40, customers=60, days=30, registers=4, now=NOW, account_id="7"
        )
        self.sales = self.read("Sale", load_relations='["SaleLines","SalePayments"]', sort="saleID")
        self.lines = self.read("SaleLine")
        self.payments = self.read("SalePayment")
        self.counted = [sale for sale in self.sales if sale["completed"] == "true" and sale["voided"] == "false"]

    def read(self, name: str, **params: str) -> list[Record]:
        """Return all records of a list, archived ones included."""
        params = {"archived": "true"} | params
        found: list[Record] = []
        while True:
            answer = self.world.query(f"/API/V3/Account/7/{name}.json", params, base_url="http://x", now=NOW)
            assert answer.status == 200, answer.body
            page = orjson.loads(answer.body)
            found += many(page, name)
            following = page["@attributes"]["next"]
            if not following:
                return found
            params = dict(parse_qsl(urlsplit(following).query))


def many(container: Any, name: str) -> list[Record]:
    """Return what a container holds."""
    inner = container.get(name, []) if container else []
    return inner if isinstance(inner, list) else [inner]


def lines_of(sale: Record) -> list[Record]:
    return many(sale["SaleLines"], "SaleLine")


def payments_of(sale: Record) -> list[Record]:
    """Return the payments that count."""
    return [each for each in many(sale["SalePayments"], "SalePayment") if each["archived"] == "false"]


def total(records: list[Record], *names: str) -> Decimal:
    return sum((Decimal(record[name]) for record in records for name in names), Decimal(0))


def near(sale: Record) -> Decimal:
    """Return the tolerance of a sum over lines: they have four decimals, headers two."""
    return CENT + Decimal("0.005") * len(lines_of(sale))


@cache
def shop_of(seed: int) -> Shop:
    return Shop(seed)


@pytest.fixture(params=SEEDS)
def shop(request: pytest.FixtureRequest) -> Shop:
    return shop_of(request.param)


def test_t1_lines_make_the_total(shop: Shop) -> None:
    """``total`` is ``calcTotal`` and the tips, which are inside the payments (F8)."""
    for sale in shop.sales:
        assert abs(total(lines_of(sale), "calcTotal") - Decimal(sale["calcTotal"])) <= near(sale)
        assert Decimal(sale["total"]) == Decimal(sale["calcTotal"]) + Decimal(sale["calcTips"])


def test_t2_lines_make_the_discount(shop: Shop) -> None:
    """Those on the line and those on the whole sale."""
    for sale in shop.sales:
        given = total(lines_of(sale), "calcLineDiscount", "calcTransactionDiscount")
        assert abs(given - Decimal(sale["calcDiscount"])) <= near(sale)


def test_t3_lines_make_the_taxes(shop: Shop) -> None:
    """Both of them."""
    for sale in shop.sales:
        for name in ("calcTax1", "calcTax2"):
            assert abs(total(lines_of(sale), name) - Decimal(sale[name])) <= near(sale)


def test_t4_subtotal_less_discount_plus_tax_is_the_total(shop: Shop) -> None:
    """Of every header and every line, reservations included."""
    for record in [*shop.sales, *shop.lines]:
        discount = (
            Decimal(record["calcDiscount"])
            if "calcDiscount" in record
            else total([record], "calcLineDiscount", "calcTransactionDiscount")
        )
        net = Decimal(record["calcSubtotal"]) - discount
        assert net + total([record], "calcTax1", "calcTax2") == Decimal(record["calcTotal"])


def test_t5_payments_that_stand_make_the_total(shop: Shop) -> None:
    """With the sign of the total; archived ones count nowhere; cash may be rounded (F14)."""
    for sale in shop.counted:
        paid = total(payments_of(sale), "amount")
        assert paid == Decimal(sale["calcPayments"])
        assert paid - Decimal(sale["total"]) == Decimal(sale["cashRoundingDelta"])
        assert total(payments_of(sale), "tipAmount") == Decimal(sale["calcTips"])


def test_t6_nothing_is_left_to_pay_on_a_counted_sale(shop: Shop) -> None:
    """But the cents by which cash was rounded; open ones show all of it."""
    for sale in shop.sales:
        assert Decimal(sale["balance"]) == Decimal(sale["total"]) - Decimal(sale["calcPayments"])
    for sale in shop.counted:
        assert Decimal(sale["balance"]) == -Decimal(sale["cashRoundingDelta"])
        assert Decimal(sale["cashRoundedBalance"]) == 0


def test_t7_cost_is_per_unit(shop: Shop) -> None:
    """Times the quantity it makes the header's, for both methods."""
    several = 0
    for sale in shop.sales:
        lines = lines_of(sale)
        several += any(line["unitQuantity"] not in ("1", "-1") for line in lines)
        for unit, header in (("fifoCost", "calcFIFOCost"), ("avgCost", "calcAvgCost")):
            cost = sum((Decimal(line[unit]) * Decimal(line["unitQuantity"]) for line in lines), Decimal(0))
            assert abs(cost - Decimal(sale[header])) <= near(sale)
    assert several > 20


def test_t8_stock_of_all_shops_is_their_sum(shop: Shop) -> None:
    """Shop 0 stands for all, and it alone has an average cost (E1, E2)."""
    by_item: dict[str, list[Record]] = defaultdict(list)
    for row in shop.read("ItemShop"):
        by_item[row["itemID"]].append(row)
    for rows in by_item.values():
        (whole,) = (row for row in rows if row["shopID"] == "0")
        parts = [row for row in rows if row["shopID"] != "0"]
        for name in ("qoh", "onLayaway", "onSpecialOrder"):
            assert total(parts, name) == Decimal(whole[name]), name
        assert Decimal(whole["averageCost"]) > 0
        assert {row["averageCost"] for row in parts} == {"0"}
        for row in rows:
            assert Decimal(row["sellable"]) == max(Decimal(row["qoh"]), Decimal(0))


def test_t10_lines_and_payments_hang_on_sales(shop: Shop) -> None:
    """But reservations, which hang on none and name their customer (F15)."""
    sales = {sale["saleID"] for sale in shop.sales}
    items = {row["itemID"] for row in shop.read("Item")}
    for line in shop.lines:
        is_reservation = line["isLayaway"] == "true" or line["isSpecialOrder"] == "true"
        assert (line["saleID"] == "0") is is_reservation
        assert (line["customerID"] != "0") is is_reservation
        assert line["saleID"] in sales or is_reservation
        assert line["itemID"] in items or line["lineType"] == "item_fee"
    assert {payment["saleID"] for payment in shop.payments} <= sales


def test_t15_shops_have_time_zones_and_counted_sales_an_end(shop: Shop) -> None:
    """Two zones; sales happen when the shop is open by its own clock."""
    zones = {row["shopID"]: ZoneInfo(row["timeZone"]) for row in shop.read("Shop")}
    assert len({str(zone) for zone in zones.values()}) == 2
    hours = [
        datetime.fromisoformat(sale["completeTime"]).astimezone(zones[sale["shopID"]]).hour for sale in shop.counted
    ]
    assert sum(9 <= hour < 20 for hour in hours) >= 0.97 * len(hours)


def test_f11_f12_refunds_have_negative_quantities(shop: Shop) -> None:
    """With a receipt they name the line that comes back, at its price; one ticket may do both; money goes out."""
    by_key = {line["saleLineID"]: line for line in shop.lines}
    refunds = [line for line in shop.lines if Decimal(line["unitQuantity"]) < 0]
    assert all(Decimal(line["unitPrice"]) > 0 for line in shop.lines)
    known = [line for line in refunds if line["parentSaleLineID"] != "0"]
    assert known
    assert len(known) < len(refunds)
    for line in known:
        sold = by_key[line["parentSaleLineID"]]
        assert Decimal(sold["calcTotal"]) == -Decimal(line["calcTotal"])
        assert (sold["itemID"], sold["avgCost"]) == (line["itemID"], line["avgCost"])
    signs = [{Decimal(line["unitQuantity"]) > 0 for line in lines_of(sale)} for sale in shop.counted]
    assert {True, False} in signs
    assert any(Decimal(sale["calcPayments"]) < 0 for sale in shop.counted)


def test_f1_voided_sales_stay_with_a_reason(shop: Shop) -> None:
    """One each."""
    voided = {sale["saleID"] for sale in shop.sales if sale["voided"] == "true"}
    assert voided
    assert sorted(row["saleID"] for row in shop.read("SaleVoid")) == sorted(voided)


def test_f6_f8_attempts_that_failed_are_archived_and_tips_are_in_the_amount(shop: Shop) -> None:
    """Both happen; change is not in the amount (F7)."""
    assert any(payment["archived"] == "true" for payment in shop.payments)
    assert any(Decimal(payment["tipAmount"]) > 0 for payment in shop.payments)
    assert any(Decimal(sale["change"]) > 0 for sale in shop.counted)


def test_f13_f14_one_shop_adds_tax_and_one_includes_it_and_rounds_cash(shop: Shop) -> None:
    """A price that includes tax is a round one with it; a customer may pay none."""
    inclusive = [sale for sale in shop.counted if sale["isTaxInclusive"] == "true"]
    assert 0 < len(inclusive) < len(shop.counted)
    assert {sale["shopID"] for sale in inclusive} == {"2"}
    assert any(Decimal(sale["cashRoundingDelta"]) for sale in inclusive)
    for sale in inclusive:
        for line in lines_of(sale):
            if line["tax"] == "true" and not Decimal(line["calcLineDiscount"]) + Decimal(
                line["calcTransactionDiscount"]
            ):
                assert abs(Decimal(line["calcTotal"]) - Decimal(line["displayableSubtotal"])) <= CENT
    assert any(line["tax"] == "false" and line["lineType"] == "" for line in shop.lines)
    assert any(Decimal(line["calcTax2"]) for line in shop.lines)


def test_f17_f18_balances_of_accounts_and_cards_are_their_flows(shop: Shop) -> None:
    """Money that is put on one is a negative payment, and a negative balance is money that the shop holds."""
    flows: dict[str, Decimal] = defaultdict(Decimal)
    kinds = {row["paymentTypeID"]: row["type"] for row in shop.read("PaymentType")}
    for payment in shop.payments:
        if payment["archived"] == "false" and payment["creditAccountID"] != "0":
            flows[payment["creditAccountID"]] += Decimal(payment["amount"])
            assert kinds[payment["paymentTypeID"]] in ("gift card", "credit account")
    for account in shop.read("CreditAccount"):
        assert Decimal(account["balance"]) == flows[account["creditAccountID"]]
    assert any(Decimal(account["balance"]) < 0 for account in shop.read("CreditAccount"))
    redeemed = [p for p in shop.payments if kinds[p["paymentTypeID"]] == "gift card" and Decimal(p["amount"]) > 0]
    issued = [p for p in shop.payments if kinds[p["paymentTypeID"]] == "gift card" and Decimal(p["amount"]) < 0]
    assert issued
    assert redeemed
