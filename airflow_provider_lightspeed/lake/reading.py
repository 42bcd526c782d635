"""``read_current``: a dataset's current rows, for whoever has its path. No Airflow, no connection, no request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_provider_lightspeed.arrow.tables import MAIN
from airflow_provider_lightspeed.arrow.types import EXTRACTED_AT
from airflow_provider_lightspeed.exceptions import InvalidArgument, StorageError, unknown
from airflow_provider_lightspeed.lake.current_rows import Contract, child_rows, main_rows, mark_rows
from airflow_provider_lightspeed.lake.dataset import Dataset
from airflow_provider_lightspeed.lake.records import Checkpoint, FilesByTable, LiveFile, Query
from airflow_provider_lightspeed.lake.rewriting import as_schema, batches
from airflow_provider_lightspeed.lake.rules import undo
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.resources.base import Strategy
from airflow_provider_lightspeed.resources.catalog import resource as resource_named

#: The day that the rows of a report stand for.
DAY = "date"
#: Times that a reader begins anew because files have expired under its hands.
_TRIES = 3


def read_current(
    path: Any, resource: str, columns: Sequence[str] | None = None, as_of: int | datetime | None = None
) -> pa.Table:
    """Return the current rows of a resource, in the order of their keys.

    Of an account that was read by several queries (other relations, other columns), those of the query that was read last.

    :param path: the dataset's path, as given to the extract: a folder, a URL that fsspec knows, an ``ObjectStoragePath``.
    :param resource: the API's name, ``Sale``; or that of a table beside it, ``Sale.SaleLines``.
    :param columns: names as the files have them; default all.
    :param as_of: a version of the log, or a time: what was current then, for as long as the log keeps it (a day); default now.
    :raises InvalidArgument: an unknown resource or column, a path that cannot be, or a version that the log has forgotten.
    :raises StorageError: there is no dataset, or it cannot be read.
    """
    name, _, table = resource.partition(".")
    resource_named(name)
    storage = (
        Storage(path.fs, str(path.path)) if hasattr(path, "fs") and hasattr(path, "path") else Storage.at(str(path))
    )
    dataset = Dataset(storage, name)
    for tries in range(1, _TRIES + 1):
        state = dataset.log.load()
        try:
            return _Reader(storage, dataset, state, columns).read(table, _files_at(dataset, state, as_of))
        except StorageError:
            if tries == _TRIES or dataset.log.load().version == state.version:
                raise
    raise AssertionError


def _files_at(dataset: Dataset, state: Checkpoint, as_of: int | datetime | None) -> FilesByTable:
    if not state.version:
        msg = f"path: there is no {dataset.manifest_path}; it is written by the first extract of the resource to that path"
        raise StorageError(msg, path=dataset.manifest_path)
    files: FilesByTable = dict(state.by_table())
    version = state.version
    while as_of is not None:
        commit = dataset.log.entry(version) if version > state.expired else None
        if version == as_of or (commit and isinstance(as_of, datetime) and commit.committed_at <= as_of):
            return files
        if commit is None or (isinstance(as_of, int) and as_of > version):
            msg = f"as_of: the log has the versions {version} to {state.version}, found {as_of}. It keeps about a day"
            raise InvalidArgument(msg, field="as_of", found=as_of, allowed=(f"{version} to {state.version}",))
        files, version = undo(files, commit), version - 1
    return files


class _Reader:
    def __init__(self, storage: Storage, dataset: Dataset, state: Checkpoint, columns: Sequence[str] | None) -> None:
        self._storage = storage
        self._dataset = dataset
        self._state = state
        self._columns = columns

    def read(self, table: str, files: FilesByTable) -> pa.Table:
        """Return the current rows of one table."""
        newest: dict[str, tuple[datetime, Query]] = {}
        for found in self._state.queries.values():
            account = found.query.account
            if account not in newest or newest[account][0] < found.extracted_at:
                newest[account] = (found.extracted_at, found.query)
        parts = []
        for account in sorted(newest):
            _, query = newest[account]
            mine = {
                name: tuple(file for file in each if (file.account_id, file.query) == (account, query.fingerprint))
                for name, each in files.items()
            }
            if mine.get(table):
                parts.append(self._account(table, mine, query))
        if not parts:
            if table and table not in files:
                raise unknown("resource", table, sorted(files), what="table of the dataset")
            return pa.table({})
        return pa.concat_tables(parts, promote_options="permissive")

    def _account(self, table: str, files: Mapping[str, tuple[LiveFile, ...]], query: Query) -> pa.Table:
        contract, paths = Contract.of(query), self._dataset.paths(files)
        schema = self._schema(paths[table])
        if contract.key is None:
            return self._without_key(files[table], paths[table], schema, query)
        if table == MAIN:
            rows = main_rows(self._storage, paths, contract)
        elif contract.is_child(table):
            main = main_rows(self._storage, paths, contract)
            numbers = {file.commit: number for number, file in enumerate(files.get(MAIN, ()))}
            commits = {name: [numbers.get(file.commit, -1) for file in files.get(name, ())] for name in (MAIN, table)}
            rows = child_rows(self._storage, paths[table], main, commits, table)
        else:
            rows = mark_rows(self._storage, paths[table], contract.mark_key(table))
        found = batches(self._storage, paths[table], rows, schema, columns=self._columns)
        return pa.Table.from_batches(found, schema=schema)

    def _schema(self, paths: Sequence[str]) -> pa.Schema:
        """Return the columns to read: files of later releases have more."""
        schemas = []
        for path in paths:
            with self._storage.open(path, "rb") as file:
                schemas.append(pq.read_schema(file).remove_metadata())
        whole = pa.unify_schemas(schemas, promote_options="permissive")
        if self._columns is None:
            return whole
        for name in self._columns:
            if name not in whole.names:
                raise unknown("columns", name, whole.names, what="column of the dataset")
        return pa.schema([whole.field(name) for name in self._columns])

    def _without_key(
        self, files: Sequence[LiveFile], paths: Sequence[str], schema: pa.Schema, query: Query
    ) -> pa.Table:
        """Return the rows of the newest read; of reports, day by day those of the newest read of the day."""
        is_report = resource_named(query.resource).strategy is Strategy.PERIOD
        newest = max(file.extracted_at for file in files)
        parts = []
        for file, path in zip(files, paths, strict=True):
            if not is_report and file.extracted_at != newest:
                continue
            with self._storage.open(path, "rb") as opened:
                rows = pq.ParquetFile(opened).read()
            if is_report:
                for other in files:
                    if other.extracted_at > file.extracted_at and other.window_start:
                        first, last = other.window_start.date(), (other.window_end - timedelta(seconds=1)).date()
                        covered = pc.and_(pc.greater_equal(rows[DAY], first), pc.less_equal(rows[DAY], last))
                        rows = rows.filter(pc.invert(pc.fill_null(covered, False)))
            parts.append(as_schema(rows, schema))
        return pa.concat_tables(parts).sort_by(
            [(name, "ascending") for name in (EXTRACTED_AT,) if name in schema.names]
        )
