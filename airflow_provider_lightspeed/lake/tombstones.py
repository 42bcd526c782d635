"""The table of the keys that are gone. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import pyarrow as pa

from airflow_provider_lightspeed.arrow.convert import Lineage
from airflow_provider_lightspeed.arrow.types import LINEAGE

#: The table of what is gone: key, reason, lineage. A row counts no longer once a tombstone of its key is as late as it.
TOMBSTONES: Final = "tombstones"
REASON: Final = "_reason"


def tombstone_schema(key: str) -> pa.Schema:
    """Return the schema of a resource's tombstones."""
    return pa.schema([pa.field(key, pa.int64()), pa.field(REASON, pa.string()), *LINEAGE])


def tombstones(key: str, keys: Iterable[int], lineage: Lineage, reason: str = "deleted") -> pa.RecordBatch:
    """Return the tombstones of some keys."""
    column = pa.array(np.asarray(keys, np.int64))
    reasons = pa.repeat(pa.scalar(reason, pa.string()), len(column))
    return pa.RecordBatch.from_arrays([column, reasons, *lineage.columns(len(column))], schema=tombstone_schema(key))
