"""What is written shows when its transaction ends: up to a minute after its stamp, and never out of order for one row."""

from __future__ import annotations

from airflow_provider_lightspeed.simulator.world import World
from tests.support.clockwork import after, do, listed


def test_row_shows_after_its_stamp(shop: World) -> None:
    """With all that its transaction wrote, and in lists, single reads and the truth alike."""
    (sale,) = do(shop, "sell", 10, late=60)
    for seconds, shows in ((69, False), (70, True)):
        assert (int(listed(shop, "Sale", seconds)[0]["saleID"]) == sale) is shows
        assert bool(listed(shop, "SaleLine", seconds, saleID=str(sale))) is shows
        single = shop.query(f"/API/V3/Account/7/Sale/{sale}.json", {}, base_url="http://x", now=after(seconds))
        assert (single.status == 200) is shows
        assert any(row["saleID"] == sale for row in shop.rows("Sale", now=after(seconds))) is shows
    assert listed(shop, "Sale", 71)[0]["updatetime"] == after(10).isoformat()


def test_change_shows_the_state_before_until_it_is_due(shop: World) -> None:
    """So does a deletion."""
    do(shop, "update", 0, late=30, resource="Customer", key=3, fields={"firstName": "New"})
    do(shop, "delete", 0, late=40, resource="Customer", key=4)
    early = {row["customerID"]: row for row in listed(shop, "Customer", 29)}
    later = {row["customerID"]: row for row in listed(shop, "Customer", 30)}
    assert early["3"]["firstName"] != "New"
    assert (later["3"]["firstName"], later["3"]["timeStamp"]) == ("New", after(0).isoformat())
    assert "4" in later
    assert "4" not in {row["customerID"] for row in listed(shop, "Customer", 40)}


def test_writers_of_one_row_wait_for_each_other(shop: World) -> None:
    """A later change never shows before an earlier one, and never disappears under it."""
    do(shop, "update", 0, late=60, resource="Customer", key=3, fields={"firstName": "First"})
    do(shop, "update", 10, resource="Customer", key=3, fields={"lastName": "Second"})
    assert "Second" not in {row["lastName"] for row in listed(shop, "Customer", 59)}
    (row,) = listed(shop, "Customer", 60, customerID="3")
    assert (row["firstName"], row["lastName"], row["timeStamp"]) == ("First", "Second", after(10).isoformat())


def test_later_key_may_show_before_an_earlier_one(shop: World) -> None:
    """Keys are given when a transaction begins; a log then shows entry 12 before entry 11."""
    last = max(row["inventoryLogID"] for row in shop.rows("InventoryLog"))
    do(shop, "move_stock", 0, late=50, item=1, shop=1, change=3)
    do(shop, "move_stock", 1, item=2, shop=1, change=3)
    keys = [int(row["inventoryLogID"]) for row in listed(shop, "InventoryLog", 2)]
    assert keys[:2] == [last + 2, last]
    assert [int(row["inventoryLogID"]) for row in listed(shop, "InventoryLog", 50)][:3] == [last + 2, last + 1, last]


def test_changes_tell_every_state_of_a_record_and_when_it_shows(shop: World) -> None:
    """In the order in which they were made, those of a transaction together; the last one is the truth."""
    do(shop, "update", 0, late=20, resource="Item", key=2, fields={"description": "A"})
    seen = shop.changes()[-1]["number"]
    do(shop, "sell", 30)
    new = shop.changes(after=seen)
    assert {change["store"] for change in new} >= {"Sale", "SaleLine", "InventoryLog", "ItemShop"}
    assert len({change["transaction"] for change in new}) == 1
    first = shop.changes()[0]
    assert (first["store"], first["key"], first["row"]["description"]) == ("Item", 2, "A")
    assert (first["at"], first["visible_from"]) == (after(0).isoformat(), after(20).isoformat())
    do(shop, "delete", 40, resource="Item", key=2)
    assert shop.changes()[-1]["row"] is None
    for change in new:
        assert change["row"] in shop.rows(change["store"])
