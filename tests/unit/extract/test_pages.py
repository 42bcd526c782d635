"""Pages of a plan: a resource that is several lists (B4) is read as one, in the order of its keys, each record once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_lightspeed.client.rest import Page
from airflow_provider_lightspeed.exceptions import ProtocolViolation
from airflow_provider_lightspeed.extract.pages import count_records, last_key, path_pages, read_pages, slice_pages
from airflow_provider_lightspeed.extract.plan import Plan, key_of
from airflow_provider_lightspeed.resources.catalog import resource

CARDS = resource("CreditAccount")


class FakeLists:
    """A client with two lists, in pages of some size."""

    def __init__(self, plain: list[int], gifts: list[int], *, size: int = 2) -> None:
        self.lists = {"": plain, "true": gifts}
        self.size = size
        self.asked: list[dict[str, str]] = []

    def pages(
        self, path: str, *, params: dict[str, str], sort: str | None = None, filters: dict[str, Any], **_: Any
    ) -> Iterator[Page]:
        """Yield the pages of the list that the parameters ask for."""
        self.asked.append(dict(params))
        keys = self.lists[params.get("giftCard", str(filters.get("giftCard", "")))]
        keys = sorted(keys, reverse=bool(sort and sort.startswith("-")))
        starts = range(0, len(keys), self.size) or [0]
        for index, start in enumerate(starts):
            records = [{"creditAccountID": str(key), "list": params} for key in keys[start : start + self.size]]
            more = start + self.size < len(keys)
            yield Page(path, index, records, "more" if more else None, 1.0)


def plan_of(**filters: Any) -> Plan:
    plan = Plan(CARDS, filters)
    return Plan(CARDS, filters, key=key_of(plan))


def ids(client: FakeLists, plan: Plan) -> list[int]:
    return [int(record["creditAccountID"]) for page in read_pages(client, plan) for record in page.records]  # type: ignore[arg-type]


keys = st.lists(st.integers(0, 30), unique=True).map(sorted)


@settings(deadline=None)
@given(keys, keys, st.integers(1, 4))
def test_b4_two_lists_are_read_as_one(plain: list[int], gifts: list[int], size: int) -> None:
    """In ascending order and each key once, whether the lists overlap, interleave or are empty."""
    client = FakeLists(plain, gifts, size=size)
    pages = list(slice_pages(client, plan_of(), -1, None))  # type: ignore[arg-type]
    found = [key for _, keys_ in pages for key in keys_]
    assert found == sorted({*plain, *gifts})
    assert [int(record["creditAccountID"]) for page, _ in pages for record in page.records] == found
    assert [page.next_url is None for page, _ in pages] == [False] * (len(pages) - 1) + [True]
    requests = sum(max(1, -(-len(each) // size)) for each in (plain, gifts))
    assert sum(page.cost for page, _ in pages) == requests


@given(keys, keys)
@settings(deadline=None)
def test_b4_lists_without_a_key_range_are_read_one_after_the_other(plain: list[int], gifts: list[int]) -> None:
    """As when records are asked for by their keys; a path is done after its last list."""
    plan = Plan(CARDS, {})
    client = FakeLists(plain, gifts)
    assert ids(client, plan) == [*plain, *(key for key in gifts if key not in plain)]
    ends = [page.next_url is None for _, page in path_pages(FakeLists(plain, gifts), plan)]  # type: ignore[arg-type]
    assert ends == [False] * (len(ends) - 1) + [True]


def test_b4_last_key_and_count_are_of_both_lists() -> None:
    """A record that both lists have counts once."""
    for plain, gifts, last, count in (
        ([1, 4], [2, 9], 9, 4),
        ([1, 9], [2], 9, 3),
        ([1, 2, 3], [2], 3, 3),
        ([], [], None, 0),
    ):
        client: Any = FakeLists(plain, gifts)
        assert last_key(client, plan_of()) == last
        assert count_records(client, plan_of()) == count


def test_b4_filter_on_gift_cards_chooses_one_list() -> None:
    """What the user asks for is asked for once."""
    client = FakeLists([1, 2], [3])
    assert ids(client, plan_of(giftCard="true")) == [3]
    assert client.asked == [{}]


def test_order_is_checked_in_each_list() -> None:
    """A server that does not sort one of them is found out."""
    client: Any = FakeLists([1, 2], [5])
    client.lists["true"] = [5]
    plan = plan_of()
    with pytest.raises(ProtocolViolation):
        list(slice_pages(client, plan, 3, None))
