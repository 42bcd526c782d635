"""Every documented operator, encoded as documented, and priced as documented."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.client.query import (
    Condition,
    between,
    build_url,
    eq,
    ge,
    gt,
    in_,
    le,
    like,
    lt,
    ne,
    not_like,
    parse_condition,
    request_cost,
)
from airflow_provider_lightspeed.exceptions import InvalidArgument

BASE = "https://api.example/API/V3/Account/7/Item.json"


def sent(**options: Any) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(build_url(BASE, **options)).query, keep_blank_values=True))


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (eq("Oak"), "Oak"),
        (ne(5), "!=,5"),
        (gt(Decimal("10.50")), ">,10.50"),
        (ge(10), ">=,10"),
        (lt(1.5), "<,1.5"),
        (le(-1), "<=,-1"),
        (between(1, 5), "><,1,5"),
        (like("%chain%"), "~,%chain%"),
        (not_like(""), "!~,"),
        (in_([1, 2, 3]), "IN,[1,2,3]"),
        (eq(True), "true"),
        (gt(datetime(2026, 3, 10, 7, tzinfo=timezone(timedelta(hours=-5)))), ">,2026-03-10T12:00:00+00:00"),
    ],
)
def test_each_operator_is_written_as_documented(condition: Condition, text: str) -> None:
    """And reads back as itself."""
    assert str(condition) == text
    assert sent(filters={"field": condition}) == {"field": text}
    assert parse_condition(text) == condition


@given(st.text(max_size=30))
def test_any_text_survives_the_url(text: str) -> None:
    """Percent signs, ampersands, plus signs, umlauts: the server gets what was meant."""
    if any(0xD800 <= ord(letter) < 0xE000 for letter in text):
        return
    assert sent(filters={"description": Condition("", (text,))}) == {"description": text}


@pytest.mark.parametrize("text", ["Oak, River", "a,b", "AND,b", "1,2"])
def test_text_with_commas_is_equality(text: str) -> None:
    """Only a documented operator in front makes a condition."""
    assert parse_condition(text) == Condition("", (text,))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (">>,5", "operator"),
        ("=>,5", "Did you mean"),
        ("><,5", "two operands"),
        ("IN,[]", "1 to 100"),
        (list(range(101)), "1 to 100 values, found 101"),
        (datetime(2026, 3, 10), "no time zone"),  # noqa: DTZ001 - what is refused
        (object(), "cannot be sent"),
    ],
)
def test_bad_filter_says_what_is_allowed(value: Any, words: str) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidArgument, match=words):
        build_url(BASE, filters={"price": value})


def test_or_encodes_twice_what_would_part_it() -> None:
    """Alternatives are parted by pipes, so a pipe inside a value is encoded for itself."""
    url = build_url(BASE, filters={"or": ["description=~,%a|b%", "customSku=x"]})
    value = parse_qs(urlsplit(url).query)["or"][0]
    assert [part.partition("=")[2].replace("%7C", "|") for part in value.split("|")] == ["~,%a|b%", "x"]


@pytest.mark.parametrize("value", ["total=>,10", ["total"], ["=5", "a=1"]])
def test_or_needs_two_whole_alternatives(value: Any) -> None:
    """Each names a field."""
    with pytest.raises(InvalidArgument, match="or"):
        build_url(BASE, filters={"or": value})


@pytest.mark.parametrize(
    ("alternatives", "cost"),
    [
        (["a=1", "a=2"], 1.0),
        (["a=1", "b=2"], 3.0),
        (["a=1", "b=>,2"], 3.0),
        (["a=>,1", "b=<,2"], 12.0),
        (["a=1", "Vendor.name=x"], 21.0),
    ],
)
def test_or_is_priced_before_it_is_sent(alternatives: list[str], cost: float) -> None:
    """Free over one field; a unit per operand over one entity with at most one range; else ten per entity."""
    assert request_cost(filters={"or": alternatives}) == cost


def test_base_relations_and_count_have_their_prices() -> None:
    """One unit, plus the relations; a count is ten whatever else."""
    assert request_cost() == 1
    assert request_cost(relations=1.2) == pytest.approx(2.2)
    assert request_cost(relations=5, count=True) == 10


def test_relations_are_a_json_list() -> None:
    """As the documentation writes it, encoded."""
    assert sent(relations=["Vendor", "Category.Parent"]) == {"load_relations": '["Vendor","Category.Parent"]'}


@pytest.mark.parametrize(
    "options", [{"archived": "yes"}, {"limit": 101}, {"limit": -1}, {"count": True, "sort": "itemID"}]
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    """The API would refuse them, or worse, ignore them."""
    with pytest.raises(InvalidArgument):
        build_url(BASE, **options)


def test_descending_sort_keeps_its_minus() -> None:
    """And everything together makes one query."""
    assert sent(sort="-timeStamp", archived="only", limit=50, params={"x": "y"}) == {
        "sort": "-timeStamp",
        "archived": "only",
        "limit": "50",
        "x": "y",
    }


def test_aware_moments_are_sent_in_utc() -> None:
    """The server stores UTC; microseconds are not part of its format."""
    assert str(eq(datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC))) == "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1, 2], "IN,[1,2]"),
        (["007", 8], "IN,[007,8]"),
        (["Oak"], 'IN,["Oak"]'),
        (["a, b", 'say "x"', 5], 'IN,["a, b","say \\"x\\"",5]'),
        ([""], 'IN,[""]'),
        (["Müller"], 'IN,["Müller"]'),
    ],
)
def test_in_takes_texts_with_commas_and_quotes(values: list[Any], text: str) -> None:
    """Numbers stand bare, texts in quotes; both read back as they were."""
    assert str(in_(values)) == text
    assert parse_condition(text) == in_(values)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("IN,[1,2,3]", ("1", "2", "3")),
        ("IN,1,2,3", ("1", "2", "3")),
        ("IN, [ 1 , 2 ]", ("1", "2")),
        ("IN,[Oak,River]", ("Oak", "River")),
        ("IN,Oak,River", ("Oak", "River")),
        ('IN,["Oak","a, b"]', ("Oak", "a, b")),
        ('IN,"a, b",c', ("a, b", "c")),
        ("IN,['a, b','it''s']", ("a, b", "it's")),
        ('IN,["x]"]', ("x]",)),
    ],
)
def test_in_is_read_in_every_form(text: str, values: tuple[str, ...]) -> None:
    """In brackets or bare, with either quotes or none; a comma inside quotes parts nothing."""
    assert parse_condition(text).values == values


@pytest.mark.parametrize("text", ['IN,["a', "IN,['a,b"])
def test_in_with_an_open_quote_is_refused(text: str) -> None:
    """Rather than guessed."""
    with pytest.raises(InvalidArgument, match="quote"):
        parse_condition(text)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=5))
def test_any_texts_survive_in(values: list[str]) -> None:
    """Whatever stands in them."""
    assert parse_condition(str(in_(values))).values == tuple(values)


@pytest.mark.parametrize(
    "filters",
    [
        {"description": "a\ud800"},
        {"a\ud800": "1"},
        {"total": 10**5000},
        {"timeStamp": datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))},
        {"or": None},
        {"or": 5},
        {"or": ["total=1", "x=\udfff"]},
    ],
)
def test_filter_that_cannot_be_sent_is_refused_by_name(filters: dict[str, Any]) -> None:
    """With an error of ours, before anything is sent."""
    with pytest.raises(InvalidArgument, match="filters"):
        build_url(BASE, filters=filters)
