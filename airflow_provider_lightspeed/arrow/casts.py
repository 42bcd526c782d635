"""Columns of text to typed columns, by Arrow's own casts, as far as these agree with :mod:`values`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_lightspeed.arrow import build
from airflow_provider_lightspeed.arrow.types import Column
from airflow_provider_lightspeed.resources.base import FieldType

#: Types whose values are texts.
TEXTS: Final = (FieldType.STRING, FieldType.MIXED)
_FIRST_MOMENT: Final = build.moment(datetime(1, 1, 1, tzinfo=UTC))
_EMPTY: Final = build.text("")
_NULL: Final = pa.nulls(1, pa.string())[0]


def cast(column: Column, texts: pa.Array) -> pa.Array | None:
    """Let Arrow read a column of texts; ``None`` if it refuses one. Of all types but text, ``""`` means null."""
    if column.type in TEXTS:
        return texts
    # Two searches: one that ignores case takes ten times as long as the cast.
    if column.type is FieldType.INTEGER and any(pc.any(pc.match_substring(texts, x)).as_py() for x in "xX"):
        return None  # Arrow takes hexadecimal digits for a number
    try:
        typed = texts.cast(column.arrow)
    except pa.ArrowInvalid:
        try:
            typed = pc.if_else(pc.equal(texts, _EMPTY), _NULL, texts).cast(column.arrow)
        except pa.ArrowInvalid:
            return None
    if column.type is FieldType.DATETIME and pc.any(pc.less(typed, _FIRST_MOMENT)).as_py():
        return None  # Arrow reads the year 0, which Python and most warehouses cannot
    return typed
