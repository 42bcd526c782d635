"""Pages to Arrow: the quick way gives what the careful way gives, and leaves alone what it does not understand."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_lightspeed.arrow.convert import Lineage, RecordConverter
from airflow_provider_lightspeed.arrow.paged import PageConverter
from airflow_provider_lightspeed.arrow.types import Column, Selection, Shape, shape_of
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.resources.base import FieldType
from airflow_provider_lightspeed.resources.catalog import resource, resources
from tests.support.fakes import NOON

LINEAGE = Lineage("7", NOON, None, NOON)
RELATIONS = {
    found.name: [name for name, facts in found.relations.items() if not facts.single_only] for found in resources()
}
Record = dict[str, Any]

#: Texts that would not come back from lines.
CONTROLS = ["\x1e", "\x1f", "a\x1eb", "a\x1fb", "\n", "\r", "a\nb", "a\r\n", "\ufeff", "\ufeffa"]
TEXTS = [
    "", " ", "0", "12", "-0", "0x10", " 7", "1_000", "٣", "1e3", "9" * 29, str(2**63), "11.4860025", "0.000000000001",
    "7 ", "\t7", "+5", "5.", ".5", "1e-3", "1E3", "12.0", "2.5", "\uff11\uff12", "²", "Infinity", "-inf", "nan", "1e9999", "1,000", "0b1",
    "2021-05-20T14:10:08.123456789+00:00", "2021-05-20T14:10:08.123456000Z", "2021-05-20T24:00:00Z", "20210520T141008Z",
    "2021-05-20x14:10:08Z", "2021-05-20T14:10:08,5Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "2021-5-2",
    "٢٠٢١-05-20", " true", "tRue", "1", "T",
    "true", "False", "yes", "N/A", "NaN", "null", "NULL", '"', '""', ",", "\\", "\t", "é😀", "2021-05-20",
    "2021-05-20T14:10:08+00:00", "2021-05-20T14:10:08", "0000-00-00T00:00:00+00:00", "12/31/2021",
    "\x00", "\x85", "\u2028", "\x1d",
]  # fmt: skip
#: What is no text.
STRANGERS = [None, 5, 1.5, True, [], ["a"], {}, {"deep": "x"}]

ALL = Selection()
SELECTIONS = [
    Selection(("saleID", "total", "SaleLines")),
    Selection(("SaleLines",), excluded=("SaleLines.unitPrice", "SaleLines.SaleAccounts")),
    Selection(excluded=("SaleLines", "total"), hashed=("referenceNumber", "Customer.firstName")),
    Selection(hashed=("total", "updateTime", "SaleLines.itemID"), naming="snake_case"),
]

SOURCE = attrgetter("source")
NO_COLUMNS = (Column("nothing", FieldType.STRING, ("nothing",)),)

plain = st.one_of(st.sampled_from(TEXTS), st.text(max_size=6))
hostile = st.one_of(plain, st.sampled_from([*CONTROLS, *STRANGERS]))


def record_of(
    draw: st.DrawFn, shape: Shape, values: st.SearchStrategy[Any], *, is_hostile: bool, deep: int = 0
) -> Record:
    """Draw a record: some of its fields, objects there or not, collections of none, one or several."""
    record: Record = {}
    columns = draw(st.lists(st.sampled_from(shape.columns or NO_COLUMNS), max_size=5, unique_by=SOURCE))
    for column in columns:
        key = draw(st.sampled_from(column.keys))
        record[key] = draw(values)
        if column.shape is not None and deep < 3 and not (is_hostile and draw(st.integers(0, 9)) == 0):
            record[key] = nested_of(draw, column, values, is_hostile=is_hostile, deep=deep)
    if is_hostile and draw(st.integers(0, 9)) == 0:
        record["brandNew"] = draw(values)
    return record


def nested_of(draw: st.DrawFn, column: Column, values: st.SearchStrategy[Any], *, is_hostile: bool, deep: int) -> Any:
    assert column.shape is not None
    most = 3 if column.type is FieldType.COLLECTION else 1
    several = [
        record_of(draw, column.shape, values, is_hostile=is_hostile, deep=deep + 1)
        for _ in range(draw(st.integers(0, most)))
    ]
    if not several:
        return ""
    inner: Any = several[0] if len(several) == 1 and (most == 1 or draw(st.booleans())) else several
    return {column.element: inner} if most > 1 and column.element else inner


@st.composite
def pages_of(draw: st.DrawFn, name: str, relations: list[str]) -> list[list[Record]]:
    """Draw pages of records; every other one holds strangers."""
    shape = shape_of(resource(name), relations)
    pages = []
    for _ in range(draw(st.integers(0, 3))):
        strange = draw(st.booleans())
        values = hostile if strange else plain
        pages.append([record_of(draw, shape, values, is_hostile=strange) for _ in range(draw(st.integers(0, 4)))])
    return pages


def both(
    name: str, relations: list[str], pages: list[list[Record]], selection: Selection = ALL
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Convert the pages quickly, and all records together one by one; what was set aside must be the same."""
    salt = Secret("salt")
    quick = PageConverter(resource(name), relations, selection, lineage=LINEAGE, salt=salt)
    careful = RecordConverter(resource(name), relations, selection, lineage=LINEAGE, salt=salt)
    for page in pages:
        quick.take(page)
    batch = quick.flush()
    batch.validate(full=True)
    expected = careful.convert([record for page in pages for record in page])
    assert quick.report == careful.report
    assert quick.fields == {key for page in pages for record in page for key in record}
    return batch, expected


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_pages_become_what_their_records_become(data: st.DataObject) -> None:
    """Any resource, relations and values: the same batch and the same report as record by record."""
    name = data.draw(st.sampled_from(sorted(RELATIONS)))
    relations = (
        data.draw(st.lists(st.sampled_from(RELATIONS[name]), unique=True, max_size=4)) if RELATIONS[name] else []
    )
    batch, expected = both(name, relations, data.draw(pages_of(name, relations)))
    assert batch.schema == expected.schema
    assert batch.to_pylist() == expected.to_pylist()
    assert batch.equals(expected)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pages_of("Sale", ["SaleLines", "Customer.Contact"]), st.sampled_from(SELECTIONS))
def test_selections_hold_for_pages(pages: list[list[Record]], selection: Selection) -> None:
    """Chosen, excluded, hashed and renamed columns are the same either way."""
    batch, expected = both("Sale", ["SaleLines", "Customer.Contact"], pages, selection)
    assert batch.schema == expected.schema
    assert batch.to_pylist() == expected.to_pylist()


class _QuickOnly(PageConverter):
    def convert(self, records: Any) -> pa.RecordBatch:
        raise AssertionError("record by record")


LINE = {"saleLineID": "1", "unitPrice": "2.50"}


@pytest.mark.parametrize(
    "record",
    [
        {"total": "1.5", "saleID": "2", "Shop": {"name": "x"}},
        {
            "saleID": "2",
            "SaleLines": {"SaleLine": [LINE, {**LINE, "SalesAccounts": {"SaleAccount": {}}}]},
        },
        {"saleID": "2", "SaleLines": {"SaleLine": LINE}},
        {"saleID": "2", "SaleLines": ""},
        {"saleID": "", "total": "not a number", "referenceNumber": 'Ünï \\ " 😀'},
        {"saleID": "2", "customerID": "7", "Customer": {"Contact": {"custom": "x"}}},
    ],
    ids=["other order", "lines", "one line", "no lines", "texts that do not fit", "relation within a relation"],
)
def test_documented_pages_go_the_quick_way(record: Record) -> None:
    """Fields that come and go, one-or-many and values that do not fit their type cost no page the quick way."""
    converter = _QuickOnly(resource("Sale"), ("SaleLines", "Customer.Contact"), lineage=LINEAGE)
    for _ in range(2):
        converter.take([{"saleID": "1", "total": "1", "createTime": "", "SaleLines": ""}, record])
    assert converter.flush().column("saleID").to_pylist() == [1, int(record["saleID"] or 0) or None] * 2


def test_page_with_a_damaged_text_is_read_record_by_record() -> None:
    """What UTF-8 cannot hold cannot be written as a line."""
    converter = PageConverter(resource("Sale"), lineage=Lineage("7", NOON))
    converter.take([{"saleID": "1", "ticketNumber": "a"}])
    converter.take([{"saleID": "2", "ticketNumber": "b\ud800"}])
    rows = converter.flush().to_pylist()
    assert [row["ticketNumber"] for row in rows] == ["a", "b\ufffd"]
    assert rows[1]["_extra"] == r'{"ticketNumber":"b\\ud800"}'
