"""Pages as lines of delimited text: every text comes back, or the page is left to the careful way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_lightspeed.arrow.lines import LineWriter, Unusual
from airflow_provider_lightspeed.arrow.types import Column, Shape, shape_of
from airflow_provider_lightspeed.resources.base import FieldType
from airflow_provider_lightspeed.resources.catalog import resource

Record = dict[str, Any]


#: Texts that would not come back from lines.
CONTROLS = ["\x1e", "\x1f", "a\x1eb", "a\x1fb", "\n", "\r", "a\nb", "a\r\n", "\ufeff", "\ufeffa"]


#: What is no text.
STRANGERS = [None, 5, 1.5, True, [], ["a"], {}, {"deep": "x"}]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.text(max_size=4)), min_size=1, max_size=5),
    st.integers(1, 3),
)
def test_lines_say_what_the_records_said(records: list[dict[str, str]], width: int) -> None:
    """However few columns there are, every text comes back, and a missing field is null; or the page is unusual."""
    shape = Shape(
        tuple(Column(name, FieldType.STRING, (name,)) for name in ("a", "b", "c")[:width]), frozenset({"a", "b", "c"})
    )
    writer = LineWriter(shape)
    try:
        lines = [writer.write(records), writer.write(records[:1])]
    except Unusual:
        texts = [text for record in records for text in record.values()]
        assert any(character in text for text in texts for character in "\n\r\x1e\x1f\ufeff")
        return
    found = writer.read(lines)
    assert found.rows == len(records) + 1
    for key in ("a", "b", "c")[:width]:
        assert found.values(key) == [record.get(key) for record in [*records, records[0]]]


LINE = {"saleLineID": "1", "unitPrice": "2.50"}


@pytest.mark.parametrize("value", [*STRANGERS, *CONTROLS], ids=repr)
def test_strangers_are_left_to_the_careful_way(value: Any) -> None:
    """What is no text, or holds one of the characters that lines are made of."""
    writer = LineWriter(shape_of(resource("Sale")))
    with pytest.raises(Unusual):
        writer.write([{"archived": value, "saleID": "1"}])


@pytest.mark.parametrize(
    "record",
    [
        {"brandNew": "x"},
        {"SaleLines": {"SaleLine": [LINE], "note": "x"}},
        {"SaleLines": {"SaleLine": [LINE, "stray"]}},
        {"SaleLines": {"SaleLine": "stray"}},
        {"SaleLines": [LINE]},
        {"SaleLines": LINE},
        {"SaleLines": {"SaleLine": {**LINE, "brandNew": "x"}}},
        {"Shop": [{"name": "x"}]},
        {"updateTime": "", "brandNew": ""},
    ],
    ids=str,
)
def test_what_is_not_documented_is_left_to_the_careful_way(record: Record) -> None:
    """New fields, and containers that hold something else; before and after an ordinary record with as many fields."""
    shape = shape_of(resource("Sale"), ["SaleLines"])
    ordinary = {"saleID": "1", "total": "2"}
    for records in ([record], [ordinary, {"saleID": "1", **record}], [{"saleID": "1", **record}, ordinary]):
        writer = LineWriter(shape)
        writer.write([ordinary])
        with pytest.raises(Unusual):
            writer.write(records)
