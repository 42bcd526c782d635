"""Cursor paging: to the end, never in a circle, never away from the account."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.client.pagination import Beginnings, Cursor, records_of
from airflow_provider_lightspeed.exceptions import ProtocolViolation

FIRST = "https://api.lightspeedapp.com/API/V3/Account/7/Sale.json?limit=100"
PREFIX = "/API/V3/Account/7/"


def cursor() -> Cursor:
    return Cursor(FIRST, prefix=PREFIX)


def page(link: object) -> dict[str, object]:
    return {"@attributes": {"next": link, "previous": ""}, "Sale": []}


@pytest.mark.parametrize("body", [page(""), page(None), {"@attributes": {}}, {"Sale": []}, {"@attributes": ""}])
def test_missing_or_empty_next_is_the_end(body: dict[str, object]) -> None:
    """Some lists have no ``@attributes`` at all."""
    here = cursor()
    assert here.advance(body) is None
    assert here.url is None


def test_next_is_followed_to_the_letter() -> None:
    """The server's own URL, not one that we put together."""
    here, link = cursor(), f"{FIRST}&after=WzEwMF0%3D"
    assert here.advance(page(link)) == link == here.url


@given(st.lists(st.integers(0, 5), min_size=2, max_size=12))
def test_any_repetition_is_a_circle(places: list[int]) -> None:
    """Be it long or short: a page that was read before ends the reading with an error."""
    here, seen = cursor(), set()
    for place in places:
        link = f"{FIRST}&after={place}"
        if place in seen:
            with pytest.raises(ProtocolViolation, match="circle"):
                here.advance(page(link))
            return
        seen.add(place)
        here.advance(page(link))
    with pytest.raises(ProtocolViolation, match="circle"):
        here.advance(page(FIRST))


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/API/V3/Account/7/Sale.json?after=1",
        "http://api.lightspeedapp.com/API/V3/Account/7/Sale.json?after=1",
        "https://api.lightspeedapp.com:444/API/V3/Account/7/Sale.json?after=1",
        "https://api.lightspeedapp.com/API/V3/Account/8/Sale.json?after=1",
        "https://api.lightspeedapp.com/API/V3/Account/7/../8/Sale.json?after=1",
        "https://api.lightspeedapp.com@evil.example/API/V3/Account/7/Sale.json",
        "https://user@api.lightspeedapp.com/API/V3/Account/7/Sale.json?after=1",
        "//evil.example/API/V3/Account/7/Sale.json",
        "/API/V3/Account/7/Sale.json?after=1",
        *(
            f"https://api.lightspeedapp.com/API/V3/Account/7/{dots}/8/Sale.json?after=1"
            for dots in (
                "%2e%2e",
                ".%2E",
                "%252e%252e",
                "%25252e.",
                "..\\..",
                "x\\..\\..",
                "%2e%2e%5c",
                "./x",
                "%2e",
                "..%2f..",
            )
        ),
        "https://api.lightspeedapp.com/API/V3/Account/7/Sale.json\n?after=1",
        "https://api.lightspeedapp.com/API/V3/Account/7/Sale.json?after=\ud800",
        "https://api.lightspeedapp.com/API/V3/Account/7/Sale.json?after=\x00",
    ],
)
def test_link_away_from_the_account_is_refused(link: str) -> None:
    """Following it would carry the token there."""
    with pytest.raises(ProtocolViolation, match="nothing was sent there"):
        cursor().advance(page(link))


@pytest.mark.parametrize(
    "link",
    [
        "https://api.lightspeedapp.com:99999/API/V3/Account/7/Sale.json?after=1",
        "https://api.lightspeedapp.com:port/API/V3/Account/7/Sale.json?after=1",
        "https://[::1/API/V3/Account/7/Sale.json?after=1",
        "https://]api.lightspeedapp.com/API/V3/Account/7/Sale.json?after=1",
        "https://api.lightspeedapp\u2100.com/API/V3/Account/7/Sale.json?after=1",
    ],
)
def test_link_that_is_no_url_is_refused(link: str) -> None:
    """With an error of ours, not of the library that reads it."""
    with pytest.raises(ProtocolViolation, match="nothing was sent there"):
        cursor().advance(page(link))


def test_dots_in_a_query_and_in_names_lead_nowhere() -> None:
    """They are part of filters, and of cursors."""
    link = "https://api.lightspeedapp.com/API/V3/Account/7/Sale..x.json?after=1&name=%2e%2e/..%5c"
    assert cursor().advance(page(link)) == link


def test_default_port_is_the_same_origin() -> None:
    """And hosts have no case."""
    link = "https://API.lightspeedapp.com:443/API/V3/Account/7/Sale.json?after=1"
    assert cursor().advance(page(link)) == link


def test_next_that_is_no_text_is_refused() -> None:
    """A number cannot be followed."""
    with pytest.raises(ProtocolViolation, match="not a URL"):
        cursor().advance(page(5))


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ({"@attributes": {}, "Sale": [{"saleID": "1"}, {"saleID": "2"}]}, 2),
        ({"@attributes": {}, "Sale": {"saleID": "1"}}, 1),
        ({"@attributes": {}, "Sale": ""}, 0),
        ({"@attributes": {}}, 0),
    ],
)
def test_one_or_many_or_none(body: dict[str, object], count: int) -> None:
    """A lone record comes as an object; none as an empty text or no key."""
    assert len(records_of(body, "Sale")) == count


def test_empty_object_is_the_end_of_a_bare_list_only() -> None:
    """Three lists come without ``@attributes``; of any other, an answer with nothing in it is no answer."""
    assert records_of({}, "CurrencyRate") == []
    with pytest.raises(ProtocolViolation, match="Sale"):
        records_of({}, "Sale")


@pytest.mark.parametrize(
    "body", [{"@attributes": {}, "Item": [{}]}, {"Sale": 5}, {"Sale": ["1"]}, {"message": "try again"}]
)
def test_answer_to_another_question_is_refused(body: dict[str, object]) -> None:
    """Taking it for an empty list would lose the data silently."""
    with pytest.raises(ProtocolViolation):
        records_of(body, "Sale")


def test_d2_next_without_a_cursor_is_refused() -> None:
    """It would lead back to the beginning."""
    with pytest.raises(ProtocolViolation, match="no 'after'"):
        cursor().advance(page("https://api.lightspeedapp.com/API/V3/Account/7/Sale.json?limit=100&sort=saleID"))


def test_record_nested_too_deeply_is_an_error_of_ours() -> None:
    """It cannot be told from another one."""
    deep: dict[str, object] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(ProtocolViolation, match="nested too deeply"):
        Beginnings().check("/Sale", [deep])
    while deep:  # piece by piece: taken apart at once, it would overflow the stack
        deep = deep.pop("a")  # type: ignore[assignment]
