"""How batches are laid out: nested in one table, or each relation a table of its own, keyed to the row it hangs on. Pure.

In the layout ``tables`` no column is nested. A record inside a row becomes a row of the table of its relation:
``SaleLines``, and ``SaleLines.Discount`` for what hangs on a line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_lightspeed.arrow import build
from airflow_provider_lightspeed.arrow.types import EXTRA, LINEAGE, Shape, schema_of
from airflow_provider_lightspeed.exceptions import unknown
from airflow_provider_lightspeed.resources.base import FieldType

LAYOUTS: Final = ("nested", "tables")
#: The name of a resource's own table, beside those of its relations.
MAIN: Final = ""
#: The primary key of the main table's row.
ROOT_KEY: Final = "_root_key"
#: The primary key of the record right above; null where its kind has none.
PARENT_KEY: Final = "_parent_key"
#: Where the record stood, unique within the main table's row: ``SaleLines[2].Discount``.
PATH: Final = "_path"
#: The place in its collection, from 0; 0 in a to-one relation.
POSITION: Final = "_position"

Batches = Mapping[str, pa.RecordBatch]


@dataclass(frozen=True)
class Layout:
    """The tables of one shape.

    :param kind: ``nested`` or ``tables``; rows without a primary key stay nested, as nothing can hang on them.
    :raises InvalidArgument: another kind.
    """

    shape: Shape
    kind: str = "nested"

    def __post_init__(self) -> None:
        """Check the kind."""
        if self.kind not in LAYOUTS:
            raise unknown("relation_layout", self.kind, LAYOUTS)

    @property
    def is_nested(self) -> bool:
        """Whether all is in one table."""
        return self.kind == "nested" or self.shape.key is None

    @cached_property
    def schemas(self) -> Mapping[str, pa.Schema]:
        """The tables by name, the main one first."""
        if self.is_nested:
            return {MAIN: schema_of(self.shape)}
        main = pa.schema([*_flat(self.shape), pa.field(EXTRA, pa.string()), *LINEAGE])
        return {MAIN: main, **dict(self._children(self.shape, MAIN))}

    def split(self, batch: pa.RecordBatch) -> Batches:
        """Return the rows of each table that has some; the main one always."""
        if self.is_nested:
            return {MAIN: batch}
        schema = self.schemas[MAIN]
        main = pa.RecordBatch.from_arrays([batch.column(name) for name in schema.names], schema=schema)
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        root = _Records(self.shape, MAIN, columns, build.int64s(range(batch.num_rows)), None)
        return {MAIN: main, **{found.name: self._batch(found, batch) for found in _descendants(root)}}

    def _children(self, shape: Shape, prefix: str) -> Iterator[tuple[str, pa.Schema]]:
        for column in shape.columns:
            if column.shape is None:
                continue
            name = _below(prefix, column.source)
            own = [
                pa.field(ROOT_KEY, _key_type(self.shape)),
                pa.field(PARENT_KEY, _key_type(shape)),
                pa.field(PATH, pa.string()),
                pa.field(POSITION, pa.int32()),
            ]
            yield name, pa.schema([*own, *_flat(column.shape), *LINEAGE])
            yield from self._children(column.shape, name)

    def _batch(self, found: _Inner, batch: pa.RecordBatch) -> pa.RecordBatch:
        schema, records = self.schemas[found.name], found.records
        assert self.shape.key is not None
        above = found.above
        parent_key = (
            above.columns[above.shape.key].take(found.parents)
            if above.shape.key
            else pa.nulls(len(found.parents), schema.field(PARENT_KEY).type)
        )
        arrays = {
            ROOT_KEY: batch.column(self.shape.key).take(records.rows),
            PARENT_KEY: parent_key,
            PATH: records.paths,
            POSITION: found.positions,
            **{field.name: batch.column(field.name).take(records.rows) for field in LINEAGE},
        }
        return pa.RecordBatch.from_arrays(
            [arrays[name] if name in arrays else records.columns[name] for name in schema.names], schema=schema
        )


@dataclass(frozen=True, slots=True)
class _Records:
    """Records of one kind.

    :param rows: for each, the main table's row that it belongs to.
    :param paths: for each, where it stood; ``None`` for the main table's rows.
    """

    shape: Shape
    name: str
    columns: Mapping[str, pa.Array]
    rows: pa.Array
    paths: pa.Array | None


@dataclass(frozen=True, slots=True)
class _Inner:
    """Records that hang on others.

    :param parents: for each, the place of the record above it.
    """

    name: str
    above: _Records
    records: _Records
    parents: pa.Array
    positions: pa.Array


def _descendants(above: _Records) -> Iterator[_Inner]:
    for column in above.shape.columns:
        if column.shape is None:
            continue
        array = above.columns[column.name]
        is_many = column.type is FieldType.COLLECTION
        if is_many:
            parents, members = pc.list_parent_indices(array), array.flatten()
            positions = pc.subtract(build.int64s(range(len(parents))), pc.index_in(parents, parents)).cast(pa.int32())
        else:
            parents = pc.indices_nonzero(array.is_valid()).cast(pa.int64())
            members = array.take(parents)
            positions = pa.repeat(build.int32s([0])[0], len(parents))
        inner = _Records(
            column.shape,
            _below(above.name, column.source),
            dict(zip((field.name for field in members.type), members.flatten(), strict=True)),
            above.rows.take(parents),
            _paths(above, column.source, parents, positions if is_many else None),
        )
        found = _Inner(inner.name, above, inner, parents, positions)
        if len(parents):
            yield found
            yield from _descendants(inner)


def _paths(above: _Records, name: str, parents: pa.Array, positions: pa.Array | None) -> pa.Array:
    parts: list[pa.Array | str] = [name]
    if above.paths is not None:
        parts = [above.paths.take(parents), ".", name]
    if positions is not None:
        parts += ["[", positions.cast(pa.string()), "]"]
    if all(isinstance(part, str) for part in parts):
        return pa.repeat(build.text("".join(map(str, parts))), len(parents))
    scalars = [build.text(part) if isinstance(part, str) else part for part in (*parts, "")]
    return pc.binary_join_element_wise(*scalars)


def _flat(shape: Shape) -> list[pa.Field]:
    return [field for field, column in zip(shape.arrow_fields(), shape.columns, strict=True) if column.shape is None]


def _key_type(shape: Shape) -> pa.DataType:
    return next((column.arrow for column in shape.columns if column.name == shape.key), pa.int64())


def _below(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
