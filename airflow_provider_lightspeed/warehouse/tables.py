"""Which tables a resource has in a warehouse, and what makes a row of them current."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import pyarrow as pa

from airflow_provider_lightspeed.arrow.convert import Lineage
from airflow_provider_lightspeed.arrow.tables import MAIN, PATH, ROOT_KEY, Layout
from airflow_provider_lightspeed.arrow.types import LINEAGE, NAMINGS, TIMESTAMP, Selection, shape_of
from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.extract.output import Output
from airflow_provider_lightspeed.lake.tombstones import REASON, TOMBSTONES
from airflow_provider_lightspeed.resources.base import Resource, Strategy
from airflow_provider_lightspeed.resources.catalog import resource as resource_named

ACCOUNT: Final = "_account_id"
WINDOW_END: Final = "_window_end"
#: The day that the rows of a report stand for.
DAY: Final = "date"
LONGEST_NAME: Final = 54


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table of a warehouse, and the rules by which its rows replace each other.

    :param name: in the warehouse; dots separate its schema.
    :param resource: the API's name.
    :param schema: of the Parquet files it is filled from.
    :param relation: the part of the dataset that it holds, as the manifest names it; ``""``: the resource's own rows.
    :param key: columns that, with the account, name a row; none: rows have no key.
    :param modified: the column that moves with every change; ``None``: the time of the extract alone decides.
    :param main: of child rows: the table of the rows that they hang on.
    :param tombstones: the table of the keys that are gone.
    :param parents: the table of the parents that were read, where rows are current only with their parent.
    :param day: of a report: the column with the day; a later extract of a day replaces it.
    :param loads: the table of loaded commits, which says what a whole read has replaced; ``None``: no row is replaced so.
    :param sources: pairs of a column and the API's name of what it holds.
    """

    name: str
    resource: str
    schema: pa.Schema
    relation: str = ""
    key: tuple[str, ...] = ()
    modified: str | None = None
    main: TableSpec | None = None
    tombstones: TableSpec | None = None
    parents: TableSpec | None = None
    day: str | None = None
    loads: str | None = None
    sources: tuple[tuple[str, str], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns' names, in the files' order."""
        return tuple(self.schema.names)

    @property
    def row_key(self) -> tuple[str, ...]:
        """The account, where rows have one, and the key; none if rows have no key."""
        return tuple(name for name in (ACCOUNT, *self.key) if name in self.columns) if self.key else ()

    def has(self, field: str) -> bool:
        """Whether a field, by the API's name, has a column."""
        return any(source == field and column in self.columns for column, source in self.sources)

    @property
    def staging(self) -> str:
        """The table into which files are put before they are merged."""
        return f"{self.name}__staging"

    @property
    def current(self) -> str:
        """The view of the current rows, where the table itself keeps all."""
        return f"{self.name}__current"


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one resource."""

    main: TableSpec
    loads: TableSpec
    children: tuple[TableSpec, ...] = ()

    def __iter__(self) -> Iterator[TableSpec]:
        """Yield those that are filled from files, in the order in which they have to be merged."""
        first = (self.main.tombstones, self.main.parents)
        yield from (found for found in first if found is not None)
        yield self.main
        yield from self.children


def loads_table(prefix: str = "") -> TableSpec:
    """Return the table of loaded commits; a load adds its rows in the same transaction as those of the files.

    :param prefix: as of :func:`tables_of`; its schema is taken.
    """
    schema = pa.schema(
        [
            pa.field("resource", pa.string()),
            pa.field("commit_id", pa.string()),
            pa.field("account_id", pa.string()),
            pa.field("whole", pa.bool_()),
            pa.field("window_start", TIMESTAMP),
            pa.field("window_end", TIMESTAMP),
            pa.field("extracted_at", TIMESTAMP),
            pa.field("replaces_until", TIMESTAMP),
            pa.field("first_day", pa.date32()),
            pa.field("last_day", pa.date32()),
            pa.field("row_count", pa.int64()),
        ]
    )
    above, dot, _ = prefix.rpartition(".")
    return TableSpec(f"{above}{dot}_lightspeed_loads", "", schema, key=("resource", "commit_id"))


def tables_of(
    resource: str | Resource,
    relations: str | Sequence[str] | None = (),
    selection: Selection = Selection(),  # noqa: B008 - frozen
    *,
    layout: str = "nested",
    prefix: str = "",
) -> Tables:
    """Return the tables for an extract; arguments as given to the operator.

    :param resource: the API's name, such as ``Sale``.
    :param relations: those that were loaded.
    :param selection: which columns were written, and how they are named; tables are named alike.
    :param layout: ``nested`` or ``tables``.
    :param prefix: put before each table's name; with a dot it names the schema: ``raw.`` or ``raw.lightspeed_``.
    :raises InvalidArgument: an unknown name, or the primary key is left out.
    """
    found = resource_named(resource) if isinstance(resource, str) else resource
    shape = shape_of(found, relations, selection)
    if found.primary_key and not shape.key:
        msg = f"columns: {found.name} is merged by {found.primary_key!r}, which is left out; keep it, hashed if it must be"
        raise InvalidArgument(
            msg, field="columns", found=[column.name for column in shape.columns], allowed=(found.primary_key,)
        )
    return _Family(found, Layout(shape, layout), NAMINGS[selection.naming], prefix).tables()


@dataclass(frozen=True, slots=True)
class _Family:
    """What the tables of a resource have in common."""

    resource: Resource
    layout: Layout
    naming: Callable[[str], str]
    prefix: str

    def tables(self) -> Tables:
        schemas, loads = self.layout.schemas, loads_table(self.prefix)
        main = TableSpec(
            name=self._name(MAIN),
            resource=self.resource.name,
            schema=schemas[MAIN],
            key=(self.layout.shape.key,) if self.layout.shape.key else (),
            modified=self._modified(),
            tombstones=self._tombstones(),
            parents=self._parents(),
            day=self._column(DAY) if self.resource.strategy is Strategy.PERIOD else None,
            # A log only grows, and is followed beyond the end of a window: what a full read has not seen may be newer than it.
            loads=None if self.resource.strategy is Strategy.APPEND else loads.name,
            sources=tuple((column.name, column.source) for column in self.layout.shape.columns),
        )
        children = tuple(
            TableSpec(self._name(name), self.resource.name, schema, name, (ROOT_KEY, PATH), main=main)
            for name, schema in schemas.items()
            if name != MAIN
        )
        return Tables(main, loads, children)

    def _name(self, table: str) -> str:
        parts = [self.resource.name, *table.split(".")] if table else [self.resource.name]
        above, dot, start = self.prefix.rpartition(".")
        return f"{above}{dot}{_short(start + '__'.join(map(self.naming, parts)))}"

    def _column(self, source: str) -> str | None:
        return next((column.name for column in self.layout.shape.columns if column.source == source), None)

    def _modified(self) -> str | None:
        """Return the modification field's column; ``None`` if there is none that can be compared (left out, hashed)."""
        if self.resource.modified_field is None:
            return None
        name = self._column(self.resource.entity.find(self.resource.modified_field).name)
        return name if name and self.layout.schemas[MAIN].field(name).type == TIMESTAMP else None

    def _tombstones(self) -> TableSpec | None:
        key = self.layout.shape.key
        if key is None:
            return None
        schema = pa.schema([self.layout.schemas[MAIN].field(key), pa.field(REASON, pa.string()), *LINEAGE])
        return TableSpec(self._name(TOMBSTONES), self.resource.name, schema, TOMBSTONES, (key,))

    def _parents(self) -> TableSpec | None:
        through = self.resource.through
        if through is None:
            return None
        # The lineage plays no part in which tables there are.
        lineage = Lineage("", datetime.min.replace(tzinfo=UTC))
        key = resource_named(through.resource).primary_key
        parents = Output.of(self.layout, lineage, through=through.resource, key=key).parents
        if parents is None:
            return None
        return TableSpec(self._name(parents.table), self.resource.name, parents.schema, parents.table, (parents.key,))


def _short(name: str) -> str:
    """Return a name that leaves room for ``__staging`` within Postgres' 63 bytes; it cuts longer ones off silently."""
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
