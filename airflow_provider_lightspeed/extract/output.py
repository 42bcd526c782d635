"""The tables that a job writes: its rows in the layout asked for, and the parents through which they were read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from airflow_provider_lightspeed.arrow import build
from airflow_provider_lightspeed.arrow.convert import Lineage
from airflow_provider_lightspeed.arrow.tables import Batches, Layout
from airflow_provider_lightspeed.arrow.types import LINEAGE


@dataclass(frozen=True, slots=True)
class Parents:
    """The records through which rows are read: a row counts no longer once its parent was read later without it.

    :param table: named after their resource.
    :param key: their primary key's column, which the rows have too.
    """

    table: str
    key: str

    @property
    def schema(self) -> pa.Schema:
        """The key, and when it was read."""
        return pa.schema([pa.field(self.key, pa.int64()), *LINEAGE])

    def batch(self, keys: Sequence[int] | pa.Array, lineage: Lineage) -> pa.RecordBatch:
        """Return the rows of parents that were read."""
        found = keys if isinstance(keys, pa.Array) else build.int64s(keys)
        return pa.RecordBatch.from_arrays([found, *lineage.columns(len(found))], schema=self.schema)


@dataclass(frozen=True)
class Output:
    """How converted rows are spread over the tables of a commit.

    :param parents: ``None`` unless the rows are read through others.
    """

    layout: Layout
    lineage: Lineage
    parents: Parents | None = None

    @classmethod
    def of(cls, layout: Layout, lineage: Lineage, *, through: str | None, key: str | None) -> Output:
        """Return the output of rows that are read through a resource with that primary key, or through none."""
        column = next((found for found in layout.shape.columns if found.source == key), None)
        is_known = through is not None and column is not None and not column.is_hashed
        return cls(layout, lineage, Parents(through, column.name) if is_known and through and column else None)

    @cached_property
    def schemas(self) -> Mapping[str, pa.Schema]:
        """The tables by name, the resource's own one first."""
        if self.parents is None:
            return self.layout.schemas
        return {**self.layout.schemas, self.parents.table: self.parents.schema}

    def split(self, batch: pa.RecordBatch, parents: Sequence[int] | pa.Array = ()) -> Batches:
        """Return the rows of each table."""
        found = dict(self.layout.split(batch))
        if self.parents is not None:
            found[self.parents.table] = self.parents.batch(parents, self.lineage)
        return found
