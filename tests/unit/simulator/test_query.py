"""Filters of the simulated API, held against Python's own comparisons."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.small_world import SALES, TRUTH, ask, keys

OPERATORS = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "!=": lambda a, b: a != b,
    "": lambda a, b: a == b,
}


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
