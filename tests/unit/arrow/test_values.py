"""One wire value to one typed value: exact, or a misfit that says why."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.arrow.types import Column
from airflow_provider_lightspeed.arrow.values import CONVERTERS, Misfit, raw_text
from airflow_provider_lightspeed.resources.base import NESTED, FieldType


def read(kind: FieldType, value: Any, form: str | None = None) -> Any:
    return CONVERTERS[kind](value, Column("x", kind, ("x",), format=form))


def test_every_type_of_a_scalar_has_a_converter() -> None:
    """A new type without one would fail at its first value."""
    assert set(CONVERTERS) == set(FieldType) - NESTED


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_come_back(number: int) -> None:
    """The whole range of int64, as text and as number."""
    assert read(FieldType.INTEGER, str(number)) == read(FieldType.INTEGER, number) == number


@given(st.decimals(allow_nan=False, allow_infinity=False, places=10, min_value=-(10**27), max_value=10**27))
def test_decimals_with_ten_places_are_exact(number: Decimal) -> None:
    """Money and quantities never pass through a float."""
    assert read(FieldType.MONEY, str(number)) == number


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)), st.integers(-12, 14))  # noqa: DTZ001 - made aware below
def test_times_are_utc(moment: datetime, offset: int) -> None:
    """Whatever offset the wire has."""
    text = f"{moment.isoformat()}{offset:+03d}:00"
    found = read(FieldType.DATETIME, text)
    assert found.tzinfo is UTC
    assert found == moment.replace(tzinfo=UTC) - timedelta(hours=offset)


@pytest.mark.parametrize(
    ("kind", "value", "reason", "rounded"),
    [
        (FieldType.INTEGER, str(2**63), "too large for int64", None),
        (FieldType.INTEGER, "1.5", "not an integer", None),
        (FieldType.INTEGER, True, "not an integer", None),
        (FieldType.QUANTITY, "0.12345678905", "more than ten decimals", Decimal("0.1234567890")),
        (FieldType.MONEY, "1e28", "too large for decimal(38,10)", None),
        (FieldType.MONEY, "NaN", "too large for decimal(38,10)", None),
        (FieldType.MONEY, "ten", "not a number", None),
        (FieldType.BOOLEAN, "yes", "not a boolean", None),
        (FieldType.DATETIME, "2021-05-20T14:10:08", "a timestamp without an offset", datetime(2021, 5, 20, 14, 10, 8, tzinfo=UTC)),
        (FieldType.DATETIME, "0000-00-00T00:00:00+00:00", "not a timestamp", None),
        (FieldType.DATE, "2021-05-20T14:10:08+00:00", "a timestamp where a date belongs", date(2021, 5, 20)),
        (FieldType.STRING, 5, "not a text", "5"),
        (FieldType.STRING, ["a"], "not a text", None),
        (FieldType.STRING_LIST, ["a", 1], "not a list of texts", None),
    ],
)  # fmt: skip
def test_what_does_not_fit_says_why(kind: FieldType, value: Any, reason: str, rounded: Any) -> None:
    """With the nearest value that the column can hold, where there is one."""
    with pytest.raises(Misfit) as caught:
        read(kind, value)
    assert (caught.value.reason, caught.value.rounded) == (reason, rounded)


@pytest.mark.parametrize("text", ["03/04/2021", "2021-03-04"])
def test_dates_come_in_the_format_that_the_catalog_names(text: str) -> None:
    """American order where the documentation says so."""
    assert read(FieldType.DATE, text, "MM/DD/YYYY") == date(2021, 3, 4)


def test_raw_text_is_the_text_itself_or_json() -> None:
    """What ``_extra`` keeps can be read back."""
    assert [raw_text(value) for value in ("a", 5, {"b": [True, None]})] == ["a", "5", '{"b":[true,null]}']
