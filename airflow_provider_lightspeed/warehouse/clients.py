"""Loads of what is new into databases that a task reaches itself: DuckDB and Postgres.

Other warehouses fetch the files themselves; for those a DAG hands their operators the file lists and statements.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from typing import Any, Final

from sqlglot import exp

from airflow_provider_lightspeed.warehouse.copy import CsvStream, batches_of, copy_statement
from airflow_provider_lightspeed.warehouse.dialects import dialect
from airflow_provider_lightspeed.warehouse.loads import create, create_staging, drop_staging, load, loaded
from airflow_provider_lightspeed.warehouse.manifest import Load, Manifest, files_of, new_loads, read_manifest
from airflow_provider_lightspeed.warehouse.tables import Tables, TableSpec

#: Bytes of CSV handed over at a time.
_CHUNK: Final = 2**16


def load_duckdb(connection: Any, tables: Tables, path: Any, *, keeps_history: bool = False) -> tuple[Load, ...]:
    """Load the commits of a dataset that the database does not have, as one transaction; return them.

    :param connection: of the package ``duckdb``.
    :param tables: those of the extract.
    :param path: the resource's folder, as :func:`.manifest.read_manifest` takes it, or a manifest that was read.
    :param keeps_history: as of :func:`.loads.load`.
    :raises StorageError: there is no manifest, or a file cannot be read.
    """
    manifest = path if isinstance(path, Manifest) else read_manifest(path)
    _run(connection, create(tables, "duckdb", keeps_history=keeps_history))
    known = [commit for (commit,) in connection.execute(loaded(tables, "duckdb")).fetchall()]
    loads = new_loads(manifest, known)
    if not loads:
        return ()
    if not manifest.is_local and not connection.filesystem_is_registered(manifest.scheme):
        connection.register_filesystem(manifest.fs)
    _run(connection, create_staging(tables, "duckdb"))
    for spec in tables:
        # DuckDB takes every name for a pattern.
        if files := [_escaped(file.url) for file in files_of(loads, spec.relation)]:
            connection.execute(_read_parquet(spec), [files])
    _in_transaction(connection, load(tables, "duckdb", loads, keeps_history=keeps_history))
    _run(connection, drop_staging(tables, "duckdb"))
    return loads


def _escaped(url: str) -> str:
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{glob.escape(rest)}"


def _read_parquet(spec: TableSpec) -> str:
    duckdb = dialect("duckdb")
    # By name: files of an earlier release lack columns. A column that the table lacks is an error, so nothing is lost.
    return f"INSERT INTO {duckdb.sql(duckdb.table(spec.staging))} BY NAME {_PARQUET}"


_PARQUET: Final = exp.select("*").from_("READ_PARQUET(?, union_by_name = TRUE)", dialect="duckdb").sql("duckdb")


def _in_transaction(connection: Any, statements: Sequence[str]) -> None:
    begin, *inner, commit = statements
    connection.execute(begin)
    try:
        _run(connection, inner)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute(commit)


def load_postgres(connection: Any, tables: Tables, path: Any, *, keeps_history: bool = False) -> tuple[Load, ...]:
    """Load the commits of a dataset that the database does not have, as one transaction; return them.

    Of two loads of the same commits at a time one fails, with nothing changed.

    :param connection: of ``psycopg2`` or ``psycopg``, not in autocommit mode; it is committed, or rolled back.
    :param tables: those of the extract.
    :param path: the resource's folder, as :func:`.manifest.read_manifest` takes it, or a manifest that was read.
    :param keeps_history: as of :func:`.loads.load`.
    :raises StorageError: there is no manifest, or a file cannot be read.
    """
    manifest = path if isinstance(path, Manifest) else read_manifest(path)
    try:
        with connection.cursor() as cursor:
            loads = _load_postgres(cursor, tables, manifest, keeps_history=keeps_history)
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
    return loads


def _load_postgres(cursor: Any, tables: Tables, manifest: Manifest, *, keeps_history: bool) -> tuple[Load, ...]:
    _run(cursor, create(tables, "postgres", keeps_history=keeps_history))
    cursor.execute(loaded(tables, "postgres"))
    loads = new_loads(manifest, [commit for (commit,) in cursor.fetchall()])
    if not loads:
        return ()
    _run(cursor, create_staging(tables, "postgres"))
    for spec in tables:
        for file in files_of(loads, spec.relation):
            with manifest.fs.open(file.url, "rb") as opened:
                _copy(cursor, copy_statement(spec), CsvStream(spec, batches_of(opened)))
    _run(cursor, load(tables, "postgres", loads, keeps_history=keeps_history, is_wrapped=False))
    _run(cursor, drop_staging(tables, "postgres"))
    return loads


def _copy(cursor: Any, statement: str, stream: CsvStream) -> None:
    if hasattr(cursor, "copy_expert"):  # psycopg2
        cursor.copy_expert(statement, stream, _CHUNK)
        return
    with cursor.copy(statement) as copy:
        while chunk := stream.read(_CHUNK):
            copy.write(chunk)


def _run(target: Any, statements: Sequence[str]) -> None:
    for statement in statements:
        target.execute(statement)
