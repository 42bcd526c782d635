"""What a dataset knows: the keys of its current rows, and which of them are archived. In memory, 50 bytes a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_provider_lightspeed.arrow.types import EXTRACTED_AT, TIMESTAMP
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.lake.supersession import Ends


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns that say which row of a key is current.

    :param modified: the modification field's, ``None`` if there is none.
    :param archived: the flag's, ``None`` if there is none.
    :param wiped: columns that are emptied when a record is deleted, but stays.
    """

    key: str
    modified: str | None = None
    archived: str | None = None
    wiped: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """All that are there, and the time of the extract."""
        return [self.key, *filter(None, (self.modified, self.archived)), *self.wiped, EXTRACTED_AT]


@dataclass(frozen=True, slots=True)
class Known:
    """Keys in ascending order.

    :param archived: those of archived records.
    :param unwiped: those of archived records whose emptied columns are not empty, or not there to tell.
    """

    keys: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    archived: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    unwiped: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))


def known_of(storage: Storage, rows: Sequence[str], tombstones: Sequence[str], columns: Columns) -> Known:
    """Return what the files of a dataset say together.

    :param rows: paths of the live files.
    :param tombstones: paths of the live files of tombstones.
    """
    table = _read(storage, rows, columns.names)
    if not table.num_rows:
        return Known()
    keys, extracted = table[columns.key].to_numpy(), _micros(table[EXTRACTED_AT])
    modified = _micros(table[columns.modified]) if columns.modified else extracted
    order = np.lexsort((extracted, modified, keys))
    order = order[np.append(keys[order][1:] != keys[order][:-1], True)]
    keys, extracted = keys[order], extracted[order]
    found = pa.array(keys)
    ends = Ends.by_tombstones(storage, tombstones, columns.key, found)
    alive = ends.alive(found, pa.array(extracted).cast(TIMESTAMP)).to_numpy(zero_copy_only=False)
    if columns.archived is None:
        return Known(keys[alive])
    archived = alive & table[columns.archived].fill_null(False).to_numpy()[order]
    filled = [pc.greater(pc.binary_length(table[name]), 0).fill_null(False).to_numpy()[order] for name in columns.wiped]
    unwiped = archived & np.logical_or.reduce(filled) if filled else archived
    return Known(keys[alive], keys[archived], keys[unwiped])


def _read(storage: Storage, paths: Sequence[str], names: Sequence[str]) -> pa.Table:
    tables = []
    for path in paths:
        with storage.open(path, "rb") as file:
            tables.append(pq.ParquetFile(file).read(list(names)))
    return pa.concat_tables(tables) if tables else pa.table({name: [] for name in names})


def _micros(moments: pa.ChunkedArray) -> np.ndarray:
    """Return moments as numbers; none comes before all others."""
    found: np.ndarray = moments.cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy()
    return found
