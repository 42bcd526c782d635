"""What every page is held against before its rows count."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_lightspeed.exceptions import ProtocolViolation
from airflow_provider_lightspeed.extract.checks import check_filters, check_window, children
from airflow_provider_lightspeed.extract.plan import Job, Plan, make_plan
from airflow_provider_lightspeed.extract.window import Window
from airflow_provider_lightspeed.lake.records import ReadState
from airflow_provider_lightspeed.resources.catalog import resource
from tests.support.fakes import NOON

WINDOW = Window(NOON - timedelta(days=1), NOON, read_from=NOON - timedelta(days=1))


def plan(**filters: Any) -> Plan:
    return Plan(resource("Sale"), filters)


@pytest.mark.parametrize(
    ("name", "value", "fits", "does_not"),
    [
        ("saleID", "5", "5", "6"),
        ("saleID", "!=,5", "6", "5"),
        ("saleID", "IN,[1,2]", "2", "3"),
        ("total", ">,10", "10.01", "10.00"),
        ("total", ">=,10", "10", "9.99"),
        ("total", "<,10", "9.99", "10.0"),
        ("total", "<=,10", "10.000", "10.0001"),
        ("saleID", "><,3,5", "5", "2"),
        ("completed", "true", "1", "false"),
        ("createTime", ">,2026-03-10T12:00:00+00:00", "2026-03-10T14:00:01+02:00", "2026-03-10T13:00:00+02:00"),
    ],
)
def test_row_that_a_filter_excludes_means_that_it_was_ignored(name: str, value: str, fits: str, does_not: str) -> None:
    """By value, not by text: numbers, times with offsets, either spelling of a truth value."""
    check_filters(plan(**{name: value}), [{"saleID": "1", name: fits}])
    with pytest.raises(ProtocolViolation, match=f"asked for {name} in .*did not apply the filter"):
        check_filters(plan(**{name: value}), [{"saleID": "1", name: fits}, {"saleID": "1", name: does_not}])


@pytest.mark.parametrize(
    ("filters", "record"),
    [
        ({"referenceNumber": "a"}, {"referenceNumber": "B"}),
        ({"total": ">,10"}, {"total": "ten"}),
        ({"total": ">,10"}, {"total": ""}),
        ({"total": ">,10"}, {}),
        ({"Customer.firstName": "Ada"}, {"Customer": {"firstName": "Bob"}}),
    ],
)
def test_what_cannot_be_compared_for_certain_is_not_judged(filters: dict[str, str], record: dict[str, Any]) -> None:
    """How the server compares texts is not documented; missing and damaged values prove nothing."""
    check_filters(plan(**filters), [record])


@pytest.mark.parametrize(("archived_as", "wrong"), [("only", "false"), ("false", "true")])
def test_archived_is_a_filter_too(archived_as: str, wrong: str) -> None:
    """Asked for without naming a field."""
    with pytest.raises(ProtocolViolation, match="archived"):
        check_filters(Plan(resource("Sale"), {}, archived_as=archived_as), [{"saleID": "1", "archived": wrong}])


@pytest.mark.parametrize("value", ["2026-03-10T12:00:00+00:00", "2026-03-09T11:59:59+00:00", "", None, "soon"])
def test_row_outside_the_window_is_an_error(value: str | None) -> None:
    """Also one without a time; either spelling of the field counts."""
    modified = make_plan(Job.of("Sale"), WINDOW, ReadState())
    check_window(modified, WINDOW, [{"saleID": "1", "updatetime": "2026-03-10T11:59:59+00:00"}])
    with pytest.raises(ProtocolViolation, match="Sale: asked for updateTime in"):
        check_window(modified, WINDOW, [{"saleID": "1", "updatetime": value}])
    check_window(plan(), WINDOW, [{"saleID": "1", "updatetime": value}])


@pytest.mark.parametrize(
    ("container", "count"),
    [
        ({"SalePayment": [{"salePaymentID": "1"}, {"salePaymentID": "2"}]}, 2),
        ({"SalePayment": {"salePaymentID": "1"}}, 1),
        ("", 0),
        (None, 0),
    ],
)
def test_children_are_one_many_or_none(container: Any, count: int) -> None:
    """As relations come on the wire; anything else is refused."""
    through = make_plan(Job.of("SalePayment"), WINDOW, ReadState())
    assert len(children(through, [{"saleID": "1", "SalePayments": container}])) == count
    with pytest.raises(ProtocolViolation, match="holds str where records belong"):
        children(through, [{"SalePayments": {"SalePayment": "x"}}])
    assert children(plan(), [{"saleID": "1"}]) == [{"saleID": "1"}]
