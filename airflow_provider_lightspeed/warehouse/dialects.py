"""What differs between warehouses: types, how names are folded, how rows are put in, removed and read from JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

import pyarrow as pa
from sqlglot import exp, parse_one

from airflow_provider_lightspeed.arrow.secrets import WITHHELD
from airflow_provider_lightspeed.exceptions import LightspeedFatalError, unknown

Alias = str | exp.Identifier


class Upsert(Enum):
    """How newer rows take the place of older ones.

    ``CONFLICT`` leans on the primary key, so that two loads at a time are safe; ``REPLACE`` deletes and inserts, where
    MERGE takes no conditions.
    """

    MERGE = "merge"
    CONFLICT = "conflict"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of warehouse.

    :param name: sqlglot's.
    :param upsert: see :class:`Upsert`.
    :param nested: the type that takes any list or struct; ``None``: it has lists and structs of its own.
    :param fold: what the warehouse does to a name without quotes; names are written so that nobody has to quote them.
    :param extra_text: SQL that reads a key of ``_extra``; ``{column}``, ``{key}`` and its JSON ``{path}`` stand in it.
    :param try_cast: SQL that casts ``{text}`` to ``{type}`` and gives null where it cannot.
    :param replaces_views: ``CREATE OR REPLACE VIEW`` takes other columns than before.
    :param deletes_using: ``DELETE ... USING``; else a MERGE deletes.
    :param stages_times_without_zone: files' timestamps can only be copied into columns without a time zone.
    :param primary_key: what ``PRIMARY KEY (...)`` needs behind it; ``None``: no key is declared.
    :param begin: begins a transaction.
    :param commit: ends it.
    """

    name: str
    upsert: Upsert
    nested: str | None
    fold: Callable[[str], str]
    extra_text: str
    try_cast: str
    replaces_views: bool = True
    deletes_using: bool = True
    stages_times_without_zone: bool = False
    primary_key: str | None = ""
    begin: str = "BEGIN"
    commit: str = "COMMIT"

    def identifier(self, name: str) -> exp.Identifier:
        """Return a name, quoted, in the case in which the warehouse looks up unquoted ones."""
        return exp.to_identifier(self.fold(name), quoted=True)

    def column(self, name: str, table: Alias | None = None) -> exp.Column:
        """Return a column, of an alias or a table's :meth:`qualifier`."""
        return exp.Column(this=self.identifier(name), table=exp.to_identifier(table, copy=True) if table else None)

    def qualifier(self, name: str) -> exp.Identifier:
        """Return what a table without an alias is called within its statement."""
        return self.identifier(name.rpartition(".")[2])

    def table(self, name: str, alias: str | None = None) -> exp.Table:
        """Return a table; dots separate its schema and database."""
        *above, last = [self.identifier(part) for part in name.split(".")]
        parts = dict(zip(("db", "catalog"), reversed(above), strict=False))
        named = {"alias": exp.TableAlias(this=exp.to_identifier(alias))} if alias else {}
        return exp.Table(this=last, **parts, **named)

    def sql(self, statement: exp.Expr) -> str:
        """Return a statement as the warehouse's text."""
        return statement.sql(dialect=self.name, pretty=True)

    def type(self, arrow: pa.DataType) -> exp.DataType:
        """Return the column type for an Arrow type.

        :raises LightspeedFatalError: an Arrow type that no extract has.
        """
        if pa.types.is_list(arrow) or pa.types.is_struct(arrow):
            return exp.DataType.build(self.nested, dialect=self.name) if self.nested else self._nested(arrow)
        if pa.types.is_decimal(arrow):
            return self._decimal(arrow)
        for holds, kind in _SCALARS.items():
            if holds(arrow):
                return exp.DataType(this=kind)
        msg = (
            f"schema: found the Arrow type {arrow}, for which there is no column type; allowed are those of an extract"
        )
        raise LightspeedFatalError(msg)

    def _nested(self, arrow: pa.DataType) -> exp.DataType:
        if pa.types.is_list(arrow):
            return exp.DataType(this=exp.DataType.Type.ARRAY, expressions=[self.type(arrow.value_type)], nested=True)
        fields = [
            exp.ColumnDef(this=exp.to_identifier(field.name, quoted=True), kind=self.type(field.type))
            for field in arrow
        ]
        return exp.DataType(this=exp.DataType.Type.STRUCT, expressions=fields, nested=True)

    def _decimal(self, arrow: pa.DataType) -> exp.DataType:
        # BigQuery's NUMERIC has nine decimals at most.
        kind = (
            exp.DataType.Type.BIGDECIMAL
            if self.name == "bigquery" and arrow.scale > _NUMERIC_SCALE
            else exp.DataType.Type.DECIMAL
        )
        size = [exp.DataTypeParam(this=exp.Literal.number(number)) for number in (arrow.precision, arrow.scale)]
        return exp.DataType(this=kind, expressions=size)

    def from_extra(self, column: exp.Expr, key: str, arrow: pa.DataType) -> exp.Expr:
        """Return what ``_extra`` holds under a key as a value of a column's type; null where it is of no such type."""
        path = exp.Literal.string(f'$."{key}"')
        text: exp.Expr = self.parsed(self.extra_text, column=column, key=exp.Literal.string(key), path=path)
        text = exp.func("NULLIF", text, exp.Literal.string(WITHHELD))
        if pa.types.is_string(arrow):
            return text
        kind = self.type(arrow)
        return self.parsed(
            self.try_cast, text=text, type=kind, name=exp.Literal.string(kind.sql(dialect=self.name).lower())
        )

    def parsed(self, template: str, **parts: exp.Expr) -> exp.Expr:
        """Return what the dialect's text says, the parts in their places."""
        texts = {name: part.sql(dialect=self.name) for name, part in parts.items()}
        return parse_one(template.format(**texts), dialect=self.name)


_NUMERIC_SCALE: Final = 9
_SCALARS: Final[Mapping[Callable[[pa.DataType], bool], exp.DType]] = {
    pa.types.is_int64: exp.DataType.Type.BIGINT,
    pa.types.is_int32: exp.DataType.Type.INT,
    pa.types.is_boolean: exp.DataType.Type.BOOLEAN,
    pa.types.is_string: exp.DataType.Type.TEXT,
    pa.types.is_timestamp: exp.DataType.Type.TIMESTAMPTZ,
    pa.types.is_date32: exp.DataType.Type.DATE,
}


def _as_is(name: str) -> str:
    return name


DIALECTS: Final[Mapping[str, Dialect]] = {
    found.name: found
    for found in (
        Dialect(
            "duckdb",
            Upsert.MERGE,
            nested=None,
            fold=_as_is,
            extra_text="json_extract_string({column}, {path})",
            try_cast="TRY_CAST({text} AS {type})",
            # Its index would take more memory than the rows, and MERGE needs none.
            primary_key=None,
            begin="BEGIN TRANSACTION",
        ),
        Dialect(
            "postgres",
            Upsert.CONFLICT,
            nested="JSONB",
            fold=str.lower,
            extra_text="(CAST({column} AS JSONB) ->> {key})",
            try_cast="CASE WHEN pg_input_is_valid({text}, {name}) THEN CAST({text} AS {type}) END",
            replaces_views=False,
        ),
        Dialect(
            "snowflake",
            Upsert.MERGE,
            nested="VARIANT",
            fold=str.upper,
            extra_text="CAST(GET(TRY_PARSE_JSON({column}), {key}) AS VARCHAR)",
            try_cast="TRY_CAST({text} AS {type})",
        ),
        Dialect(
            "bigquery",
            Upsert.MERGE,
            nested=None,
            fold=_as_is,
            extra_text="JSON_VALUE({column}, {path})",
            try_cast="SAFE_CAST({text} AS {type})",
            deletes_using=False,
            primary_key="NOT ENFORCED",
            begin="BEGIN TRANSACTION",
            commit="COMMIT TRANSACTION",
        ),
        Dialect(
            "redshift",
            Upsert.REPLACE,
            nested="SUPER",
            fold=str.lower,
            extra_text="NULLIF(JSON_EXTRACT_PATH_TEXT({column}, {key}, TRUE), '')",
            try_cast="TRY_CAST({text} AS {type})",
            replaces_views=False,
            stages_times_without_zone=True,
        ),
    )
}


def dialect(name: str) -> Dialect:
    """Return a dialect by sqlglot's name.

    :raises InvalidArgument: unknown; names those there are.
    """
    if name not in DIALECTS:
        raise unknown("dialect", name, DIALECTS)
    return DIALECTS[name]
