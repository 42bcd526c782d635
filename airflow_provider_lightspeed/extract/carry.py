"""What a window that is read again leaves out, though the commit it replaces had it: rows that have moved on meanwhile.

They changed, so they belong to a later window now, which may not have been read yet. Publishing must not lower what is
known of a key: these rows are taken over as they stood. A later window brings their newer state. Not those that are known to
be gone: what says so may be replaced by a full read that has not seen this commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_provider_lightspeed.arrow.tables import MAIN, ROOT_KEY, Batches
from airflow_provider_lightspeed.arrow.types import LINEAGE, TIMESTAMP
from airflow_provider_lightspeed.extract.files import Files, Writer
from airflow_provider_lightspeed.extract.output import Output
from airflow_provider_lightspeed.extract.storage import Storage
from airflow_provider_lightspeed.extract.tombstones import TOMBSTONES

_AT: Final = LINEAGE[1].name


@dataclass(frozen=True, slots=True)
class Carry:
    """Takes rows over from a commit that is being replaced.

    :param old: the paths of its files by table.
    :param live: those of all live files.
    """

    storage: Storage
    output: Output
    old: Mapping[str, list[str]]
    live: Mapping[str, list[str]]

    def into(self, writer: Writer, new: Files) -> int:
        """Write the rows that are missing from ``new``; return how many of the resource's own there were."""
        parents, layout = self.output.parents, self.output.layout
        key = parents.key if parents else layout.shape.key
        if key is None:
            return 0
        known = self._keys([file.path for file in new.get(parents.table if parents else MAIN, ())], key)
        carried, kept = 0, []
        gone = [self._ends(parents.table, key, pc.less)] if parents else []
        gone += [self._ends(TOMBSTONES, layout.shape.key, pc.less_equal)] if layout.shape.key else []
        for missing in self._missing(MAIN, key, known):
            batch = missing
            for ends in gone:
                batch = ends.without(batch)
            writer.write({MAIN: batch})
            carried += batch.num_rows
            if layout.shape.key is not None:
                kept.append(batch.column(layout.shape.key))
        roots = pa.chunked_array(kept).combine_chunks() if kept else None
        for table in self.output.schemas:
            if parents is not None and table == parents.table:
                self._copy(writer, table, self._missing(table, key, known))
            elif table != MAIN and roots is not None:
                self._copy(writer, table, self._among(table, roots))
        return carried

    def _ends(self, table: str, key: str, compare: Comparison) -> _Ends:
        """Return when rows of the commit that is replaced became obsolete, by one of the tables that say so."""
        mine = self._keys(self.old.get(MAIN, []), key)
        found = []
        for path in self.live.get(table, ()):
            with self.storage.open(path, "rb") as file:
                rows = pq.ParquetFile(file).read([key, _AT])
            found.append(rows.filter(pc.is_in(rows[key], value_set=mine)))
        if not found:
            return _Ends(key, compare, pa.array([], mine.type), pa.array([], TIMESTAMP))
        last = pa.concat_tables(found).group_by(key).aggregate([(_AT, "max")]).combine_chunks()
        return _Ends(key, compare, last[key].combine_chunks(), last[f"{_AT}_max"].combine_chunks())

    @staticmethod
    def _copy(writer: Writer, table: str, batches: Iterator[pa.RecordBatch]) -> None:
        for batch in batches:
            found: Batches = {table: batch}
            writer.write(found)

    def _missing(self, table: str, key: str, known: pa.Array) -> Iterator[pa.RecordBatch]:
        for batch in self._batches(table):
            yield batch.filter(pc.invert(pc.is_in(batch.column(key), value_set=known)))

    def _among(self, table: str, roots: pa.Array) -> Iterator[pa.RecordBatch]:
        for batch in self._batches(table):
            yield batch.filter(pc.is_in(batch.column(ROOT_KEY), value_set=roots))

    def _batches(self, table: str) -> Iterator[pa.RecordBatch]:
        schema = self.output.schemas[table]
        for path in self.old.get(table, ()):
            with self.storage.open(path, "rb") as file:
                for batch in pq.ParquetFile(file).iter_batches(batch_size=10_000):
                    yield _as(batch, schema)

    def _keys(self, paths: list[str], key: str) -> pa.Array:
        schema = self.output.schemas[MAIN]
        found: list[pa.Array] = []
        for path in paths:
            with self.storage.open(path, "rb") as file:
                found += pq.ParquetFile(file).read([key]).column(0).chunks
        return pa.chunked_array(found, schema.field(key).type).combine_chunks()


Comparison = Callable[[pa.Array, pa.Array], pa.Array]


@dataclass(frozen=True, slots=True)
class _Ends:
    """Since when rows of some keys are obsolete, if they were read before that.

    :param compare: of the time of a row and that of its end.
    """

    key: str
    compare: Comparison
    keys: pa.Array
    since: pa.Array

    def without(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows that are not obsolete."""
        since = self.since.take(pc.index_in(batch.column(self.key), value_set=self.keys))
        return batch.filter(pc.invert(self.compare(batch.column(_AT), since).fill_null(False)))


def _as(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch of an earlier release in the present schema; columns that it did not have are null."""
    present = set(batch.schema.names)
    arrays: list[Any] = [
        batch.column(field.name).cast(field.type) if field.name in present else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
