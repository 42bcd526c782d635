"""Which rows are current: one query, for a view over all rows ever loaded as for the rows that a merge takes in.

All joins are on equal columns and no subquery is correlated, since BigQuery and Redshift refuse those that they cannot
turn into such joins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
from sqlglot import exp

from airflow_provider_lightspeed.arrow.tables import ROOT_KEY
from airflow_provider_lightspeed.arrow.types import EXTRACTED_AT
from airflow_provider_lightspeed.warehouse.dialects import Alias, Dialect
from airflow_provider_lightspeed.warehouse.tables import ACCOUNT, WINDOW_END, TableSpec

#: Before every modification: a row without that time is older than any that has one.
_NEVER: Final = "1900-01-01 00:00:00+00:00"
_RANK: Final = "_rank"


@dataclass(frozen=True, slots=True)
class Mark:
    """Something later that makes rows obsolete.

    :param select: one row for each ``on``.
    :param on: pairs of columns, of the rows and of the mark.
    :param holds: the condition under which a row (first alias) is obsolete by its mark (second alias).
    """

    select: exp.Select
    on: tuple[tuple[str, str], ...]
    holds: Callable[[Alias, Alias], exp.Expr]


def marks(spec: TableSpec, dialect: Dialect, rows: str) -> Iterator[Mark]:
    """Yield what makes rows of a table obsolete.

    :param rows: the table that the rows stand in.
    """
    if spec.loads is not None:
        yield _whole(spec, dialect)
    if spec.tombstones is not None:
        yield _keyed(spec.tombstones, dialect, exp.LTE)
    if spec.parents is not None:
        yield _keyed(spec.parents, dialect, exp.LT)
    if spec.day is not None:
        yield _day(spec, dialect, rows)


def _whole(spec: TableSpec, dialect: Dialect) -> Mark:
    """A read of everything replaces what it had seen, and nothing else; rows without a key are those of the newest one."""
    column = dialect.column
    assert spec.loads is not None
    until = "replaces_until" if spec.key else "extracted_at"
    select = (
        exp.select(column("account_id"), _max(dialect, until))
        .from_(dialect.table(spec.loads))
        .where(
            exp.EQ(this=column("resource"), expression=exp.Literal.string(spec.resource)),
            column("whole"),
            exp.not_(exp.Is(this=column(until), expression=exp.null())),
        )
        .group_by(column("account_id"))
    )

    def holds(row: Alias, mark: Alias) -> exp.Expr:
        before = exp.LTE if spec.key else exp.LT
        return before(this=column(EXTRACTED_AT, row), expression=column(until, mark))

    return Mark(select, ((ACCOUNT, "account_id"),), holds)


def _keyed(spec: TableSpec, dialect: Dialect, before: type[exp.Predicate]) -> Mark:
    """A tombstone, or a later read of the parent."""
    names = spec.row_key
    select = (
        exp.select(*(dialect.column(name) for name in names), _max(dialect, EXTRACTED_AT))
        .from_(dialect.table(spec.name))
        .group_by(*(dialect.column(name) for name in names))
    )

    def holds(row: Alias, mark: Alias) -> exp.Expr:
        return before(this=dialect.column(EXTRACTED_AT, row), expression=dialect.column(EXTRACTED_AT, mark))

    return Mark(select, tuple((name, name) for name in names), holds)


def _day(spec: TableSpec, dialect: Dialect, rows: str) -> Mark:
    """A later report on the day, be it one in which the day has no rows any more."""
    column = dialect.column
    assert spec.day is not None
    assert spec.loads is not None
    days = exp.select(column(ACCOUNT), column(spec.day)).distinct().from_(dialect.table(rows)).subquery("d")
    covers = exp.and_(
        exp.EQ(this=column("account_id", "l"), expression=column(ACCOUNT, "d")),
        exp.EQ(this=column("resource", "l"), expression=exp.Literal.string(spec.resource)),
        exp.LTE(this=column("first_day", "l"), expression=column(spec.day, "d")),
        exp.GTE(this=column("last_day", "l"), expression=column(spec.day, "d")),
    )
    select = (
        exp.select(column(ACCOUNT, "d"), column(spec.day, "d"), _max(dialect, "extracted_at", "l"))
        .from_(days)
        .join(dialect.table(spec.loads, "l"), on=covers)
        .group_by(column(ACCOUNT, "d"), column(spec.day, "d"))
    )

    def holds(row: Alias, mark: Alias) -> exp.Expr:
        return exp.LT(this=column(EXTRACTED_AT, row), expression=column("extracted_at", mark))

    return Mark(select, ((ACCOUNT, ACCOUNT), (spec.day, spec.day)), holds)


def current(
    spec: TableSpec,
    dialect: Dialect,
    rows: str,
    *,
    is_staged: bool = False,
    main: str | None = None,
    replaced: Mapping[str, exp.Expr] | None = None,
    without: str | None = None,
) -> exp.Select:
    """Return the query of those of ``rows`` that are current among them.

    :param rows: a table with the columns of ``spec``.
    :param is_staged: it is a staging table.
    :param main: of child rows: the table of current rows that they hang on; default the main table.
    :param replaced: columns to compute, of the alias ``r``.
    :param without: leave out the rows whose key stands in this table.
    """
    columns = [
        exp.alias_(found, dialect.identifier(name))
        if (found := (replaced or {}).get(name))
        else dialect.column(name, "r")
        for name in spec.columns
    ]
    query = exp.select(*columns).from_(staging_rows(spec, dialect, rows) if is_staged else dialect.table(rows, "r"))
    if spec.main is not None:
        query = query.join(dialect.table(main or spec.main.name, "m"), on=hangs_on(spec, dialect, "r", "m"))
    for number, mark in enumerate(marks(spec, dialect, rows)):
        alias = f"x{number}"
        query = query.join(mark.select.subquery(alias), on=same(dialect, mark.on, "r", alias), join_type="left")
        absent = exp.Is(this=dialect.column(mark.on[0][1], alias), expression=exp.null())
        query = query.where(exp.or_(absent, exp.not_(mark.holds("r", alias))))
    if without is not None:
        pairs = tuple((name, name) for name in spec.row_key)
        query = query.join(dialect.table(without, "o"), on=same(dialect, pairs, "r", "o"), join_type="left")
        query = query.where(exp.Is(this=dialect.column(ACCOUNT, "o"), expression=exp.null()))
    if not spec.key:
        return query
    ranked = query.select(exp.alias_(_rank(spec, dialect), _RANK)).subquery("v")
    best = exp.EQ(this=exp.column(_RANK, "v"), expression=exp.Literal.number(1))
    return exp.select(*(dialect.column(name, "v") for name in spec.columns)).from_(ranked).where(best)


def staging_rows(spec: TableSpec, dialect: Dialect, rows: str) -> exp.Expr:
    """Return a staging table's rows with the columns' own types."""
    if not dialect.stages_times_without_zone:
        return dialect.table(rows, "r")
    utc = exp.Literal.string("UTC")
    columns = [
        exp.alias_(exp.AtTimeZone(this=dialect.column(field.name), zone=utc.copy()), dialect.identifier(field.name))
        if pa.types.is_timestamp(field.type)
        else dialect.column(field.name)
        for field in spec.schema
    ]
    return exp.select(*columns).from_(dialect.table(rows)).subquery("r")


def _rank(spec: TableSpec, dialect: Dialect) -> exp.Window:
    order = [*version(spec, dialect, "r"), dialect.column(WINDOW_END, "r")]
    return exp.Window(
        this=exp.RowNumber(),
        partition_by=[dialect.column(name, "r") for name in spec.row_key],
        order=exp.Order(expressions=[exp.Ordered(this=found, desc=True, nulls_first=False) for found in order]),
    )


def version(spec: TableSpec, dialect: Dialect, alias: Alias) -> list[exp.Expr]:
    """Return what orders the versions of a row, the weightiest first; never null."""
    extracted_at = dialect.column(EXTRACTED_AT, alias)
    if spec.modified is None:
        return [extracted_at]
    return [_modified(spec, dialect, alias), extracted_at]


def _modified(spec: TableSpec, dialect: Dialect, alias: Alias) -> exp.Expr:
    assert spec.modified is not None
    never = exp.cast(exp.Literal.string(_NEVER), exp.DataType.Type.TIMESTAMPTZ)
    return exp.func("COALESCE", dialect.column(spec.modified, alias), never)


def is_as_new(spec: TableSpec, dialect: Dialect, this: Alias, that: Alias) -> exp.Expr:
    """Return the condition that the row of one alias is not older than that of the other."""
    ours, theirs = version(spec, dialect, this), version(spec, dialect, that)
    condition: exp.Expr = exp.GTE(this=ours[-1], expression=theirs[-1])
    for our, their in zip(reversed(ours[:-1]), reversed(theirs[:-1]), strict=True):
        equal = exp.and_(exp.EQ(this=our.copy(), expression=their.copy()), condition)
        condition = exp.or_(exp.GT(this=our, expression=their), equal)
    return condition


def hangs_on(spec: TableSpec, dialect: Dialect, child: Alias, main: Alias) -> exp.Expr:
    """Return the condition that a child row belongs to the version of the main row."""
    assert spec.main is not None
    pairs = ((ACCOUNT, ACCOUNT), (ROOT_KEY, spec.main.key[0]), (EXTRACTED_AT, EXTRACTED_AT))
    return same(dialect, pairs, child, main)


def same(dialect: Dialect, pairs: Sequence[tuple[str, str]], this: Alias, that: Alias) -> exp.Expr:
    """Return the condition that pairs of columns of two aliases are equal."""
    return exp.and_(
        *(exp.EQ(this=dialect.column(ours, this), expression=dialect.column(theirs, that)) for ours, theirs in pairs)
    )


def _max(dialect: Dialect, name: str, alias: Alias | None = None) -> exp.Expr:
    return exp.alias_(exp.Max(this=dialect.column(name, alias)), dialect.identifier(name))
