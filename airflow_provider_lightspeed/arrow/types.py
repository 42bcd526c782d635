"""From the catalog to an Arrow schema. It depends on resource, relations and columns alone, never on data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import pyarrow as pa

from airflow_provider_lightspeed.exceptions import unknown
from airflow_provider_lightspeed.resources.base import Cardinality, Field, FieldType, Relation, Resource
from airflow_provider_lightspeed.resources.catalog import entity

#: Money has no fixed scale on the wire: "20", "11.49", "11.4860025", "0.000000000".
DECIMAL: Final = pa.decimal128(38, 10)
TIMESTAMP: Final = pa.timestamp("us", tz="UTC")
EXTRA: Final = "_extra"
LINEAGE: Final = (
    pa.field("_account_id", pa.string()),
    pa.field("_extracted_at", TIMESTAMP),
    pa.field("_window_start", TIMESTAMP),
    pa.field("_window_end", TIMESTAMP),
)
#: How deep embedded objects are followed below a record or a relation.
_DEEPEST: Final = 3

_SCALARS: Final = {
    FieldType.INTEGER: pa.int64(),
    FieldType.MONEY: DECIMAL,
    FieldType.FLOAT: DECIMAL,
    FieldType.STRING: pa.string(),
    FieldType.MIXED: pa.string(),
    FieldType.BOOLEAN: pa.bool_(),
    FieldType.DATETIME: TIMESTAMP,
    FieldType.DATE: pa.date32(),
    FieldType.STRING_LIST: pa.list_(pa.string()),
}


@dataclass(frozen=True)
class Column:
    """A column and where its values stand in a record.

    :param keys: the field's spellings on the wire, the canonical one first.
    :param element: for a collection, the key its records stand under.
    :param shape: for an object or a collection, what is inside.
    """

    name: str
    type: FieldType
    keys: tuple[str, ...]
    element: str | None = None
    shape: Shape | None = None
    format: str | None = None

    @property
    def is_text(self) -> bool:
        """Whether the wire writes it as one text."""
        return self.shape is None and self.type is not FieldType.STRING_LIST

    @cached_property
    def arrow(self) -> pa.DataType:
        """The column's Arrow type."""
        if self.shape is None:
            return _SCALARS[self.type]
        struct = pa.struct(self.shape.arrow_fields())
        return pa.list_(struct) if self.type is FieldType.COLLECTION else struct


@dataclass(frozen=True)
class Shape:
    """The columns of a kind of record.

    :param known: every key of a record that has a place, be it in a column that was not chosen.
    """

    columns: tuple[Column, ...]
    known: frozenset[str] = field(default_factory=frozenset)

    @cached_property
    def texts(self) -> pa.DataType:
        """The struct that takes a record's scalars as the wire has them: all texts."""
        keys = dict.fromkeys(key for column in self.columns if column.is_text for key in column.keys)
        return pa.struct([pa.field(key, pa.string()) for key in keys])

    def arrow_fields(self) -> list[pa.Field]:
        """Return the Arrow fields, in order."""
        return [
            pa.field(column.name, column.arrow, metadata={"lightspeed": column.type.value}) for column in self.columns
        ]


def shape_of(resource: Resource, relations: Sequence[str] = (), columns: Iterable[str] | None = None) -> Shape:
    """Return the shape of a resource's records with ``relations`` loaded.

    :param columns: the top-level columns to keep; default all.
    :raises InvalidArgument: an unknown relation or column.
    """
    loaded = resource.loaded(resource.check_relations(relations))
    whole = _shape(resource, resource.entity.name, "", loaded, ())
    if columns is None:
        return whole
    chosen = list(columns)
    names = [column.name for column in whole.columns]
    for name in chosen:
        if name not in names:
            hint = "A relation's column exists once it is named in relations."
            raise unknown("columns", name, names, what=f"column of {resource.name}", hint=hint)
    return Shape(tuple(column for column in whole.columns if column.name in chosen), whole.known)


def _shape(resource: Resource, name: str, prefix: str, loaded: Sequence[str], above: tuple[str, ...]) -> Shape:
    fields = entity(name).fields
    here = {found.container_key: found for found in _relations_below(resource, prefix, loaded)}
    columns = []
    for key, relation in here.items():
        if key not in fields or fields[key].type not in (FieldType.OBJECT, FieldType.COLLECTION):
            columns.append(_related(resource, relation, fields.get(key), loaded, above))
    taken = {column.name for column in columns}
    for key, found in fields.items():
        if key in taken:
            continue
        if key in here:
            columns.append(_related(resource, here[key], found, loaded, (*above, name)))
        elif found.type in (FieldType.OBJECT, FieldType.COLLECTION):
            if found.embedded and found.target not in (*above, name) and len(above) < _DEEPEST:
                columns.append(_nested(resource, found, f"{prefix}{key}.", loaded, (*above, name)))
        else:
            columns.append(Column(key, found.type, (key, *found.aliases), format=found.format))
    keys = frozenset(key for column in columns for key in column.keys)
    return Shape(tuple(columns), keys)


def _relations_below(resource: Resource, prefix: str, loaded: Sequence[str]) -> Iterator[Relation]:
    for name in loaded:
        if name.startswith(prefix) and "." not in name[len(prefix) :]:
            yield resource.relations[name]


def _related(
    resource: Resource, relation: Relation, found: Field | None, loaded: Sequence[str], above: tuple[str, ...]
) -> Column:
    keys = (relation.container_key, *(found.aliases if found else ()))
    if relation.target is None:
        return Column(relation.container_key, FieldType.MIXED, keys)
    inner = _shape(resource, relation.target, f"{relation.name}.", loaded, above)
    if not inner.columns:
        return Column(relation.container_key, FieldType.MIXED, keys)
    # Two relations under one key (OpenEmployee and CloseEmployee under Employee) arrive as a list.
    prefix = relation.name.removesuffix(relation.name.rpartition(".")[2])
    siblings = _relations_below(resource, prefix, loaded)
    shares = sum(sibling.container_key == relation.container_key for sibling in siblings) > 1
    many = relation.cardinality is Cardinality.MANY or shares
    kind = FieldType.COLLECTION if many else FieldType.OBJECT
    element = relation.element_key or (found.element if found else None)
    return Column(relation.container_key, kind, keys, element if kind is FieldType.COLLECTION else None, inner)


def _nested(resource: Resource, found: Field, prefix: str, loaded: Sequence[str], above: tuple[str, ...]) -> Column:
    assert found.target is not None
    inner = _shape(resource, found.target, prefix, loaded, above)
    keys = (found.name, *found.aliases)
    if not inner.columns:
        return Column(found.name, FieldType.MIXED, keys)
    return Column(found.name, found.type, keys, found.element, inner)


def schema_of(shape: Shape) -> pa.Schema:
    """Return a dataset's schema: the shape's columns, ``_extra``, lineage."""
    return pa.schema([*shape.arrow_fields(), pa.field(EXTRA, pa.string()), *LINEAGE])


def arrow_schema(resource: Resource, relations: Sequence[str] = (), columns: Iterable[str] | None = None) -> pa.Schema:
    """Return the schema that every file of such an extract has.

    :raises InvalidArgument: an unknown relation or column.
    """
    return schema_of(shape_of(resource, relations, columns))
