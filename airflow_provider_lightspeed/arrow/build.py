"""Small arrays and scalars made from buffers.

``pa.array`` and ``pa.scalar`` import pandas if it is installed, to recognise its objects: more CPU than the conversion of
thousands of rows, in every task anew. What an ordinary extract needs is made here instead.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_lightspeed.arrow.types import TIMESTAMP

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def int32s(values: Iterable[int]) -> pa.Array:
    """Return an array of int32."""
    found = array("i", values)
    return pa.Array.from_buffers(pa.int32(), len(found), [None, pa.py_buffer(found)])


def int64s(values: Iterable[int]) -> pa.Array:
    """Return an array of int64."""
    found = array("q", values)
    return pa.Array.from_buffers(pa.int64(), len(found), [None, pa.py_buffer(found)])


def booleans(values: Iterable[bool]) -> pa.Array:
    """Return an array of booleans."""
    found = bytes(values)
    return pa.Array.from_buffers(pa.uint8(), len(found), [None, pa.py_buffer(found)]).cast(pa.bool_())


def texts(values: Sequence[str | None]) -> pa.Array:
    """Return an array of texts, null where the value is ``None``."""
    parts = [(value or "").encode() for value in values]
    offsets = array("i", accumulate(map(len, parts), initial=0))
    found = pa.StringArray.from_buffers(len(parts), pa.py_buffer(offsets), pa.py_buffer(b"".join(parts)))
    if None not in values:
        return found
    return pc.if_else(booleans(value is not None for value in values), found, pa.nulls(1, pa.string())[0])


def text(value: str) -> pa.Scalar:
    """Return a text as a scalar."""
    return texts([value])[0]


def moment(value: datetime | None) -> pa.Scalar:
    """Return a point in time as a scalar.

    :param value: aware; ``None`` gives null.
    """
    if value is None:
        return pa.nulls(1, TIMESTAMP)[0]
    # A subclass, such as Airflow's pendulum, has arithmetic of its own.
    plain = datetime.combine(value, value.time(), value.tzinfo)
    return int64s([(plain - _EPOCH) // timedelta(microseconds=1)]).cast(TIMESTAMP)[0]
