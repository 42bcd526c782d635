"""Publishes files so that readers see all of a run or none of it.

Layout below the dataset's path::

    Sale/part-<run>-<try>-0.parquet   published under a name of its own
    Sale.SaleLines/part-...           the same of another table of the resource
    Sale/_log/<version>.json          the commit; names the files of all tables: from here on they count (:mod:`.log`)
    _runs/Sale/<run>/<version>.json   what a run has to know of its commits when it is run again
    Sale/_manifest.json               all live files: the checkpoint
    Sale.SaleLines/_manifest.json     those of one table, for readers of nothing else
    _staging/Sale/<run>/<try>/...     not yet published

A run that dies leaves staged or unnamed files, which only the same run, tried again, removes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import msgspec

from airflow_provider_lightspeed.arrow.parquet import FileStats
from airflow_provider_lightspeed.arrow.tables import MAIN
from airflow_provider_lightspeed.exceptions import StorageError
from airflow_provider_lightspeed.lake import rules
from airflow_provider_lightspeed.lake.log import KEEP, Log, Tip
from airflow_provider_lightspeed.lake.records import (
    Checkpoint,
    Commit,
    FilesByTable,
    Kind,
    LiveFile,
    Query,
    ReadState,
    RelationNotes,
    utc,
)
from airflow_provider_lightspeed.lake.storage import Storage

#: Staged files that nobody has touched for so long belong to runs that are never tried again.
STALE: Final = timedelta(days=7)
#: Published files that no commit names belong to a dead try once they are so old; one that lives commits within seconds.
UNNAMED: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a run is about to publish.

    :param kind: ``full``: it holds all there is (a full read, a snapshot), and supersedes what it had seen.
    :param moves_watermark: later runs go on from the window's end.
    :param files: staged files by table, the resource's own one under the empty name.
    :param schema: names the files' schema.
    :param committed_at: the server's time.
    :param extracted_at: when the read began.
    :param base: the version that it had seen when it began.
    :param base_extracted_at: when the newest read that it had seen began.
    :param fields: those that records have had, in this run and before.
    :param keep_history: compactions keep rows that are no longer current.
    """

    query: Query
    run_id: str
    attempt_number: str
    kind: Kind
    window_start: datetime | None
    window_end: datetime
    moves_watermark: bool
    files: Mapping[str, Sequence[FileStats]]
    schema: str
    committed_at: datetime
    extracted_at: datetime
    base: int = 0
    base_extracted_at: datetime | None = None
    state: ReadState = field(default_factory=ReadState)
    state_before: ReadState = field(default_factory=ReadState)
    fields: tuple[str, ...] = ()
    relations: RelationNotes = field(default_factory=RelationNotes)
    keep_history: bool = False

    def at(self, version: int, resource: str) -> Commit:
        """Return the commit at a place in the log, without its files."""
        return Commit(
            version=version,
            base=self.base,
            id=f"{version:08d}-{self.run_id}-{self.attempt_number}",
            resource=resource,
            account_id=self.query.account,
            query_id=self.query.fingerprint,
            query=self.query,
            run_id=self.run_id,
            attempt_number=self.attempt_number,
            kind=self.kind,
            window_start=utc(self.window_start) if self.window_start else None,
            window_end=utc(self.window_end),
            watermark=utc(self.window_end) if self.moves_watermark else None,
            state=self.state,
            state_before=self.state_before,
            schema=self.schema,
            fields=self.fields,
            relations=self.relations,
            keep_history=self.keep_history,
            extracted_at=utc(self.extracted_at),
            committed_at=utc(self.committed_at),
        )


class Dataset:
    """One resource's folder."""

    def __init__(self, storage: Storage, resource: str) -> None:
        self._storage = storage
        self._resource = resource
        self.log = Log(storage, resource)

    @property
    def manifest_path(self) -> str:
        """The manifest's full path."""
        return self.log.manifest_path

    def staging(self, run_id: str, attempt: str) -> str:
        """Return the staging folder of one try."""
        return f"_staging/{self._resource}/{run_id}/{attempt}"

    def journal(self, run_id: str) -> str:
        """Return the folder in which a run stores what it has read so far."""
        return f"_staging/{self._resource}/{run_id}/journal"

    def folder(self, table: str = MAIN) -> str:
        """Return the folder of one of the resource's tables."""
        return self.log.folder(table)

    def paths(self, files: FilesByTable) -> dict[str, list[str]]:
        """Return the full paths of files, by table."""
        return {
            table: [self._storage.path(f"{self.folder(table)}/{file.path}") for file in found]
            for table, found in files.items()
        }

    # -- publishing --------------------------------------------------------------------------------------------------

    def publish(self, draft: Draft) -> Commit:
        """Move the staged files to their place, append the commit, write the checkpoint; return the commit."""
        published = self._move(draft)
        tip = self.log.read()
        expires = self.log.expirable(tip, draft.committed_at, KEEP)

        def make(tip: Tip) -> Commit:
            self._check_published(published)
            state, commit = tip.state, draft.at(tip.state.version + 1, self._resource)
            found = rules.effect(
                state,
                commit,
                self.log.notes_at(tip, draft.run_id),
                lambda file: self.log.inputs(state, file),
                draft.base_extracted_at,
            )
            return msgspec.structs.replace(
                commit,
                rows=sum(file.rows for file in published.get(MAIN, ())),
                files={table: tuple(_live(commit, file) for file in files) for table, files in published.items()},
                removes=found.removes,
                restores=found.restores,
                overtaken_by=found.overtaken_by,
                replaces_until=found.replaces_until,
                expires=max(state.expired, expires),
            )

        commit = self.log.append(tip, make)
        assert commit is not None
        self._clear_staging(draft)
        return commit

    def _move(self, draft: Draft) -> dict[str, list[FileStats]]:
        """Give the staged files names of their own; return them by table, with these names."""
        found: dict[str, list[FileStats]] = {}
        number = 0
        for table, stats in draft.files.items():
            for file in stats:
                name = f"part-{draft.run_id}-{draft.attempt_number}-{number}.parquet"
                number += 1
                staged = file.path.removeprefix(f"{self._storage.root}/")
                self._storage.move(staged, f"{self.folder(table)}/{name}")
                found.setdefault(table, []).append(
                    FileStats(name, file.rows, file.bytes, file.row_groups, file.schema_hash)
                )
        return found

    def _check_published(self, published: Mapping[str, Sequence[FileStats]]) -> None:
        """See that no other try has removed what is about to be named."""
        for table, files in published.items():
            folder = self.folder(table)
            present = set(self._storage.names(folder)) if files else set()
            for file in files:
                if f"{folder}/{file.path}" not in present:
                    path = self._storage.path(f"{folder}/{file.path}")
                    msg = f"path: {path!r} is gone: another try of this run has taken over; nothing was committed"
                    raise StorageError(msg, path=path)

    def _clear_staging(self, draft: Draft) -> None:
        """Delete what this run has staged, unless another try of it is at work, which does so when it ends."""
        self._storage.remove_folder(self.staging(draft.run_id, draft.attempt_number))
        rest = self._storage.names(f"_staging/{self._resource}/{draft.run_id}")
        if all(name.startswith(f"{self.journal(draft.run_id)}/") for name in rest):
            self._storage.remove_folder(f"_staging/{self._resource}/{draft.run_id}")

    # -- what dead tries left ----------------------------------------------------------------------------------------

    def remove_orphan_files(
        self,
        run_id: str,
        now: datetime,
        *,
        tables: Iterable[str] = (MAIN,),
        keep: str | None = None,
        least_age: timedelta = UNNAMED,
        state: Checkpoint | None = None,
    ) -> int:
        """Delete what dead tries of this run left: staged files and published ones that no commit names.

        :param least_age: of published files; a try that was thought dead may be about to name what it has just published.
        :param keep: a folder below the run's staging to leave alone.
        :param state: the live state, if it has been read.
        """
        left = self._storage.names(f"_staging/{self._resource}/{run_id}")
        left = [name for name in left if keep is None or not name.startswith(f"{keep}/")]
        left += self._unnamed(tables, now, least_age, f"part-{run_id}-", state)
        for name in left:
            self._storage.remove(name)
        if keep is None:
            self._storage.remove_folder(f"_staging/{self._resource}/{run_id}")
        return len(left)

    def remove_stale_staging(
        self, now: datetime, *, tables: Iterable[str] = (MAIN,), state: Checkpoint | None = None
    ) -> int:
        """Delete what abandoned runs left, of any run.

        :param state: the live state, if it has been read.
        """
        folder = f"_staging/{self._resource}"
        runs: dict[str, list[str]] = {}
        for name in self._storage.names(folder):
            runs.setdefault(name.removeprefix(f"{folder}/").partition("/")[0], []).append(name)
        # One fresh file says that its run is alive: no need to ask for the age of all its others.
        dead = [found for found in runs.values() if all(self._storage.age(name, now) > STALE for name in found)]
        names = [name for found in dead for name in found]
        names += self._unnamed(tables, now, STALE, "part-", state)
        for name in names:
            self._storage.remove(name)
        return len(names)

    def _unnamed(
        self, tables: Iterable[str], now: datetime, least_age: timedelta, start: str, state: Checkpoint | None
    ) -> list[str]:
        """Return the published files of some tables that no commit names, and that are so old."""
        live = {(table, file.path) for table, files in (state or self.log.load()).by_table() for file in files}
        found = []
        for table in tables:
            folder = self.folder(table)
            for name in self._storage.names(folder):
                path = name.removeprefix(f"{folder}/")
                is_candidate = path.startswith(start) and (table, path) not in live
                if is_candidate and self._storage.age(name, now) >= least_age:
                    found.append((table, path))
        # Superseded files are named by the log. It is read only if there is something to look for.
        named = self.log.named() if found else set()
        return [f"{self.folder(table)}/{path}" for table, path in found if (table, path) not in named]


def _live(commit: Commit, file: FileStats) -> LiveFile:
    return LiveFile(
        path=file.path,
        rows=file.rows,
        bytes=file.bytes,
        row_groups=file.row_groups,
        commit=commit.id,
        run_id=commit.run_id,
        account_id=commit.account_id,
        query=commit.query_id,
        is_full=commit.kind == "full",
        window_start=commit.window_start,
        window_end=commit.window_end,
        version=commit.version,
        extracted_at=commit.extracted_at,
    )
