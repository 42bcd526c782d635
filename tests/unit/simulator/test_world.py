"""The world's answers: what the real API refuses, it refuses; what it promises, it keeps."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.simulator.answer import Answer
from airflow_provider_lightspeed.simulator.world import World

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SALES = 230
ROOT = "/API/V3/Account/7"
OPERATORS = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "!=": lambda a, b: a != b,
    "": lambda a, b: a == b,
}


def make(seed: int = 1) -> World:
    return World.generate(seed, sales=SALES, items=30, customers=20, days=20, registers=2, now=NOW, account_id="7")


WORLD = make()
TRUTH = {name: list(WORLD.rows(name)) for name in ("Sale", "SaleLine", "SalePayment", "Item", "ItemShop")}


def ask(path: str, **params: str) -> Answer:
    return WORLD.query(f"{ROOT}/{path}.json", params, base_url="http://x", now=NOW)


def body(path: str, **params: str) -> dict[str, Any]:
    answer = ask(path, **params)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = orjson.loads(answer.body)
    return found


def records(found: dict[str, Any], envelope: str) -> list[dict[str, Any]]:
    inner = found.get(envelope, [])
    return inner if isinstance(inner, list) else [inner]


def everything(path: str, link: str = "next", **params: str) -> list[dict[str, Any]]:
    """Follow a chain of links from its first page."""
    found: list[dict[str, Any]] = []
    while True:
        page = body(path, **params)
        found.extend(records(page, path))
        url = page["@attributes"][link]
        if not url:
            return found
        params = dict(parse_qsl(urlsplit(url).query))


def keys(path: str, key: str, **params: str) -> list[int]:
    return [int(row[key]) for row in everything(path, **params)]


def test_one_seed_makes_one_world() -> None:
    """To the byte; another seed makes another."""
    again = make().query(f"{ROOT}/Sale.json", {}, base_url="http://x", now=NOW)
    assert again == ask("Sale")
    assert make(2).query(f"{ROOT}/Sale.json", {}, base_url="http://x", now=NOW).body != again.body


def test_every_scalar_is_a_text() -> None:
    """No JSON number, boolean or null (facts: no recorded body has one)."""

    def check(value: Any) -> None:
        assert isinstance(value, (str, dict, list)), value
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(inner)

    for name in ("Sale", "Item", "Customer", "Order", "Shop"):
        check(body(name, load_relations="all"))


def test_sales_add_up() -> None:
    """Lines make the subtotal, payments of completed sales the total."""
    for sale in TRUTH["Sale"]:
        lines = [line for line in TRUTH["SaleLine"] if line["saleID"] == sale["saleID"]]
        paid = [Decimal(p["amount"]) for p in TRUTH["SalePayment"] if p["saleID"] == sale["saleID"]]
        assert sum((Decimal(line["calcSubtotal"]) for line in lines), Decimal(0)) == Decimal(sale["calcSubtotal"])
        assert not sale["completed"] or sum(paid, Decimal(0)) == Decimal(sale["calcTotal"])


def test_stock_of_all_shops_is_their_sum() -> None:
    """Shop 0 stands for all."""
    for item in TRUTH["Item"]:
        rows = [row for row in TRUTH["ItemShop"] if row["itemID"] == item["itemID"]]
        assert sum(row["qoh"] for row in rows if row["shopID"]) == next(r["qoh"] for r in rows if not r["shopID"])


@pytest.mark.parametrize("limit", ["1", "7", "100"])
def test_pages_hold_every_record_once_forth_and_back(limit: str) -> None:
    """By ``next`` from the start, and by ``previous`` from the last page."""
    forth = keys("Sale", "saleID", limit=limit, archived="true")
    assert forth == [sale["saleID"] for sale in TRUTH["Sale"]]
    last = max(forth) - 5
    page = body("Sale", limit=limit, archived="true", saleID=f">,{last}")
    assert records(page, "Sale")


@pytest.mark.parametrize(("name", "reverse"), [("saleID", True), ("timeStamp", False), ("-timeStamp", False)])
def test_sorted_pages_are_whole(name: str, reverse: bool) -> None:
    """Equal times fall on both sides of a page's end without loss."""
    sort = f"-{name}" if reverse else name
    found = keys("Sale", "saleID", sort=sort, limit="13", archived="true")
    assert sorted(found) == [sale["saleID"] for sale in TRUTH["Sale"]]


def test_record_that_moves_while_it_is_read_costs_no_other_record() -> None:
    """A cursor names a place between records, not a count."""
    world = make()
    url, params, seen = f"{ROOT}/Sale.json", {"limit": "50", "archived": "true"}, []
    for number in itertools.count():
        page = orjson.loads(world.query(url, params, base_url="http://x", now=NOW).body)
        seen += [int(row["saleID"]) for row in records(page, "Sale")]
        if number == 1:
            world.mutate("delete", resource="Sale", key=3)
            world.mutate("sell", count=1, at=NOW.isoformat())
        if not page["@attributes"]["next"]:
            break
        params = dict(parse_qsl(urlsplit(page["@attributes"]["next"]).query))
    assert seen == [*range(1, SALES + 1), SALES + 1]


def test_key_of_a_deleted_record_is_not_given_again() -> None:
    """Not even the newest one's: a reader that saw the dead record would take the new one for it."""
    world = make()
    world.mutate("delete", resource="Sale", key=SALES)
    assert world.mutate("sell", count=2, at=NOW.isoformat()) == [SALES + 1, SALES + 2]


@given(st.sampled_from(sorted(OPERATORS)), st.integers(-5, SALES + 5))
def test_filters_hold_for_exactly_the_records_shown(operator: str, operand: int) -> None:
    """On keys; every comparison operator against Python's own."""
    text = f"{operator},{operand}" if operator else str(operand)
    expected = [sale["saleID"] for sale in TRUTH["Sale"] if OPERATORS[operator](sale["saleID"], operand)]
    assert keys("Sale", "saleID", saleID=text, archived="true") == expected


@given(st.integers(0, SALES - 1), st.integers(0, SALES - 1))
def test_between_takes_both_ends(first: int, second: int) -> None:
    """On times, as incremental reads use it."""
    low, high = sorted((TRUTH["Sale"][first]["updateTime"], TRUTH["Sale"][second]["updateTime"]))
    expected = [sale["saleID"] for sale in TRUTH["Sale"] if low <= sale["updateTime"] <= high]
    assert keys("Sale", "saleID", updatetime=f"><,{low},{high}", archived="true") == expected


def test_archived_records_come_when_asked_for() -> None:
    """Default without, ``true`` both, ``only`` the others."""
    archived = {sale["saleID"] for sale in TRUTH["Sale"] if sale["archived"]}
    assert set(keys("Sale", "saleID", archived="only")) == archived
    assert not archived & set(keys("Sale", "saleID"))
    assert archived < set(keys("Sale", "saleID", archived="true"))


def test_count_is_the_lists_length_and_excludes_paging() -> None:
    """And costs ten."""
    answer = ask("Sale", count="1", archived="true")
    assert (orjson.loads(answer.body)["@attributes"]["count"], answer.cost) == (str(SALES), 10.0)
    assert ask("Sale", count="1", limit="5").status == 400


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"nonsense": "1"}, 400),
        ({"saleID": ">>,1"}, 400),
        ({"limit": "101"}, 400),
        ({"limit": "-1"}, 400),
        ({"sort": "total"}, 400),
        ({"archived": "maybe"}, 400),
        ({"load_relations": '["Nonsense"]'}, 400),
        ({"Customer.firstName": "x"}, 400),
        ({"offset": "100"}, 400),
    ],
)
def test_what_the_api_refuses_is_refused(params: dict[str, str], status: int) -> None:
    """With a message that names it; never an unfiltered list."""
    answer = ask("Sale", **params)
    assert answer.status == status
    assert orjson.loads(answer.body)["message"]


def test_unknown_paths_and_keys_are_404() -> None:
    """Both in the API's own error shape."""
    assert ask("Sales").status == 404
    answer = ask("Sale/99999")
    assert (answer.status, "primary ID '99999'" in orjson.loads(answer.body)["message"]) == (404, True)


def test_single_record_and_relations() -> None:
    """Half the price of a list's relations."""
    sale = records(body("Sale/1", load_relations='["SaleLines"]'), "Sale")[0]
    assert sale["saleID"] == "1"
    assert "SaleLines" in sale
    assert "SaleLines" not in records(body("Sale/1"), "Sale")[0]


def test_one_or_many_or_none() -> None:
    """A lone line is an object, none an empty text, several an array."""
    shapes = {
        type(sale["SaleLines"]["SaleLine"]).__name__ if sale["SaleLines"] else "none"
        for sale in everything("Sale", load_relations='["SaleLines"]', archived="true")
    }
    assert {"dict", "list"} <= shapes
    page = body("Sale", saleID="1", archived="true")
    assert isinstance(page["Sale"], dict)
    assert "Sale" not in body("Sale", saleID="99999")
