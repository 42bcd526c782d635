"""What can be done to the shop from outside."""

from __future__ import annotations

from airflow_provider_lightspeed.simulator.world import World
from tests.support.clockwork import after, do


def test_stock_moves_show_in_the_stock_and_not_in_the_item(shop: World) -> None:
    """Of the shop and of the sum over all shops; a sale moves them as well."""
    item = shop.rows("Item")[0]
    before = {row["shopID"]: row for row in shop.rows("ItemShop") if row["itemID"] == item["itemID"]}
    do(shop, "move_stock", 60, item=item["itemID"], shop=2, change=-4)
    stock = {row["shopID"]: row for row in shop.rows("ItemShop") if row["itemID"] == item["itemID"]}
    assert {shop: stock[shop]["qoh"] - before[shop]["qoh"] for shop in stock} == {0: -4, 1: 0, 2: -4}
    assert {shop for shop in stock if stock[shop]["timeStamp"] == after(60).isoformat()} == {0, 2}
    assert shop.rows("Item")[0] == item
    (sale,) = do(shop, "sell", 120)
    sold = {row["itemID"] for row in shop.rows("SaleLine") if row["saleID"] == sale and row["itemID"]}
    moved = {row["itemID"] for row in shop.rows("ItemShop") if row["timeStamp"] == after(120).isoformat()}
    assert moved == sold
