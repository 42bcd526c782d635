"""Which tables a resource has in a warehouse, and what makes a row of them current."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from airflow_provider_lightspeed.arrow.types import TIMESTAMP, Selection, arrow_schema
from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.resources.base import Resource, Strategy
from airflow_provider_lightspeed.resources.catalog import resource as resource_named

ACCOUNT: Final = "_account_id"
EXTRACTED_AT: Final = "_extracted_at"
WINDOW_END: Final = "_window_end"
ROOT_KEY: Final = "_root_key"
PATH: Final = "_path"
#: The day that the rows of a report stand for.
DAY: Final = "date"


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

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns' names, in the files' order."""
        return tuple(self.schema.names)

    @property
    def row_key(self) -> tuple[str, ...]:
        """The account, where rows have one, and the key; none if rows have no key."""
        return tuple(name for name in (ACCOUNT, *self.key) if name in self.columns) if self.key else ()

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
            pa.field("first_day", pa.date32()),
            pa.field("last_day", pa.date32()),
            pa.field("row_count", pa.int64()),
        ]
    )
    above, dot, _ = prefix.rpartition(".")
    return TableSpec(f"{above}{dot}_lightspeed_loads", "", schema, key=("resource", "commit_id"))


def tables_of(
    resource: str | Resource,
    relations: Sequence[str] = (),
    selection: Selection = Selection(),  # noqa: B008 - frozen
    *,
    prefix: str = "",
) -> Tables:
    """Return the tables for an extract; arguments as given to the operator.

    :param resource: the API's name, such as ``Sale``.
    :param relations: those that were loaded.
    :param prefix: put before each table's name; with a dot it names the schema: ``raw.`` or ``raw.lightspeed_``.
    :raises InvalidArgument: an unknown name.
    """
    found = resource_named(resource) if isinstance(resource, str) else resource
    schema = arrow_schema(found, relations, selection)
    if found.primary_key and found.primary_key not in schema.names:
        msg = f"columns: {found.name} is merged by {found.primary_key!r}, which is left out; keep it, hashed if it must be"
        raise InvalidArgument(msg, field="columns", found=schema.names, allowed=(found.primary_key,))
    loads = loads_table(prefix)
    main = TableSpec(
        name=f"{prefix}{found.name}",
        resource=found.name,
        schema=schema,
        key=(found.primary_key,) if found.primary_key else (),
        modified=_modified(found, schema),
        day=DAY if found.strategy is Strategy.PERIOD and DAY in schema.names else None,
        loads=loads.name,
    )
    return Tables(main, loads)


def _modified(resource: Resource, schema: pa.Schema) -> str | None:
    """Return the column of the modification field; ``None`` if there is none that can be compared (left out, hashed)."""
    if resource.modified_field is None:
        return None
    name = resource.entity.find(resource.modified_field).name
    return name if name in schema.names and schema.field(name).type == TIMESTAMP else None
