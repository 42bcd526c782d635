"""One wire value to one typed value: exact, or a misfit that says why."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.arrow.convert import Lineage, RecordConverter
from airflow_provider_lightspeed.arrow.paged import PageConverter
from airflow_provider_lightspeed.arrow.types import Column
from airflow_provider_lightspeed.arrow.values import CONVERTERS, Misfit, raw_text
from airflow_provider_lightspeed.extract.drift import drift_of
from airflow_provider_lightspeed.resources.base import NESTED, FieldType
from airflow_provider_lightspeed.resources.catalog import resource
from tests.support.fakes import NOON


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
        (FieldType.MONEY, "NaN", "not a number", None),
        (FieldType.MONEY, "ten", "not a number", None),
        (FieldType.BOOLEAN, "yes", "not a boolean", None),
        (FieldType.DATETIME, "2021-05-20T14:10:08", "a timestamp without an offset", None),
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


#: A field of each type: id, quantity, money, truth value, point in time, date of a report.
FIELDS = {
    "id": ("SaleLine", "itemID"),
    "quantity": ("SaleLine", "unitQuantity"),
    "money": ("SaleLine", "unitPrice"),
    "boolean": ("SaleLine", "tax"),
    "datetime": ("SaleLine", "createTime"),
    "date": ("ReportsAccountingPaymentsByDay", "date"),
}
STAMP = datetime(2021, 5, 20, 14, 10, 8, 123456, tzinfo=UTC)

ACCEPTED: list[tuple[str, Any, Any]] = [
    ("quantity", "2.5", Decimal("2.5")),
    ("quantity", "-3", Decimal(-3)),
    ("quantity", "21801619", Decimal(21801619)),
    ("quantity", 2.5, Decimal("2.5")),
    ("id", "1e3", 1000),
    ("id", "12.0", 12),
    ("id", "+5", 5),
    ("id", "00012", 12),
    ("money", "1E3", Decimal(1000)),
    ("money", ".5", Decimal("0.5")),
    ("money", "5.", Decimal(5)),
    ("boolean", "1", True),
    ("boolean", "0", False),
    ("boolean", "TRUE", True),
    ("boolean", 0, False),
    ("datetime", "2021-05-20T14:10:08.123456+00:00", STAMP),
    ("datetime", "2021-05-20T14:10:08.123456000Z", STAMP),
    ("datetime", "2021-05-20 10:10:08,123456-0400", STAMP),
    ("date", "05/20/2021", date(2021, 5, 20)),
    ("date", "2021-05-20", date(2021, 5, 20)),
]

KEPT_RAW: list[tuple[str, Any, Any]] = [
    *[
        (kind, text, None)
        for kind in ("id", "quantity", "money")
        for text in ("1_000", "1,000", "٣", "\uff11\uff12", "²", " 7", "7 ", "\t7", "7\n", "0x10", "0b1", "Infinity", "-inf", "nan",
                     "--5", "1e", "e3", ".", "-", "five", True)
    ],
    ("id", "2.5", None),
    ("id", str(2**63), None),
    ("money", "9" * 29, None),
    ("money", "1e999999999999999999999", None),
    ("money", "0.00000000005", Decimal("0E-10")),
    ("boolean", "yes", None),
    ("boolean", " true", None),
    ("boolean", "T", None),
    ("boolean", "1.0", None),
    ("datetime", "2021-05-20T14:10:08.123456789+00:00", STAMP),
    ("datetime", "2021-05-20T14:10:08", None),
    ("datetime", "2021-05-20", None),
    ("datetime", "20210520T141008Z", None),
    ("datetime", "2021-W20-4T10:00:00Z", None),
    ("datetime", "2021-05-20T24:00:00Z", None),
    ("datetime", "2021-05-20x14:10:08Z", None),
    ("datetime", "2021-02-29T00:00:00+00:00", None),
    ("datetime", "0000-00-00T00:00:00+00:00", None),
    ("datetime", "0001-01-01T00:00:00+01:00", None),
    ("datetime", 1621519808, None),
    ("date", "05/20/٢٠٢١", None),
    ("date", "5/20/2021 ", None),
    ("date", "20210520", None),
    ("date", "0000-00-00", None),
    ("date", "2021-05-20T23:00:00+00:00", date(2021, 5, 20)),
]  # fmt: skip


def both_ways(kind: str, value: Any) -> tuple[Any, Any, Any]:
    """Convert a value record by record and as a page; return what its column and ``_extra`` hold, and the report."""
    name, field = FIELDS[kind]
    lineage = Lineage("7", NOON)
    careful, quick = RecordConverter(resource(name), lineage=lineage), PageConverter(resource(name), lineage=lineage)
    record = {field: value}
    quick.take([record])
    (row,), (other,) = careful.convert([record]).to_pylist(), quick.flush().to_pylist()
    assert row == other
    assert careful.report == quick.report
    extra = json.loads(row["_extra"]) if row["_extra"] else {}
    return row[field], extra.get(field), careful.report


@pytest.mark.parametrize(("kind", "value", "typed"), ACCEPTED)
def test_value_is_accepted(kind: str, value: Any, typed: Any) -> None:
    """Exact, so ``_extra`` needs no raw text."""
    assert both_ways(kind, value) == (typed, None, {})


@pytest.mark.parametrize(("kind", "value", "typed"), KEPT_RAW)
def test_value_is_kept_as_it_came(kind: str, value: Any, typed: Any) -> None:
    """Null, or the nearest value; the raw text is in ``_extra``, and it is counted."""
    found, raw, report = both_ways(kind, value)
    assert (found, raw) == (typed, value)
    assert sum(report.values()) == 1


def test_g1_timestamp_without_an_offset_is_drift() -> None:
    """It is no local time and no UTC: the column is null, and the run says so."""
    *_, report = both_ways("datetime", "2021-05-20T14:10:08")
    assert drift_of(report).changed == {"createTime: a timestamp without an offset": 1}


def test_digits_below_microseconds_are_no_drift() -> None:
    """Nor are more than ten decimals: the type is what the catalog says."""
    *_, report = both_ways("datetime", "2021-05-20T14:10:08.123456789+00:00")
    assert not drift_of(report)
    *_, report = both_ways("money", "0.00000000005")
    assert not drift_of(report)
