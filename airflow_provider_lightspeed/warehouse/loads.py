"""Loads of new commits: the rows and the note that they are there go in together, so that each is loaded once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlglot import exp

from airflow_provider_lightspeed.exceptions import StorageError
from airflow_provider_lightspeed.warehouse.current import staging_rows
from airflow_provider_lightspeed.warehouse.dialects import Dialect
from airflow_provider_lightspeed.warehouse.dialects import dialect as dialect_named
from airflow_provider_lightspeed.warehouse.manifest import Load
from airflow_provider_lightspeed.warehouse.statements import Statements, ddl, merge
from airflow_provider_lightspeed.warehouse.tables import Tables, TableSpec


def create(tables: Tables, dialect: str, *, keeps_history: bool = False) -> Statements:
    """Return the statements that make all tables of a resource where there are none, that of the loads included.

    :param keeps_history: as of :func:`load`.
    :raises InvalidArgument: an unknown dialect.
    """
    filled = (statement for spec in tables for statement in ddl(spec, dialect, keeps_history=keeps_history))
    return (*ddl(tables.loads, dialect), *filled)


def create_staging(tables: Tables, dialect: str) -> Statements:
    """Return the statements that make empty staging tables, one for each table.

    :raises InvalidArgument: an unknown dialect.
    """
    return tuple(statement for spec in tables for statement in ddl(spec, dialect, is_staging=True))


def drop_staging(tables: Tables, dialect: str) -> Statements:
    """Return the statements that drop the staging tables.

    :raises InvalidArgument: an unknown dialect.
    """
    found = dialect_named(dialect)
    return tuple(f"DROP TABLE IF EXISTS {found.sql(found.table(spec.staging))}" for spec in tables)


def loaded(tables: Tables, dialect: str) -> str:
    """Return the query of the newest commit of the resource that is loaded: one column with its ID; null if there is none.

    :raises InvalidArgument: an unknown dialect.
    """
    found = dialect_named(dialect)
    query = exp.select(exp.Max(this=found.column("commit_id"))).from_(found.table(tables.loads.name))
    return found.sql(query.where(exp.EQ(this=found.column("resource"), expression=_literal(tables.main.resource))))


def load(
    tables: Tables,
    dialect: str,
    loads: Sequence[Load],
    *,
    sources: Mapping[str, str] | None = None,
    keeps_history: bool = False,
    is_wrapped: bool = True,
) -> Statements:
    """Return the statements that load commits whose files are in the staging tables already, as one transaction.

    :param loads: the commits.
    :param sources: staging tables by relation; default those of the specifications.
    :param keeps_history: add all rows to the tables, for views of what is current; default: merge, the tables keep the
        current rows alone.
    :param is_wrapped: begin and end with the statements of the transaction; False where the caller makes one.
    :returns: nothing if there are no commits.
    :raises InvalidArgument: an unknown dialect.
    :raises StorageError: rows of all times are kept, and the log of the dataset does not reach back to the newest of them.
    """
    if not loads:
        return ()
    found = dialect_named(dialect)
    statements = [*(_emptied(tables, found, keeps_history=keeps_history) if loads[0].is_start else ())]
    statements.append(noted(tables.loads, dialect, loads))
    for spec in tables:
        source = (sources or {}).get(spec.relation, spec.staging)
        statements += [_append(spec, found, source)] if keeps_history else merge(spec, dialect, source=source)
    return (found.begin, *statements, found.commit) if is_wrapped else tuple(statements)


def _emptied(tables: Tables, dialect: Dialect, *, keeps_history: bool) -> Statements:
    """Return the statements that delete what is loaded: the log has forgotten the commits behind it."""
    if keeps_history:
        msg = (
            f"path: {tables.main.resource} was loaded last too long ago: the log, which keeps a day, has forgotten commits that the "
            "tables lack. Delete the rows of the tables and of _lightspeed_loads, and load again from the checkpoint"
        )
        raise StorageError(msg)
    names = [spec.name for spec in tables]
    deleted = [dialect.sql(exp.delete(dialect.table(name), where=exp.true())) for name in reversed(names)]
    mine = exp.EQ(this=dialect.column("resource"), expression=_literal(tables.main.resource))
    return (*deleted, dialect.sql(exp.delete(dialect.table(tables.loads.name), where=mine)))


def noted(spec: TableSpec, dialect: str, loads: Iterable[Load]) -> str:
    """Return the statement that notes commits as loaded; merges and views take from it what whole reads have replaced.

    :param spec: the table of loads.
    :raises InvalidArgument: an unknown dialect.
    """
    found = dialect_named(dialect)
    rows = [exp.Tuple(expressions=[_literal(value) for value in _row(load)]) for load in loads]
    columns = [found.identifier(name) for name in spec.columns]
    return found.sql(exp.insert(exp.Values(expressions=rows), found.table(spec.name), columns=columns))


def _row(load: Load) -> tuple[Any, ...]:
    first, last = load.days or (None, None)
    return (
        load.resource,
        load.commit,
        load.account_id,
        load.whole,
        load.window_start,
        load.window_end,
        load.extracted_at,
        load.replaces_until,
        first,
        last,
        load.rows,
    )


def _literal(value: Any) -> exp.Expr:
    if isinstance(value, datetime):
        return exp.cast(exp.Literal.string(value.isoformat(sep=" ")), exp.DataType.Type.TIMESTAMPTZ)
    if isinstance(value, date):
        return exp.cast(exp.Literal.string(value.isoformat()), exp.DataType.Type.DATE)
    return exp.convert(value)


def _append(spec: TableSpec, dialect: Dialect, source: str) -> str:
    rows = staging_rows(spec, dialect, source)
    insert = exp.insert(
        exp.select(*(dialect.column(name, "r") for name in spec.columns)).from_(rows),
        dialect.table(spec.name),
        columns=[dialect.identifier(name) for name in spec.columns],
    )
    return dialect.sql(insert)
