"""Arrow's own casts agree with the careful way, value by value, or are not taken."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_lightspeed.arrow.casts import TEXTS, cast
from airflow_provider_lightspeed.arrow.types import Column
from airflow_provider_lightspeed.arrow.values import CONVERTERS, Misfit
from airflow_provider_lightspeed.resources.base import FieldType

TYPES = [FieldType.INTEGER, FieldType.QUANTITY, FieldType.MONEY, FieldType.BOOLEAN, FieldType.DATETIME]
TEXTS_OF_THE_WIRE = [
    "", "0", "-0", "007", "12", "1e3", "1.5", "0x1f", "true", "FALSE", "yes", "NaN", str(2**63), "11.4860025",
    "2021-05-20T14:10:08+00:00", "2021-05-20T14:10:08-04:00", "0000-00-00T00:00:00+00:00", "2021-05-20",
]  # fmt: skip
wire = st.one_of(
    st.sampled_from(TEXTS_OF_THE_WIRE),
    st.integers().map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=4).map(str),
    st.integers(-(10**45), 10**45).map(str),
    st.tuples(st.decimals(-10, 10, places=3), st.integers(-12, 45)).map(lambda parts: f"{parts[0]}e{parts[1]}"),
    st.text(max_size=5),
)


def careful(column: Column, text: str) -> Any:
    return None if text == "" else CONVERTERS[column.type](text, column)


@given(st.sampled_from(TYPES), st.lists(wire, min_size=1, max_size=4))
@example(FieldType.INTEGER, ["0x1f"])
@example(FieldType.QUANTITY, ["2211835385207283551032663303410"])
@example(FieldType.MONEY, ["1.5e30"])
@example(FieldType.DATETIME, ["0000-00-00T00:00:00+00:00"])
@example(FieldType.DATETIME, ["9999-12-31T23:59:59-01:00"])
@example(FieldType.DATETIME, ["9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+00:00"])
@example(FieldType.DATETIME, ["0001-01-01T00:00:00+01:00"])
def test_column_that_arrow_casts_holds_what_the_careful_way_gives(kind: FieldType, texts: list[str]) -> None:
    """Or Arrow refuses the column, and the careful way is taken: no value changes by the way that it is read."""
    column = Column("x", kind, ("x",))
    typed = cast(column, pa.array(texts, pa.string()))
    if typed is None:
        return
    assert typed.type == column.arrow
    for text, value in zip(texts, typed.to_pylist(), strict=True):
        try:
            expected = careful(column, text)
        except Misfit as misfit:
            pytest.fail(f"Arrow read {text!r} as {value!r}: {misfit.reason}")
        assert value == expected


@pytest.mark.parametrize("kind", TEXTS)
def test_texts_stay_as_they_are(kind: FieldType) -> None:
    """An empty text is a text."""
    texts = pa.array(["", "a"])
    assert cast(Column("x", kind, ("x",)), texts) is texts


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9)))
def test_ordinary_amounts_go_the_quick_way(amounts: list[Decimal]) -> None:
    """Money as the API writes it, empty texts among it."""
    typed = cast(Column("x", FieldType.MONEY, ("x",)), pa.array([*map(str, amounts), ""], pa.string()))
    assert typed is not None
    assert typed.to_pylist() == [*amounts, None]
