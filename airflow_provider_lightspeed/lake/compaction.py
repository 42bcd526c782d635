"""Rewrites many small live files into few sorted ones, without the rows that are no longer current.

It runs after a commit when there are many files, bounded in bytes, and by ``airflow lightspeed compact`` over all of them. What
it writes is a commit of its own, on which nothing depends: if others have replaced one of its files meanwhile, it is given up.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_lightspeed.arrow.parquet import FileStats, ParquetSink
from airflow_provider_lightspeed.arrow.tables import MAIN, ROOT_KEY
from airflow_provider_lightspeed.lake import rules
from airflow_provider_lightspeed.lake.current_rows import (
    Contract,
    Paths,
    Rows,
    all_rows,
    child_rows,
    main_rows,
    mark_rows,
)
from airflow_provider_lightspeed.lake.dataset import Dataset
from airflow_provider_lightspeed.lake.log import KEEP, Tip
from airflow_provider_lightspeed.lake.records import Checkpoint, Commit, FilesByTable, LiveFile, QueryState, utc
from airflow_provider_lightspeed.lake.rewriting import batches
from airflow_provider_lightspeed.lake.storage import Storage

log = logging.getLogger(__name__)

#: Commits with live files of one query from which on some are rewritten after a commit ...
MOST_COMMITS: Final = 32
#: ... as long as their files have no more bytes, and rows, than this.
MOST_BYTES: Final = 128 * 2**20
MOST_ROWS: Final = 2_000_000
#: A larger file is not rewritten for the sake of smaller ones that have a fraction of its bytes.
GROWTH: Final = 4
#: Rows of a file.
FILE_ROWS: Final = 2_000_000
#: Bytes in memory after which a row group is written.
ROW_GROUP_BYTES: Final = 24 * 2**20


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did to the files of one query."""

    resource: str
    account_id: str
    query: str
    files: tuple[int, int]
    rows: tuple[int, int]
    bytes: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Group:
    """The live files of one commit."""

    commit: str
    files: FilesByTable

    @property
    def bytes(self) -> int:
        return sum(file.bytes for files in self.files.values() for file in files)

    @property
    def rows(self) -> int:
        return sum(file.rows for files in self.files.values() for file in files)


def compact(
    storage: Storage,
    dataset: Dataset,
    now: datetime,
    *,
    state: Checkpoint | None = None,
    everything: bool = False,
    keep_history: bool | None = None,
) -> list[Compacted]:
    """Rewrite what is worth it; return what was done.

    :param now: the server's time.
    :param state: the live state, if it has been read.
    :param everything: all live files, however large; by default only if there are many, and small ones.
    :param keep_history: keep rows that are no longer current; default what the newest extract says.
    :raises StorageError: the storage fails; the dataset is as it was.
    """
    state = state or dataset.log.load()
    found = (
        _Compaction(storage, dataset, now, state, query, keep_history).run(everything=everything)
        for query in state.queries.values()
    )
    return [done for done in found if done is not None]


class _Compaction:
    def __init__(
        self,
        storage: Storage,
        dataset: Dataset,
        now: datetime,
        state: Checkpoint,
        query: QueryState,
        keep_history: bool | None,
    ) -> None:
        self._storage = storage
        self._dataset = dataset
        self._now = now
        self._state = state
        self._query = query.query
        self._keeps_all = query.keep_history if keep_history is None else keep_history
        self._contract = Contract.of(query.query)
        self._name = f"compaction-{uuid.uuid4().hex[:12]}"
        self._count = 0

    def run(self, *, everything: bool) -> Compacted | None:
        if self._contract.key is None:
            # A snapshot replaces all before it; a report's rows have no key to go by.
            return None
        groups = list(self._groups().values())
        chosen = groups if everything else select(groups)
        if len(chosen) < 2 and not (everything and chosen):
            return None
        chosen = self._of_one_schema(sorted(chosen, key=lambda group: group.commit))
        if len(chosen) < 2 and not (everything and chosen):
            return None
        inputs = _by_table(chosen)
        written: dict[str, list[FileStats]] = {}
        try:
            for table in inputs:
                written[table] = []
                self._rewrite(table, chosen, written[table])
        except BaseException:
            self._discard(written)
            raise
        # What fails from here on may have committed: then the log names these files. Otherwise they are abandoned ones,
        # which `Dataset.remove_stale_staging` deletes.
        commit = self._commit(inputs, written)
        if commit is None:
            self._discard(written)
            return None
        return _compacted(commit)

    def _groups(self) -> Mapping[str, _Group]:
        found: dict[str, dict[str, tuple[LiveFile, ...]]] = {}
        for table, files in self._state.by_table():
            for file in files:
                if (file.account_id, file.query) == (self._query.account, self._query.fingerprint):
                    tables = found.setdefault(file.commit, {})
                    tables[table] = (*tables.get(table, ()), file)
        return {commit: _Group(commit, files) for commit, files in found.items()}

    def _of_one_schema(self, groups: Sequence[_Group]) -> list[_Group]:
        """Return the commits whose files have the schema of the newest: later releases add columns."""
        schemas: dict[str, pa.Schema] = {}
        kept = []
        for group in reversed(groups):
            own = {table: self._schema(table, files[0]) for table, files in group.files.items()}
            if all(schemas.get(table, schema).equals(schema) for table, schema in own.items()):
                schemas |= own
                kept.append(group)
        return kept[::-1]

    def _schema(self, table: str, file: LiveFile) -> pa.Schema:
        (path,) = self._dataset.paths({table: (file,)})[table]
        with self._storage.open(path, "rb") as opened:
            return pq.read_schema(opened).remove_metadata()

    # -- rewriting ---------------------------------------------------------------------------------------------------

    def _rewrite(self, table: str, groups: Sequence[_Group], written: list[FileStats]) -> None:
        files = [file for group in groups for file in group.files.get(table, ())]
        paths = self._dataset.paths({table: tuple(files)})[table]
        schema = self._schema(table, files[-1])
        sink: ParquetSink | None = None
        try:
            for batch in batches(self._storage, paths, self._rows(table, groups), schema):
                sink = sink or self._sink(table, schema)
                sink.write(batch)
                if sink.rows >= FILE_ROWS:
                    written.append(sink.close())
                    sink = None
        except BaseException:
            if sink is not None:
                sink.abort()
            raise
        if sink is not None:
            written.append(sink.close())

    def _rows(self, table: str, groups: Sequence[_Group]) -> Rows:
        contract, every = self._contract, self._keeps_all
        paths: Paths = self._dataset.paths(_by_table(groups))
        if table == MAIN:
            return main_rows(self._storage, paths, contract, all_versions=every)
        if not contract.is_child(table):
            return mark_rows(self._storage, paths[table], contract.mark_key(table), all_versions=every)
        if every:
            return all_rows(self._storage, paths[table], ROOT_KEY)
        main = main_rows(self._storage, paths, contract)
        commits = {
            name: [number for number, group in enumerate(groups) for _ in group.files.get(name, ())]
            for name in (MAIN, table)
        }
        return child_rows(self._storage, paths[table], main, commits, table)

    def _sink(self, table: str, schema: pa.Schema) -> ParquetSink:
        path = self._storage.path(f"{self._dataset.folder(table)}/part-{self._name}-{self._count}.parquet")
        self._count += 1
        return ParquetSink(self._storage, path, schema, row_group_bytes=ROW_GROUP_BYTES)

    def _discard(self, written: Mapping[str, Sequence[FileStats]]) -> None:
        for files in written.values():
            for file in files:
                self._storage.remove(file.path.removeprefix(f"{self._storage.root}/"))

    # -- committing --------------------------------------------------------------------------------------------------

    def _commit(self, inputs: FilesByTable, written: Mapping[str, Sequence[FileStats]]) -> Commit | None:
        tip = self._dataset.log.read()
        expires = self._dataset.log.expirable(tip, self._now, KEEP)

        def make(tip: Tip) -> Commit | None:
            if not rules.is_compactable(tip.state, inputs):
                log.info("%s: files to be compacted have been replaced meanwhile; it is given up", self._query.resource)
                return None
            version = tip.state.version + 1
            files = [file for found in inputs.values() for file in found]
            commit = Commit(
                version=version,
                base=self._state.version,
                id=f"{version:08d}-{self._name}",
                resource=self._query.resource,
                account_id=self._query.account,
                query_id=self._query.fingerprint,
                query=self._query,
                run_id=self._name,
                attempt_number="1",
                kind="compaction",
                window_end=max(file.window_end for file in files),
                removes=inputs,
                extracted_at=max(file.extracted_at for file in files),
                committed_at=utc(self._now),
                expires=max(tip.state.expired, expires),
            )
            output = {table: tuple(_output(commit, file, files) for file in found) for table, found in written.items()}
            rows = sum(file.rows for file in written.get(MAIN, ()))
            return msgspec.structs.replace(commit, files=output, rows=rows)

        return self._dataset.log.append(tip, make)


def select(groups: Sequence[_Group]) -> list[_Group]:
    """Return the commits whose files are worth rewriting: the smallest, and larger ones while that costs little."""
    if len(groups) <= MOST_COMMITS:
        return []
    chosen: list[_Group] = []
    size = rows = 0
    for group in sorted(groups, key=lambda found: (found.bytes, found.commit)):
        is_large = len(chosen) >= 2 and group.bytes > GROWTH * size
        if is_large or size + group.bytes > MOST_BYTES or rows + group.rows > MOST_ROWS:
            break
        chosen.append(group)
        size, rows = size + group.bytes, rows + group.rows
    return chosen


def _by_table(groups: Sequence[_Group]) -> dict[str, tuple[LiveFile, ...]]:
    found: dict[str, tuple[LiveFile, ...]] = {}
    for group in groups:
        for table, files in group.files.items():
            found[table] = (*found.get(table, ()), *files)
    return found


def _output(commit: Commit, file: FileStats, inputs: Sequence[LiveFile]) -> LiveFile:
    return LiveFile(
        path=file.path.rpartition("/")[2],
        rows=file.rows,
        bytes=file.bytes,
        row_groups=file.row_groups,
        commit=commit.id,
        account_id=commit.account_id,
        query=commit.query_id,
        window_end=commit.window_end,
        version=max(each.version for each in inputs),
        oldest_version=min(each.since_version for each in inputs),
        extracted_at=commit.extracted_at,
        oldest_extracted_at=min(each.since for each in inputs),
    )


def _compacted(commit: Commit) -> Compacted:
    def total(files: FilesByTable, name: str) -> int:
        return sum(getattr(file, name) for file in _each(files))

    return Compacted(
        commit.resource,
        commit.account_id,
        commit.query_id,
        (len(list(_each(commit.removes))), len(list(_each(commit.files)))),
        (total(commit.removes, "rows"), total(commit.files, "rows")),
        (total(commit.removes, "bytes"), total(commit.files, "bytes")),
    )


def _each(files: FilesByTable) -> Iterator[LiveFile]:
    for found in files.values():
        yield from found
