"""From the catalog to an Arrow schema. It depends on resource, relations and columns alone, never on data."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import pyarrow as pa

from airflow_provider_lightspeed.exceptions import InvalidArgument, unknown
from airflow_provider_lightspeed.resources.base import Cardinality, Field, FieldType, Relation, Resource
from airflow_provider_lightspeed.resources.catalog import entity
from airflow_provider_lightspeed.resources.given import names_of

#: Money has no fixed scale on the wire: "20", "11.49", "11.4860025", "0.000000000".
DECIMAL: Final = pa.decimal128(38, 10)
TIMESTAMP: Final = pa.timestamp("us", tz="UTC")
EXTRA: Final = "_extra"
#: When the read began, by the server's clock.
EXTRACTED_AT: Final = "_extracted_at"
LINEAGE: Final = (
    pa.field("_account_id", pa.string()),
    pa.field(EXTRACTED_AT, TIMESTAMP),
    pa.field("_window_start", TIMESTAMP),
    pa.field("_window_end", TIMESTAMP),
)
#: How deep embedded objects are followed below a record or a relation.
_DEEPEST: Final = 3

_SCALARS: Final = {
    FieldType.INTEGER: pa.int64(),
    FieldType.QUANTITY: DECIMAL,
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

    :param name: in the dataset.
    :param keys: the field's spellings on the wire, the canonical one first.
    :param element: for a collection, the key its records stand under.
    :param shape: for an object or a collection, what is inside.
    :param is_hashed: it holds salted hashes of its values, whatever their type.
    :param references: the entity whose key it holds.
    :param relation: the relation that it is, such as ``Customer.Contact``, and what that leads to: ``many Contact``.
    :param is_secret: it is left out unless it is named.
    """

    name: str
    type: FieldType
    keys: tuple[str, ...]
    element: str | None = None
    shape: Shape | None = None
    format: str | None = None
    is_hashed: bool = False
    references: str | None = None
    relation: tuple[str, str] | None = None
    is_secret: bool = False

    @property
    def about(self) -> str:
        """What the catalog knows of it, in words."""
        facts: list[str] = [self.type]
        if self.references:
            facts.append(f"key of {self.references}")
        if self.relation:
            facts.append("relation {}: {}".format(*self.relation))
        if self.is_hashed:
            facts.append("here a salted hash of it (HMAC-SHA-256)")
        return ", ".join(facts)

    @property
    def source(self) -> str:
        """The API's name."""
        return self.keys[0]

    @property
    def is_text(self) -> bool:
        """Whether the wire writes it as one text."""
        return self.shape is None and self.type is not FieldType.STRING_LIST

    @cached_property
    def arrow(self) -> pa.DataType:
        """The column's Arrow type."""
        if self.is_hashed:
            return pa.string()
        if self.shape is None:
            return _SCALARS[self.type]
        struct = pa.struct(self.shape.arrow_fields())
        return pa.list_(struct) if self.type is FieldType.COLLECTION else struct


@dataclass(frozen=True, slots=True)
class Selection:
    """Which columns are written, and how. Names of nested columns are dotted: ``Contact.Phones``.

    A field that the API spells in two ways can be named by either. Secret fields are left out unless ``columns`` or
    ``hashed`` name them.

    :param columns: the top-level columns to keep, and secret fields at any depth; ``None``: all that is not secret.
    :param excluded: columns that are left out, with what is inside; a nested column that loses all fields is left out.
    :param hashed: columns whose values are replaced by salted hashes.
    :param naming: ``source`` for the API's names, ``snake_case``; the other arguments use the API's names.
    """

    columns: tuple[str, ...] | None = None
    excluded: tuple[str, ...] = ()
    hashed: tuple[str, ...] = ()
    naming: str = "source"

    @classmethod
    def of(
        cls,
        columns: str | Iterable[str] | None = None,
        exclude_columns: str | Iterable[str] | None = None,
        hash_columns: str | Iterable[str] | None = None,
        column_naming: str = "source",
    ) -> Selection:
        """Return the selection that the operator's arguments mean, each as of :func:`..resources.given.names_of`.

        :raises InvalidArgument: an argument is neither a name nor a list of names.
        """
        return cls(
            names_of("columns", columns),
            names_of("exclude_columns", exclude_columns) or (),
            names_of("hash_columns", hash_columns) or (),
            column_naming,
        )


@dataclass(frozen=True)
class Shape:
    """The columns of a kind of record.

    :param known: every key of a record that has a place, be it in a column that was not chosen.
    :param key: the primary key's column; ``None`` if the kind has none, or it was not chosen.
    :param withheld: paths of fields that are excluded, hashed or secret.
    """

    columns: tuple[Column, ...]
    known: frozenset[str] = field(default_factory=frozenset)
    key: str | None = None
    withheld: tuple[str, ...] = ()

    def withholds(self, path: str) -> bool:
        """Tell whether the wire's own value at a path may show what is withheld there, above or below it."""
        return any(path == name or path.startswith(f"{name}.") or name.startswith(f"{path}.") for name in self.withheld)

    @cached_property
    def texts(self) -> pa.DataType:
        """The struct that takes a record's scalars as the wire has them: all texts."""
        keys = dict.fromkeys(key for column in self.columns if column.is_text for key in column.keys)
        return pa.struct([pa.field(key, pa.string()) for key in keys])

    def arrow_fields(self) -> list[pa.Field]:
        """Return the Arrow fields, in order."""
        return [
            pa.field(
                column.name, column.arrow, metadata={"lightspeed": "hash" if column.is_hashed else column.type.value}
            )
            for column in self.columns
        ]


def shape_of(
    resource: Resource, relations: str | Iterable[str] | None = (), selection: Selection = Selection()
) -> Shape:
    """Return the shape of a resource's records with ``relations`` loaded, less what the selection leaves out.

    :raises InvalidArgument: an unknown relation or column, or a hash of what is not one value.
    """
    loaded = resource.loaded(resource.check_relations(relations))
    shape = _shape(resource, resource.entity.name, "", loaded, ())
    if resource.primary_key != shape.key:
        shape = replace(shape, key=resource.primary_key)
    shape = _selected(resource, shape, selection)
    if selection.naming not in NAMINGS:
        raise unknown("column_naming", selection.naming, tuple(NAMINGS))
    return _renamed(shape, NAMINGS[selection.naming]) if selection.naming != "source" else shape


def snake_case(name: str) -> str:
    """Return one of the API's names in snake case: ``itemECommerceID`` as ``item_e_commerce_id``."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


#: How columns are named.
NAMINGS: Final[Mapping[str, Callable[[str], str]]] = {"source": str, "snake_case": snake_case}


def _of(shape: Shape, columns: Iterable[Column]) -> Shape:
    """Return a shape with other columns, its key if it is still among them."""
    found = tuple(columns)
    key = shape.key if any(column.name == shape.key for column in found) else None
    return Shape(found, shape.known, key, shape.withheld)


def _renamed(shape: Shape, name: Callable[[str], str]) -> Shape:
    columns = tuple(
        replace(column, name=name(column.name), shape=_renamed(column.shape, name) if column.shape else None)
        for column in shape.columns
    )
    return Shape(columns, shape.known, name(shape.key) if shape.key else None, shape.withheld)


_HINT: Final = "A relation's column exists once it is named in relations."


def _selected(resource: Resource, shape: Shape, selection: Selection) -> Shape:
    """Return the shape less what the selection leaves out, secrets that it does not name included."""
    found = dict(_paths(shape, "", ""))
    chosen = {name: path for name, (path, column) in found.items() if column.is_secret or "." not in name}
    columns = _named(resource, "columns", selection.columns or (), chosen)
    secrets = {path for path, column in found.values() if column.is_secret} - set(columns)
    if selection.columns is not None:
        tops = {path.partition(".")[0] for path in columns}
        shape = _of(shape, (column for column in shape.columns if column.name in tops))
        found = dict(_paths(shape, "", ""))
    paths = {name: path for name, (path, _) in found.items()}
    excluded = _named(resource, "exclude_columns", selection.excluded, paths)
    hashed = _named(resource, "hash_columns", selection.hashed, paths)
    for name in hashed:
        if not found[name][1].is_text:
            inner = [path for path in found if path.startswith(f"{name}.")]
            msg = f"hash_columns: {name!r} is not one value; name its fields, such as {inner[0] if inner else name!r}"
            raise InvalidArgument(msg, field="hash_columns", found=name, allowed=inner)
    secrets -= {*hashed}
    withheld = (*dict.fromkeys((*excluded, *hashed, *sorted(secrets))),)
    return replace(_without(shape, {*excluded, *secrets}, frozenset(hashed)), withheld=withheld)


def _named(resource: Resource, argument: str, names: Iterable[str], paths: Mapping[str, str]) -> tuple[str, ...]:
    """Return the paths of the columns that an argument names, in the catalog's spelling."""
    for name in names:
        if name not in paths:
            raise unknown(argument, name, paths, what=f"column of {resource.name}", hint=_HINT)
    return tuple(paths[name] for name in names)


def _without(shape: Shape, excluded: Collection[str], hashed: Collection[str], prefix: str = "") -> Shape:
    """Return the shape without excluded columns and without nested columns that have no field left."""
    columns = []
    for column in shape.columns:
        path = prefix + column.name
        if path in excluded:
            continue
        if column.shape is not None:
            column = replace(column, shape=_without(column.shape, excluded, hashed, f"{path}."))  # noqa: PLW2901 - the same column, less
            if not (column.shape and column.shape.columns):
                continue
        columns.append(replace(column, is_hashed=True) if path in hashed else column)
    return _of(shape, columns)


def _paths(shape: Shape, spelled: str, prefix: str) -> Iterator[tuple[str, tuple[str, Column]]]:
    """Yield every column with its path: first in the spelling of the catalog, then in others."""
    for column in shape.columns:
        path = prefix + column.name
        for key in dict.fromkeys((column.name, *column.keys)):
            yield spelled + key, (path, column)
            if column.shape is not None:
                yield from _paths(column.shape, f"{spelled}{key}.", f"{path}.")


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
            columns.append(
                Column(
                    key,
                    found.type,
                    (key, *found.aliases),
                    format=found.format,
                    references=found.references,
                    is_secret=found.is_secret,
                )
            )
    keys = frozenset(key for column in columns for key in column.keys)
    return _of(Shape((), keys, entity(name).primary_key), columns)


def _relations_below(resource: Resource, prefix: str, loaded: Sequence[str]) -> Iterator[Relation]:
    for name in loaded:
        if name.startswith(prefix) and "." not in name[len(prefix) :]:
            yield resource.relations[name]


def _related(
    resource: Resource, relation: Relation, found: Field | None, loaded: Sequence[str], above: tuple[str, ...]
) -> Column:
    keys = (relation.container_key, *(found.aliases if found else ()))
    leads_to = (relation.name, f"{relation.cardinality} {relation.target or 'record'}")
    if relation.target is None:
        return Column(relation.container_key, FieldType.MIXED, keys, relation=leads_to)
    inner = _shape(resource, relation.target, f"{relation.name}.", loaded, above)
    if not inner.columns:
        return Column(relation.container_key, FieldType.MIXED, keys, relation=leads_to)
    # Two relations under one key (OpenEmployee and CloseEmployee under Employee) arrive as a list.
    prefix = relation.name.removesuffix(relation.name.rpartition(".")[2])
    siblings = _relations_below(resource, prefix, loaded)
    shares = sum(sibling.container_key == relation.container_key for sibling in siblings) > 1
    many = relation.cardinality is Cardinality.MANY or shares
    kind = FieldType.COLLECTION if many else FieldType.OBJECT
    element = relation.element_key or (found.element if found else None)
    element = element if kind is FieldType.COLLECTION else None
    return Column(relation.container_key, kind, keys, element, inner, relation=leads_to)


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


def arrow_schema(resource: Resource, relations: Sequence[str] = (), selection: Selection = Selection()) -> pa.Schema:
    """Return the schema that every file of such an extract has.

    :raises InvalidArgument: an unknown relation or column.
    """
    return schema_of(shape_of(resource, relations, selection))
