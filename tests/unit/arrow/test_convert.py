"""Wire records to Arrow: typed where it fits, kept in ``_extra`` where it does not, nothing lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_lightspeed.arrow.convert import Lineage, RecordConverter
from airflow_provider_lightspeed.arrow.types import DECIMAL, TIMESTAMP, Selection, arrow_schema
from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.resources.catalog import resource, resources
from tests.support.fakes import NOON

LINEAGE = Lineage("7", NOON)
SALE = resource("Sale")


def converted(*records: dict[str, Any], relations: tuple[str, ...] = (), name: str = "Sale") -> list[dict[str, Any]]:
    converter = RecordConverter(resource(name), relations, lineage=LINEAGE)
    rows: list[dict[str, Any]] = converter.convert(records).to_pylist()
    return rows


def extra(row: dict[str, Any]) -> Any:
    return json.loads(row["_extra"]) if row["_extra"] else {}


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("saleID", "12", 12),
        ("completed", "true", True),
        ("total", "11.4860025", Decimal("11.4860025")),
        ("total", "0.000000000", Decimal(0)),
        ("total", "-20", Decimal(-20)),
        ("timeStamp", "2021-05-20T14:10:08+00:00", datetime(2021, 5, 20, 14, 10, 8, tzinfo=UTC)),
        ("timeStamp", "2021-05-20T10:10:08-04:00", datetime(2021, 5, 20, 14, 10, 8, tzinfo=UTC)),
        ("ticketNumber", "0012", "0012"),
        ("saleID", "", None),
        ("total", "", None),
        ("ticketNumber", "", ""),
    ],
)
def test_texts_of_the_wire_become_typed_values(key: str, text: str, value: Any) -> None:
    """Every scalar comes as text; empty means null except for texts."""
    (row,) = converted({key: text})
    assert row[key] == value
    assert row["_extra"] is None


@pytest.mark.parametrize(
    ("key", "text", "kept"),
    [
        ("saleID", "twelve", None),
        ("saleID", str(2**63), None),
        ("saleID", "1.5", None),
        ("completed", "maybe", None),
        ("total", "1e40", None),
        ("total", "NaN", None),
        ("total", "1.00000000009", Decimal("1.0000000001")),
        ("timeStamp", "2021-02-29T00:00:00+00:00", None),
        ("timeStamp", "2021-05-20T14:10:08", None),
    ],
)
def test_what_does_not_fit_is_kept_as_it_came(key: str, text: str, kept: Any) -> None:
    """The column holds null, or the nearest value; ``_extra`` holds the text; the rows around are untouched."""
    good, bad = converted({"saleID": "1"}, {key: text})
    assert bad[key] == kept
    assert extra(bad) == {key: text}
    assert (good["saleID"], good["_extra"]) == (1, None)


def test_unknown_fields_are_kept() -> None:
    """Lightspeed adds fields without notice."""
    (row,) = converted({"saleID": "1", "newField": {"deep": ["x"]}})
    assert extra(row) == {"newField": {"deep": ["x"]}}


def test_json_numbers_and_booleans_are_read_like_texts() -> None:
    """Should the API begin to send them: nothing is lost and nothing lands in ``_extra``."""
    (row,) = converted({"saleID": 5, "completed": True, "total": 1.25})
    assert (row["saleID"], row["completed"], row["total"], row["_extra"]) == (5, True, Decimal("1.25"), None)


def test_two_spellings_feed_one_column() -> None:
    """``updatetime`` and ``updateTime`` in one batch; a difference between them is kept."""
    moment, other = "2021-05-20T14:10:08+00:00", "2021-05-21T14:10:08+00:00"
    first, second, both = converted(
        {"updatetime": moment}, {"updateTime": moment}, {"updateTime": moment, "updatetime": other}
    )
    assert first["updateTime"] == second["updateTime"] == both["updateTime"]
    assert extra(both) == {"updatetime": other}


@pytest.mark.parametrize(
    ("container", "count"),
    [
        ({"SaleLine": [{"saleLineID": "1"}, {"saleLineID": "2"}]}, 2),
        ({"SaleLine": {"saleLineID": "1"}}, 1),
        ({"saleLineID": "1"}, 1),
        ("", 0),
        (None, 0),
        ({}, 0),
    ],
)
def test_relation_is_a_list_however_many_come(container: Any, count: int) -> None:
    """Several, one as an object, none as an empty text: one type."""
    (row,) = converted({"saleID": "1", "SaleLines": container}, relations=("SaleLines",))
    assert [line["saleLineID"] for line in row["SaleLines"]] == list(range(1, count + 1))


def test_nested_misfits_name_their_path() -> None:
    """Row, list index and field."""
    lines = {"SaleLine": [{"saleLineID": "1"}, {"saleLineID": "x", "novel": "y"}]}
    _, row = converted({"saleID": "1"}, {"saleID": "2", "SaleLines": lines}, relations=("SaleLines",))
    assert extra(row) == {"SaleLines[1].saleLineID": "x", "SaleLines[1].novel": "y"}


def test_strays_in_a_relation_are_kept() -> None:
    """What is no record, and what stands beside the records."""
    container = {"SaleLine": [{"saleLineID": "1"}, "stray"], "note": "beside"}
    (row,) = converted({"saleID": "1", "SaleLines": container}, relations=("SaleLines",))
    assert len(row["SaleLines"]) == 1
    assert extra(row) == {"SaleLines": ["stray"], "SaleLines.note": "beside"}


def test_report_counts_by_path_and_reason() -> None:
    """List indexes left out, so that thousands of rows make one line."""
    converter = RecordConverter(SALE, ("SaleLines",), lineage=LINEAGE)
    line = {"saleLineID": "x"}
    converter.convert([{"saleID": "1", "SaleLines": {"SaleLine": [line, line]}}])
    assert converter.report == {("SaleLines.saleLineID", "not an integer"): 2}


def test_lineage_stands_on_every_row() -> None:
    """Account, time and window."""
    lineage = Lineage("7", NOON, None, NOON)
    batch = RecordConverter(SALE, lineage=lineage).convert([{"saleID": "1"}, {"saleID": "2"}])
    assert [(row["_account_id"], row["_extracted_at"], row["_window_start"]) for row in batch.to_pylist()] == [
        ("7", NOON, None)
    ] * 2


@pytest.mark.parametrize("found", list(resources()), ids=lambda found: found.name)
def test_schema_depends_on_the_catalog_alone(found: Any) -> None:
    """Empty, sparse and full batches have the schema that was announced; column names are unique."""
    relations = [name for name, facts in found.relations.items() if not facts.single_only]
    for chosen in ((), relations):
        converter = RecordConverter(found, chosen, lineage=LINEAGE)
        announced = arrow_schema(found, chosen)
        assert converter.schema == announced
        assert len(set(announced.names)) == len(announced.names)
        batches: list[list[dict[str, Any]]] = [[], [{}], [{"unknown": "x"}]]
        for records in batches:
            batch = converter.convert(records)
            batch.validate(full=True)
            assert batch.schema == announced


def test_money_and_times_have_exact_types() -> None:
    """Never floats, never naive."""
    schema = arrow_schema(SALE)
    assert schema.field("total").type == DECIMAL
    assert schema.field("timeStamp").type == TIMESTAMP
    assert not [field.name for field in schema if pa.types.is_floating(field.type)]


def test_unknown_column_names_the_nearest() -> None:
    """Relations' columns exist once the relation is asked for."""
    with pytest.raises(InvalidArgument, match="Did you mean 'total'"):
        RecordConverter(SALE, selection=Selection(("totl",)), lineage=LINEAGE)
    with pytest.raises(InvalidArgument, match="once it is named in relations"):
        RecordConverter(SALE, selection=Selection(("SaleLines",)), lineage=LINEAGE)


words = st.one_of(
    st.text(max_size=12),
    st.integers(-(2**70), 2**70).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=12).map(str),
    st.sampled_from(
        [
            "true",
            "false",
            "",
            "True",
            "TRUE",
            "1",
            "0",
            "yes",
            "+5",
            "1_000",
            ".5",
            "5.",
            "1.0",
            "1e3",
            " 7",
            "7 ",
            "0x10",
            "-0x1",
            "٣",
            "1,5",
            "inf",
            "-0",
            "00012",
            "1e-11",
            "9" * 28,
            "9" * 29,
            "0." + "1" * 40,
            "2021-05-20T14:10:08+00:00",
            "2021-05-20 14:10:08+00:00",
            "2021-05-20T14:10:08Z",
            "2021-05-20T14:10Z",
            "2021-02-29",
            "2021-05-20",
            "20210520",
            "2021-05-20T14:10:08.123456789+00:00",
            "2021-W20-4",
            "24:00",
            "2021-05-20T24:00:00+00:00",
            "2021-05-20T14:10:60+00:00",
            "0001-01-01T00:00:00+14:00",
            "0000-01-01T00:00:00+00:00",
            "9999-12-31",
        ]
    ),
)
scalars = [name for name, found in SALE.entity.fields.items() if found.type.value not in ("object", "collection")]
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**60), 2**60), words),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)),
    max_leaves=5,
)
keys = st.sampled_from([*scalars, "SaleLines", "Customer", "unknown"])


@settings(max_examples=100)
@given(st.lists(st.dictionaries(st.sampled_from(scalars), words, max_size=6), max_size=5))
def test_quick_and_careful_ways_agree(records: list[dict[str, str]]) -> None:
    """A batch of texts, alone and beside a record that forces the careful way."""
    assert converted(*records) == converted(*records, {"saleID": 1})[: len(records)]


@given(st.lists(st.dictionaries(keys, anything, max_size=5), max_size=4))
def test_no_value_is_lost(records: list[dict[str, Any]]) -> None:
    """Whatever JSON comes: each value is in its column or in ``_extra``, and the batch is valid Arrow."""
    converter = RecordConverter(SALE, ("SaleLines", "Customer"), lineage=LINEAGE)
    batch = converter.convert(records)
    batch.validate(full=True)
    for record, row in zip(records, batch.to_pylist(), strict=True):
        aside = extra(row)
        for key, value in record.items():
            name = "updateTime" if key == "updatetime" else key
            kept = any(path == key or path.startswith((f"{key}.", f"{key}[")) for path in aside)
            assert kept or value in (None, "", [], {}) or row.get(name) is not None, (key, value)


def test_lone_surrogate_is_replaced_and_its_raw_form_kept() -> None:
    """Wherever it stands: text, nested text, unknown field, number. The rest of the row and of the page is untouched."""
    broken = "cut \ud83d off"
    converter = RecordConverter(SALE, ("SaleLines",), lineage=LINEAGE)
    line = {"saleLineID": "7", "lineType": broken}
    record = {
        "saleID": "1",
        "ticketNumber": broken,
        "total": "5\ud83d",
        "timeStamp": "\ud83d",
        "brandNew": {"a": [broken]},
        "SaleLines": {"SaleLine": line},
    }
    first, second = converter.convert([record, {"saleID": "2", "ticketNumber": "whole"}]).to_pylist()
    assert first["ticketNumber"] == "cut \ufffd off"
    assert first["SaleLines"][0]["lineType"] == "cut \ufffd off"
    assert first["total"] is None
    assert extra(first) == {
        "ticketNumber": r"cut \ud83d off",
        "total": r"5\ud83d",
        "timeStamp": r"\ud83d",
        "brandNew": {"a": [r"cut \ud83d off"]},
        "SaleLines[0].lineType": r"cut \ud83d off",
    }
    assert converter.report["ticketNumber", "a damaged text"] == 1
    assert second["ticketNumber"] == "whole"
    assert second["_extra"] is None


def test_damaged_text_is_hashed_like_any_other() -> None:
    """A hash of it is no error, and differs from that of the text it is replaced by."""
    converter = RecordConverter(SALE, (), Selection(hashed=("ticketNumber",)), lineage=LINEAGE, salt=Secret("pepper"))
    rows = converter.convert([{"ticketNumber": "a\ud83d"}, {"ticketNumber": "a\ufffd"}]).to_pylist()
    assert len({row["ticketNumber"] for row in rows}) == 2


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_number_that_is_none_is_kept_beside_its_null_column(text: str) -> None:
    """JSON has no such numbers; PHP writes them."""
    (row,) = converted({"saleID": text, "total": text, "ticketNumber": text})
    assert (row["saleID"], row["total"], row["ticketNumber"]) == (None, None, text)
    assert extra(row) == {"saleID": text, "total": text}
