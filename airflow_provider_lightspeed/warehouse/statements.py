"""The statements of a warehouse: tables, loads of new commits in one transaction, views of what is current.

All return their statements in order, each as text of the dialect: ``duckdb``, ``postgres``, ``snowflake``, ``bigquery``
or ``redshift``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa
from sqlglot import exp

from airflow_provider_lightspeed.arrow.types import EXTRA, EXTRACTED_AT
from airflow_provider_lightspeed.exceptions import InvalidArgument, unknown
from airflow_provider_lightspeed.warehouse.current import current, hangs_on, is_as_new, marks, same, staging_rows
from airflow_provider_lightspeed.warehouse.dialects import Dialect, Upsert
from airflow_provider_lightspeed.warehouse.dialects import dialect as dialect_named
from airflow_provider_lightspeed.warehouse.tables import ACCOUNT, TableSpec

Statements = tuple[str, ...]

_DELETE_USING: Final = "DELETE FROM {target} USING {source} WHERE {met}"


def ddl(
    spec: TableSpec,
    dialect: str,
    *,
    table: str | None = None,
    is_staging: bool = False,
    keeps_history: bool = False,
) -> Statements:
    """Return the statement that makes a table where there is none.

    :param table: its name; default the specification's (``spec.staging`` for staging).
    :param is_staging: a table for files to be put into: made anew, without a key.
    :param keeps_history: a table of every row ever loaded: without a key.
    :raises InvalidArgument: an unknown dialect.
    """
    found = dialect_named(dialect)
    has_key = found.primary_key is not None and not is_staging and not keeps_history
    keys = spec.row_key if has_key else ()
    columns: list[exp.Expr] = [
        exp.ColumnDef(
            this=found.identifier(field.name),
            kind=_column_type(found, field.type, is_staging=is_staging),
            constraints=[exp.ColumnConstraint(kind=exp.NotNullColumnConstraint())] if field.name in keys else [],
        )
        for field in spec.schema
    ]
    if keys:
        options = [found.primary_key] if found.primary_key else []
        columns.append(exp.PrimaryKey(expressions=[found.identifier(name) for name in keys], options=options))
    name = table or (spec.staging if is_staging else spec.name)
    create = exp.Create(
        this=exp.Schema(this=found.table(name), expressions=columns), kind="TABLE", exists=not is_staging
    )
    if not is_staging:
        return (found.sql(create),)
    return f"DROP TABLE IF EXISTS {found.sql(found.table(name))}", found.sql(create)


def _column_type(dialect: Dialect, arrow: pa.DataType, *, is_staging: bool) -> exp.DataType:
    if is_staging and dialect.stages_times_without_zone and pa.types.is_timestamp(arrow):
        return exp.DataType(this=exp.DataType.Type.TIMESTAMP)
    return dialect.type(arrow)


def add_columns(spec: TableSpec, dialect: str, existing: Sequence[str], *, moved: Sequence[str] = ()) -> Statements:
    """Return the statements that give a table the columns that a later release of the provider knows.

    :param existing: the names of the columns that the table has, in any case.
    :param moved: fields, by the API's names, that stood in ``_extra`` before; rows that are there get their values.
    :raises InvalidArgument: an unknown dialect, or a moved field that is no column or not of a plain type.
    """
    found = dialect_named(dialect)
    have = {name.lower() for name in existing}
    statements: list[exp.Expr] = []
    for field in spec.schema:
        if field.name.lower() not in have:
            column = exp.ColumnDef(this=found.identifier(field.name), kind=found.type(field.type))
            statements.append(exp.Alter(this=found.table(spec.name), kind="TABLE", actions=[column]))
    for name, value in _moved(spec, found, moved, None).items():
        update = exp.update(found.table(spec.name), where=exp.Is(this=found.column(name), expression=exp.null()))
        update.set("expressions", [exp.EQ(this=found.column(name), expression=value)])
        statements.append(update)
    return tuple(map(found.sql, statements))


def current_view(
    spec: TableSpec, dialect: str, *, table: str | None = None, view: str | None = None, moved: Sequence[str] = ()
) -> Statements:
    """Return the statements that make a view of the current rows of a table that keeps every row ever loaded.

    :param table: default the specification's name.
    :param view: its name; default ``spec.current``. A view of child rows needs the one of their main rows.
    :param moved: fields, by the API's names, that stood in ``_extra`` in an earlier release; where a row has no value in the column, what
        ``_extra`` holds is shown.
    :raises InvalidArgument: an unknown dialect, or a moved field that is no column or not of a plain type.
    """
    found = dialect_named(dialect)
    name = found.table(view or spec.current)
    stored = {
        column: exp.func("COALESCE", found.column(column, "r"), value)
        for column, value in _moved(spec, found, moved, "r").items()
    }
    query = current(spec, found, table or spec.name, main=spec.main.current if spec.main else None, replaced=stored)
    create = exp.Create(this=name, kind="VIEW", replace=found.replaces_views, expression=query)
    if found.replaces_views:
        return (found.sql(create),)
    # What replaces a view there may only add columns at its end.
    return f"DROP VIEW IF EXISTS {found.sql(name)}", found.sql(create)


def _moved(spec: TableSpec, dialect: Dialect, names: Sequence[str], alias: str | None) -> Mapping[str, exp.Expr]:
    columns = {source: column for column, source in spec.sources}
    values = {}
    for name in names:
        if not spec.has(name):
            raise unknown("moved", name, columns, what=f"field of {spec.name}")
        kind = spec.schema.field(columns[name]).type
        if pa.types.is_nested(kind):
            msg = f"moved: {name!r} of {spec.name} is not one value but a {kind}; allowed are plain columns"
            raise InvalidArgument(msg, field="moved", found=name, allowed=("plain columns",))
        values[columns[name]] = dialect.from_extra(dialect.column(EXTRA, alias), name, kind)
    return values


def merge(spec: TableSpec, dialect: str, *, source: str | None = None) -> Statements:
    """Return the statements that bring a table that keeps the current rows alone up to date.

    They may run twice, and loads may come in any order: a key's newest version is never lowered. They belong in one
    transaction, after the commits have been noted (:func:`.loads.noted`), with those of the resource's other tables
    in the order of :class:`.tables.Tables`.

    :param source: the table with the new rows; default ``spec.staging``.
    :raises InvalidArgument: an unknown dialect.
    """
    found = dialect_named(dialect)
    staged = source or spec.staging
    if spec.main is not None:
        statements = [_delete_left_behind(spec, found), _insert(spec, found, staged, without=spec.name)]
    else:
        target = found.qualifier(spec.name)
        statements = [
            _delete(spec, found, mark.select, mark.on, mark.holds(target, "m"))
            for mark in marks(spec, found, spec.name)
        ]
        statements += _upsert(spec, found, staged) if spec.key else _replace(spec, found, staged)
    return tuple(map(found.sql, statements))


def _delete(
    spec: TableSpec,
    dialect: Dialect,
    source: exp.Select,
    on: Sequence[tuple[str, str]],
    condition: exp.Expr | None = None,
) -> exp.Expr:
    """Delete rows that a row of ``source`` (alias ``m``) meets, under a condition."""
    matches = same(dialect, on, dialect.qualifier(spec.name), "m")
    if dialect.deletes_using:
        # As text, since releases of sqlglot differ in how they build it.
        met = exp.and_(matches, condition) if condition else matches
        return dialect.parsed(_DELETE_USING, target=dialect.table(spec.name), source=source.subquery("m"), met=met)
    when = exp.When(matched=True, condition=condition, then=exp.var("DELETE"))
    return _merge(dialect.table(spec.name), source.subquery("m"), matches, when)


def _delete_left_behind(spec: TableSpec, dialect: Dialect) -> exp.Expr:
    """Delete child rows whose main row is gone, or has a newer version."""
    assert spec.main is not None
    matches = hangs_on(spec, dialect, dialect.qualifier(spec.name), "m")
    inner = exp.select(exp.Literal.number(1)).from_(dialect.table(spec.main.name, "m")).where(matches)
    return exp.delete(dialect.table(spec.name), where=exp.not_(exp.Exists(this=inner)))


def _upsert(spec: TableSpec, dialect: Dialect, staged: str) -> list[exp.Expr]:
    incoming = current(spec, dialect, staged, is_staged=True)
    match dialect.upsert:
        case Upsert.MERGE:
            return [_merge_newer(spec, dialect, incoming)]
        case Upsert.CONFLICT:
            return [_insert_on_conflict(spec, dialect, incoming)]
        case Upsert.REPLACE:
            pairs = tuple((name, name) for name in spec.row_key)
            newer = is_as_new(spec, dialect, "m", dialect.qualifier(spec.name))
            return [_delete(spec, dialect, incoming, pairs, newer), _insert(spec, dialect, staged, without=spec.name)]


def _replace(spec: TableSpec, dialect: Dialect, staged: str) -> list[exp.Expr]:
    """Put rows without a key in; those of the same read are deleted first, so that a load may run twice."""
    reads = exp.select(dialect.column(ACCOUNT), dialect.column(EXTRACTED_AT)).distinct()
    reads = reads.from_(staging_rows(spec, dialect, staged))
    pairs = ((ACCOUNT, ACCOUNT), (EXTRACTED_AT, EXTRACTED_AT))
    return [_delete(spec, dialect, reads, pairs), _insert(spec, dialect, staged)]


def _insert(spec: TableSpec, dialect: Dialect, staged: str, *, without: str | None = None) -> exp.Insert:
    return exp.insert(
        current(spec, dialect, staged, is_staged=True, without=without),
        dialect.table(spec.name),
        columns=[dialect.identifier(name) for name in spec.columns],
    )


def _insert_on_conflict(spec: TableSpec, dialect: Dialect, incoming: exp.Select) -> exp.Insert:
    insert = exp.insert(
        incoming, dialect.table(spec.name, "t"), columns=[dialect.identifier(name) for name in spec.columns]
    )
    conflict = exp.OnConflict(
        action=exp.var("DO UPDATE"),
        conflict_keys=[dialect.identifier(name) for name in spec.row_key],
        expressions=_assignments(spec, dialect, "excluded"),
        where=exp.Where(this=is_as_new(spec, dialect, "excluded", "t")),
    )
    insert.set("conflict", conflict)
    return insert


def _merge_newer(spec: TableSpec, dialect: Dialect, incoming: exp.Select) -> exp.Merge:
    update = exp.When(
        matched=True,
        condition=is_as_new(spec, dialect, "s", "t"),
        then=exp.Update(expressions=_assignments(spec, dialect, "s")),
    )
    insert = exp.When(
        matched=False,
        then=exp.Insert(
            this=exp.Tuple(expressions=[exp.Column(this=dialect.identifier(name)) for name in spec.columns]),
            expression=exp.Tuple(expressions=[dialect.column(name, "s") for name in spec.columns]),
        ),
    )
    pairs = tuple((name, name) for name in spec.row_key)
    target = dialect.table(spec.name, "t")
    return _merge(target, incoming.subquery("s"), same(dialect, pairs, "t", "s"), update, insert)


def _assignments(spec: TableSpec, dialect: Dialect, alias: str) -> list[exp.Expr]:
    return [
        exp.EQ(this=dialect.column(name), expression=dialect.column(name, alias))
        for name in spec.columns
        if name not in spec.row_key
    ]


def _merge(target: exp.Expr, source: exp.Subquery, on: exp.Expr, *whens: exp.When) -> exp.Merge:
    return exp.Merge(this=target, using=source, on=on, whens=exp.Whens(expressions=list(whens)))
