"""Filters of the simulated API, held against Python's own comparisons; and whatever is asked, an answer like the API's."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.simulator.schema import lists
from airflow_provider_lightspeed.simulator.state import Settings
from airflow_provider_lightspeed.simulator.world import World
from tests.support.served import in_process
from tests.support.small_world import NOW, SALES, TRUTH, ask, keys

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


# -- raw query strings ----------------------------------------------------------------------------------------------

ACCOUNT = "/API/V3/Account/12345"
QUERIED = World.generate(1, sales=30, items=8, customers=30, days=9, registers=2, now=NOW, account_id="12345")
NAMES = sorted(
    name for name, listed in lists().items() if not listed.parents and not name.startswith("DisplayTemplate")
)


def cursor(values: Any) -> str:
    return base64.b64encode(json.dumps(values).encode()).decode()


@pytest.fixture(scope="module")
def api() -> Callable[[str], tuple[int, Any]]:
    """Read the API with a raw query; return status and body."""
    sim = in_process(QUERIED, Settings(limits=False))
    token = sim.grant()["access_token"]

    def read(target: str) -> tuple[int, Any]:
        reply = sim.call("GET", f"{ACCOUNT}/{target}", headers={"Authorization": f"Bearer {token}"})
        return reply.status_code, orjson.loads(reply.content)

    return read


@pytest.mark.parametrize(
    "values",
    [["100"], [None], [[1]], [{}], [True], [1.5], [1e400], [10**400], [], [1, 2], {}, 5, "x", None],
    ids=repr,
)
def test_cursor_of_another_kind_is_refused(api: Callable[[str], tuple[int, Any]], values: Any) -> None:
    """On a sort by key, where a cursor holds one whole number."""
    for name in ("after", "before"):
        status, body = api(f"Sale.json?{name}={quote(cursor(values), safe='')}")
        assert (status, body["message"]) == (400, "Invalid cursor.")


@pytest.mark.parametrize("values", [[544], [None, 544], [544, 544], ["2026-01-01T00:00:00+00:00", "544"], [None, None]])
def test_cursor_of_a_sort_by_time_holds_a_text_and_a_key(api: Callable[[str], tuple[int, Any]], values: Any) -> None:
    """Nothing else."""
    status, _ = api(f"Sale.json?sort=timeStamp&after={quote(cursor(values), safe='')}")
    assert status == 400


@pytest.mark.parametrize("text", ["", "!!", "AAAA", "W10", "%00"])
def test_cursor_that_is_no_base64_of_json_is_refused(api: Callable[[str], tuple[int, Any]], text: str) -> None:
    """Cut, empty, or of other bytes."""
    assert api(f"Sale.json?after={text}")[0] == 400


def test_two_cursors_are_refused(api: Callable[[str], tuple[int, Any]]) -> None:
    """A page begins in one place."""
    one = quote(cursor([3]), safe="")
    assert api(f"Sale.json?after={one}&before={one}")[0] == 400


@pytest.mark.parametrize(
    "text",
    [
        ">,NaN",
        "NaN",
        ">,Infinity",
        "1e400",
        ">,1e5",
        "><,1",
        "><,1,",
        "><,,",
        "><,1,2,3",
        "",
        ">,",
        "٣",
        "²",
        "9" * 400,
    ],
)
def test_operand_that_is_no_number_is_refused_by_name(api: Callable[[str], tuple[int, Any]], text: str) -> None:
    """Whole numbers, money and rates alike."""
    for name in ("saleID", "total", "tax1Rate"):
        status, body = api(f"Sale.json?{name}={quote(text, safe='')}")
        assert (status, name in body["message"]) == (400, True)


@pytest.mark.parametrize("text", ["IN,", "IN,[]", "IN,[1,,2]", "IN,[1", "IN,1]", "IN,[[1]]", "IN,[a]", "IN,[1e400]"])
def test_malformed_in_list_is_refused(api: Callable[[str], tuple[int, Any]], text: str) -> None:
    """With or without brackets, each value given."""
    assert api(f"Sale.json?saleID={quote(text, safe='')}")[0] == 400


def test_in_list_takes_brackets_or_none_and_a_hundred_values(api: Callable[[str], tuple[int, Any]]) -> None:
    """One more is refused."""
    hundred = ",".join(map(str, range(1, 101)))
    for text in ("IN,[1,2,3]", "IN,1,2,3"):
        assert [sale["saleID"] for sale in api(f"Sale.json?archived=true&saleID={text}")[1]["Sale"]] == ["1", "2", "3"]
    assert api(f"Sale.json?saleID=IN,[{hundred}]")[0] == 200
    assert api(f"Sale.json?saleID=IN,[{hundred},101]")[0] == 400


@pytest.mark.parametrize("text", ["101", "-1", "1e2", "9" * 5000, "²", "", "1.0", "+5", "NaN"])
def test_limit_that_is_none_is_refused(api: Callable[[str], tuple[int, Any]], text: str) -> None:
    """0 to 100, in digits."""
    assert api(f"Sale.json?limit={quote(text, safe='')}")[0] == 400


@pytest.mark.parametrize("query", ["total=%ZZ", "total=%", "note=%f", "note=%FF", "limit=5&x%=1"])
def test_bad_percent_escape_is_refused(api: Callable[[str], tuple[int, Any]], query: str) -> None:
    """Also one that is no UTF-8."""
    assert api(f"Sale.json?{query}")[1]["message"] == "Malformed query string."


@pytest.mark.parametrize("text", ["2026-13-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "noon"])
def test_time_that_is_none_is_refused(api: Callable[[str], tuple[int, Any]], text: str) -> None:
    """Out of the calendar, or no time at all."""
    assert api(f"Sale.json?timeStamp={quote(f'>,{text}', safe='')}")[0] == 400
    assert api(f"Reports/Accounting/TaxesByDay.json?startDate=noon&endDate={quote(text, safe='')}")[0] == 400


def test_key_beyond_all_numbers_is_404(api: Callable[[str], tuple[int, Any]]) -> None:
    """Python reads no number of 5,000 digits."""
    assert api(f"Sale/{'9' * 5000}.json")[0] == 404


def test_count_takes_one_only(api: Callable[[str], tuple[int, Any]]) -> None:
    """As documented."""
    assert api("Sale.json?count=1")[0] == 200
    assert api("Sale.json?count=yes")[0] == 400


@pytest.mark.parametrize("name", NAMES)
def test_every_documented_sort_pages_through_all(api: Callable[[str], tuple[int, Any]], name: str) -> None:
    """Up and down, unset values included, and no record twice."""
    listed = lists()[name]
    if listed.period or listed.required_params:
        return
    path = listed.pattern.pattern.partition("[^/]+/")[2].partition("(?:/")[0].replace("\\", "")
    for field in listed.sortable:
        for sort in (field, f"-{field}"):
            status, body = api(f"{path}.json?sort={sort}&limit=3&archived=true")
            seen = body.get(listed.envelope, [])
            while status == 200 and body.get("@attributes", {}).get("next"):
                status, body = api(body["@attributes"]["next"].partition("12345/")[2])
                page = body[listed.envelope]
                seen += page if isinstance(page, list) else [page]
            assert status == 200, body
            rows = seen if isinstance(seen, list) else [seen]
            whole = QUERIED.rows(name)
            assert len({json.dumps(row) for row in rows}) == len(rows) == len(whole)


def test_documented_example_finds_customers_with_an_email_address(api: Callable[[str], tuple[int, Any]]) -> None:
    """``Contact.email=!~,`` with an empty operand (tutorial "Searching")."""
    loaded = f"load_relations={quote(json.dumps(['Contact']))}&archived=true"
    every = api(f"Customer.json?{loaded}")[1]["Customer"]
    found = api(f"Customer.json?{loaded}&Contact.email={quote('!~,')}")[1]["Customer"]
    with_email = [row["customerID"] for row in every if row["Contact"]["Emails"]]
    assert [row["customerID"] for row in found] == with_email
    assert 0 < len(with_email) < len(every)
    phones = next(row["Contact"]["Phones"]["ContactPhone"] for row in every if row["Contact"]["Phones"])
    phone = phones[0] if isinstance(phones, list) else phones
    name = {"Home": "phoneHome", "Work": "phoneWork"}.get(phone["useType"], phone["useType"].lower())
    assert api(f"Customer.json?{loaded}&Contact.{name}={quote(phone['number'])}")[1].get("Customer")


VALUES = st.one_of(
    st.sampled_from(
        ["", "1", "true", "only", "all", "NaN", "-0", "1e999", "[]", '["Customer"]', "saleID%3D1|total%3D2"]
    ),
    st.integers().map(str),
    st.floats().map(str),
    st.text(max_size=8),
    st.datetimes().map(str),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4), st.lists, max_leaves=4
    ).map(cursor),
)
PREFIXES = st.sampled_from(["", ">,", ">=,", "<,", "<=,", "><,", "!=,", "~,", "!~,", "IN,", "IN,[", ",", ">"])


@st.composite
def queries(draw: st.DrawFn) -> str:
    """Return a list path and a raw query: controls and fields of the list, odd values, some of it not even well-formed."""
    name = draw(st.sampled_from(NAMES))
    listed = lists()[name]
    known = ["nonsense", *listed.entity.fields, *listed.query_params, *listed.relations, *listed.required_params]
    controls = ["limit", "sort", "count", "archived", "after", "before", "load_relations", "or", "offset"]
    fields = st.one_of(st.sampled_from(controls), st.sampled_from(known), st.text(max_size=6))
    parts = draw(st.lists(st.tuples(fields, PREFIXES, VALUES), max_size=4))
    text = "&".join(
        f"{quote(field, errors='replace')}={quote(operator + value, safe=draw(st.sampled_from(['', '%', ',[]'])), errors='replace')}"
        for field, operator, value in parts
    )
    path = listed.pattern.pattern.partition("[^/]+/")[2].partition("(?:/")[0].replace("\\", "")
    return f"{path}.json?{text}"


@given(queries())
def test_no_query_is_a_fault_of_the_simulator(api: Callable[[str], tuple[int, Any]], target: str) -> None:
    """200, or a refusal with its reason."""
    status, body = api(target)
    assert status in (200, 400, 404)
    assert status == 200 or body["message"]
