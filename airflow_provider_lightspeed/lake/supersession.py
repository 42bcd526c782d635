"""When each key became obsolete: by a tombstone, or by a later read of its parent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_provider_lightspeed.arrow.types import EXTRACTED_AT, TIMESTAMP
from airflow_provider_lightspeed.lake.storage import Storage


@dataclass(frozen=True, slots=True)
class Ends:
    """The newest end of each key.

    :param outlives: of the time of a row and that of its end: whether the row counts all the same.
    """

    keys: pa.Array
    since: pa.Array
    outlives: Callable[[pa.Array, pa.Array], pa.Array]

    @classmethod
    def by_tombstones(cls, storage: Storage, paths: Iterable[str], key: str, among: pa.Array) -> Ends:
        """Read tombstones: a row that was read at the very moment is obsolete too.

        :param paths: of the table's files.
        :param among: the keys that matter.
        """
        return cls(*_newest(storage, paths, key, among), pc.greater)

    @classmethod
    def by_parents(cls, storage: Storage, paths: Iterable[str], key: str, among: pa.Array) -> Ends:
        """Read the parents that were read: a row that was read with its parent counts."""
        return cls(*_newest(storage, paths, key, among), pc.greater_equal)

    def alive(self, keys: pa.Array, extracted_at: pa.Array) -> pa.Array:
        """Return, of rows, which are not obsolete."""
        since = self.since.take(pc.index_in(keys, value_set=self.keys))
        return pc.or_kleene(pc.is_null(since), self.outlives(extracted_at, since))


def _newest(storage: Storage, paths: Iterable[str], key: str, among: pa.Array) -> tuple[pa.Array, pa.Array]:
    found = []
    for path in paths:
        with storage.open(path, "rb") as file:
            rows = pq.ParquetFile(file).read([key, EXTRACTED_AT])
        found.append(rows.filter(pc.is_in(rows[key], value_set=among)))
    if not found:
        return among.slice(0, 0), pa.nulls(0, TIMESTAMP)
    newest = pa.concat_tables(found).group_by(key).aggregate([(EXTRACTED_AT, "max")]).combine_chunks()
    return newest[key].combine_chunks(), newest[f"{EXTRACTED_AT}_max"].combine_chunks()
