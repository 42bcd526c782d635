"""What is written shows when its transaction ends: up to a minute after its stamp, and never out of order for one row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from airflow_provider_lightspeed.simulator.world import World

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SALES = 40


@pytest.fixture
def world() -> World:
    return World.generate(1, sales=SALES, items=10, customers=10, days=5, registers=2, now=NOW, account_id="7")


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def listed(world: World, name: str, seconds: float, **params: str) -> list[dict[str, Any]]:
    """Return the records of a list as they show so many seconds later."""
    params = {"archived": "true", "sort": f"-{name[0].lower()}{name[1:]}ID", "limit": "100"} | params
    answer = world.query(f"/API/V3/Account/7/{name}.json", params, base_url="http://x", now=after(seconds))
    assert answer.status == 200, answer.body
    found = orjson.loads(answer.body).get(name, [])
    return found if isinstance(found, list) else [found]


def do(world: World, action: str, seconds: float, late: float = 0, **arguments: Any) -> Any:
    """Change the shop so many seconds later, to show ``late`` seconds after that."""
    shows = {"visible_from": after(seconds + late).isoformat()} if late else {}
    return world.mutate(action, at=after(seconds).isoformat(), **shows, **arguments)


def open_sale(world: World) -> int:
    (sale,) = do(world, "sell", 0, completed=False)
    return int(sale)


def test_row_shows_after_its_stamp(world: World) -> None:
    """With all that its transaction wrote, and in lists, single reads and the truth alike."""
    (sale,) = do(world, "sell", 10, late=60)
    for seconds, shows in ((69, False), (70, True)):
        assert (int(listed(world, "Sale", seconds)[0]["saleID"]) == sale) is shows
        assert bool(listed(world, "SaleLine", seconds, saleID=str(sale))) is shows
        single = world.query(f"/API/V3/Account/7/Sale/{sale}.json", {}, base_url="http://x", now=after(seconds))
        assert (single.status == 200) is shows
        assert any(row["saleID"] == sale for row in world.rows("Sale", now=after(seconds))) is shows
    assert listed(world, "Sale", 71)[0]["updatetime"] == after(10).isoformat()


def test_change_shows_the_state_before_until_it_is_due(world: World) -> None:
    """So does a deletion."""
    do(world, "update", 0, late=30, resource="Customer", key=3, fields={"firstName": "New"})
    do(world, "delete", 0, late=40, resource="Customer", key=4)
    early = {row["customerID"]: row for row in listed(world, "Customer", 29)}
    later = {row["customerID"]: row for row in listed(world, "Customer", 30)}
    assert early["3"]["firstName"] != "New"
    assert (later["3"]["firstName"], later["3"]["timeStamp"]) == ("New", after(0).isoformat())
    assert "4" in later
    assert "4" not in {row["customerID"] for row in listed(world, "Customer", 40)}


def test_writers_of_one_row_wait_for_each_other(world: World) -> None:
    """A later change never shows before an earlier one, and never disappears under it."""
    do(world, "update", 0, late=60, resource="Customer", key=3, fields={"firstName": "First"})
    do(world, "update", 10, resource="Customer", key=3, fields={"lastName": "Second"})
    assert "Second" not in {row["lastName"] for row in listed(world, "Customer", 59)}
    (row,) = listed(world, "Customer", 60, customerID="3")
    assert (row["firstName"], row["lastName"], row["timeStamp"]) == ("First", "Second", after(10).isoformat())


def test_later_key_may_show_before_an_earlier_one(world: World) -> None:
    """Keys are given when a transaction begins; a log then shows entry 12 before entry 11."""
    last = max(row["inventoryLogID"] for row in world.rows("InventoryLog"))
    do(world, "move_stock", 0, late=50, item=1, shop=1, change=3)
    do(world, "move_stock", 1, item=2, shop=1, change=3)
    keys = [int(row["inventoryLogID"]) for row in listed(world, "InventoryLog", 2)]
    assert keys[:2] == [last + 2, last]
    assert [int(row["inventoryLogID"]) for row in listed(world, "InventoryLog", 50)][:3] == [last + 2, last + 1, last]


def test_lines_of_an_open_sale_come_and_go_and_move_the_sale(world: World) -> None:
    """``updatetime`` and the total follow; a line that is taken off is gone for good."""
    sale = open_sale(world)
    before = listed(world, "Sale", 0)[0]
    line = do(world, "add_line", 60, sale=sale)
    grown = listed(world, "Sale", 60)[0]
    assert grown["updatetime"] == grown["timeStamp"] == after(60).isoformat()
    assert float(grown["calcSubtotal"]) > float(before["calcSubtotal"])
    do(world, "drop_line", 120, line=line)
    shrunk = listed(world, "Sale", 120)[0]
    assert shrunk == before | {"updatetime": after(120).isoformat(), "timeStamp": after(120).isoformat()}
    assert str(line) not in {row["saleLineID"] for row in listed(world, "SaleLine", 120)}


def test_completed_sale_keeps_its_time_and_its_lines(world: World) -> None:
    """``timeStamp`` is the completion's from then on, only ``updatetime`` moves; lines are refused."""
    sale = open_sale(world)
    do(world, "finish", 60, sale=sale)
    do(world, "update", 120, resource="Sale", key=sale, fields={"voided": True})
    found = listed(world, "Sale", 120, load_relations='["SalePayments"]')[0]
    assert (found["completeTime"], found["timeStamp"], found["updatetime"]) == (
        after(60).isoformat(), after(60).isoformat(), after(120).isoformat()
    )  # fmt: skip
    assert found["SalePayments"]
    with pytest.raises(ValueError, match=f"Sale {sale} is completed"):
        do(world, "add_line", 130, sale=sale)


def test_payment_is_taken_off_with_its_sale_but_archived_without(world: World) -> None:
    """An update of a payment does not touch the sale; taking it off does."""
    payment = world.rows("SalePayment")[0]
    sale = next(row for row in world.rows("Sale") if row["saleID"] == payment["saleID"])
    key = payment["salePaymentID"]
    do(world, "update", 60, resource="SalePayment", key=key, fields={"archived": True})
    assert next(row for row in world.rows("Sale") if row["saleID"] == sale["saleID"]) == sale
    do(world, "unpay", 120, payment=key)
    assert key not in {row["salePaymentID"] for row in world.rows("SalePayment")}
    moved = next(row for row in world.rows("Sale") if row["saleID"] == sale["saleID"])
    assert moved["updateTime"] == after(120).isoformat()


def test_stock_moves_show_in_the_stock_and_not_in_the_item(world: World) -> None:
    """Of the shop and of the sum over all shops; a sale moves them as well."""
    item = world.rows("Item")[0]
    before = {row["shopID"]: row for row in world.rows("ItemShop") if row["itemID"] == item["itemID"]}
    do(world, "move_stock", 60, item=item["itemID"], shop=2, change=-4)
    stock = {row["shopID"]: row for row in world.rows("ItemShop") if row["itemID"] == item["itemID"]}
    assert {shop: stock[shop]["qoh"] - before[shop]["qoh"] for shop in stock} == {0: -4, 1: 0, 2: -4}
    assert {shop for shop in stock if stock[shop]["timeStamp"] == after(60).isoformat()} == {0, 2}
    assert world.rows("Item")[0] == item
    (sale,) = do(world, "sell", 120)
    sold = {row["itemID"] for row in world.rows("SaleLine") if row["saleID"] == sale}
    moved = {row["itemID"] for row in world.rows("ItemShop") if row["timeStamp"] == after(120).isoformat()}
    assert moved == sold


def test_changes_tell_every_state_of_a_record_and_when_it_shows(world: World) -> None:
    """In the order in which they were made, those of a transaction together; the last one is the truth."""
    do(world, "update", 0, late=20, resource="Item", key=2, fields={"description": "A"})
    seen = world.changes()[-1]["number"]
    do(world, "sell", 30)
    new = world.changes(after=seen)
    assert {change["store"] for change in new} >= {"Sale", "SaleLine", "InventoryLog", "ItemShop"}
    assert len({change["transaction"] for change in new}) == 1
    first = world.changes()[0]
    assert (first["store"], first["key"], first["row"]["description"]) == ("Item", 2, "A")
    assert (first["at"], first["visible_from"]) == (after(0).isoformat(), after(20).isoformat())
    do(world, "delete", 40, resource="Item", key=2)
    assert world.changes()[-1]["row"] is None
    for change in new:
        assert change["row"] in world.rows(change["store"])
