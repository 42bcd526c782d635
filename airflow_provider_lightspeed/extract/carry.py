"""What a window that is read again leaves out, though the commit it replaces had it: rows that have moved on meanwhile.

They changed, so they belong to a later window now, which may not have been read yet. Publishing must not lower what is
known of a key: these rows are taken over as they stood. A later window brings their newer state. Not those that are known to
be gone: what says so may be replaced by a full read that has not seen this commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_provider_lightspeed.arrow.tables import MAIN, ROOT_KEY, Batches
from airflow_provider_lightspeed.arrow.types import EXTRACTED_AT
from airflow_provider_lightspeed.extract.files import Files, Writer
from airflow_provider_lightspeed.extract.output import Output
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.lake.supersession import Ends
from airflow_provider_lightspeed.lake.tombstones import TOMBSTONES


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
        gone = list(self._ends())
        for missing in self._missing(MAIN, key, known):
            batch = missing
            for column, ends in gone:
                batch = batch.filter(ends.alive(batch.column(column), batch.column(EXTRACTED_AT)))
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

    def _ends(self) -> Iterator[tuple[str, Ends]]:
        """Yield what says which rows of the commit that is replaced are obsolete, each with the column it goes by."""
        parents, key, mine = self.output.parents, self.output.layout.shape.key, self.old.get(MAIN, [])
        if parents is not None:
            among = self._keys(mine, parents.key)
            yield parents.key, Ends.by_parents(self.storage, self.live.get(parents.table, ()), parents.key, among)
        if key is not None:
            yield key, Ends.by_tombstones(self.storage, self.live.get(TOMBSTONES, ()), key, self._keys(mine, key))

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


def _as(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch of an earlier release in the present schema; columns that it did not have are null."""
    present = set(batch.schema.names)
    arrays: list[Any] = [
        batch.column(field.name).cast(field.type) if field.name in present else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
