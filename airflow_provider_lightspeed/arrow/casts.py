"""Columns of text to typed columns, by Arrow's own casts, as far as these agree with :mod:`values`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_lightspeed.arrow import build
from airflow_provider_lightspeed.arrow.types import Column
from airflow_provider_lightspeed.resources.base import DECIMALS, FieldType

#: Types whose values are texts.
TEXTS: Final = (FieldType.STRING, FieldType.MIXED)
#: Digits before the point of decimal(38,10).
_SAFE_DIGITS: Final = 28
_FIRST_MOMENT: Final = build.moment(datetime(1, 1, 1, tzinfo=UTC))
_LAST_MOMENT: Final = build.moment(datetime.max.replace(tzinfo=UTC))
_EMPTY: Final = build.text("")
_NULL: Final = pa.nulls(1, pa.string())[0]


def cast(column: Column, texts: pa.Array) -> pa.Array | None:
    """Let Arrow read a column of texts; ``None`` if it refuses one. Of all types but text, ``""`` means null."""
    if column.type in TEXTS:
        return texts
    # Two searches: one that ignores case takes ten times as long as the cast.
    if column.type is FieldType.INTEGER and any(pc.any(pc.match_substring(texts, x)).as_py() for x in "xX"):
        return None  # Arrow takes hexadecimal digits for a number
    if column.type in DECIMALS and _may_overflow(texts):
        return None
    try:
        typed = texts.cast(column.arrow)
    except pa.ArrowInvalid:
        try:
            typed = pc.if_else(pc.equal(texts, _EMPTY), _NULL, texts).cast(column.arrow)
        except pa.ArrowInvalid:
            return None
    if column.type is FieldType.DATETIME:
        ends = pc.min_max(typed)
        if pc.less(ends["min"], _FIRST_MOMENT).as_py() or pc.greater(ends["max"], _LAST_MOMENT).as_py():
            return None  # Arrow reads the years 0 and 10000, which Python and most warehouses cannot
    return typed


def _may_overflow(texts: pa.Array) -> bool:
    """Tell whether a number may have more than 28 digits before its point: Arrow wraps some of these round in silence.

    Texts that are so long, or that may have an exponent, are enough to say so: both are rare.
    """
    data = texts.buffers()[2]
    if data is None:
        return False
    memory, longest = data.to_pybytes(), pc.max(pc.binary_length(texts)).as_py() or 0
    # The bytes are searched as a whole: Arrow's own search takes as long as the cast.
    return longest > _SAFE_DIGITS or any(letter in memory for letter in (b"e", b"E"))
