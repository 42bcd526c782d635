"""Pages that neither skip nor repeat a record, also when records move meanwhile."""

from __future__ import annotations

import itertools
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from tests.support.small_world import NOW, ROOT, SALES, TRUTH, body, keys, make, records


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
