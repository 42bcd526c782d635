"""The log of one resource: one entry for each version, each made by exclusive creation; and its checkpoint.

::

    Sale/_log/00000012.json              the commit that made version 12
    Sale/_log/00000010.checkpoint.json   the state at version 10, written before older entries are deleted
    _runs/Sale/<run>/00000012.json       what the run has to know of it when it is run again
    Sale/_manifest.json                  the checkpoint that readers use: the state at the newest version, or one close to it

The entry is the commit: from its creation on it counts. Everything else follows from it, and whoever comes next writes it if
its maker has died. A checkpoint may be older than the log's end, never newer. Entries below a checkpoint of the log may be gone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from airflow_provider_lightspeed.exceptions import StorageError
from airflow_provider_lightspeed.lake import rules
from airflow_provider_lightspeed.lake.records import (
    Checkpoint,
    Commit,
    FilesByTable,
    LiveFile,
    RunNote,
    TableManifest,
    decode,
    encode,
)
from airflow_provider_lightspeed.lake.storage import Storage

#: Superseded files and entries stay so long: a reader may be on its way with the checkpoint of before, a loader may need them.
KEEP: Final = timedelta(hours=24)
_ENTRY: Final = re.compile(r"(\d{8,})\.json")
_CHECKPOINT: Final = re.compile(r"(\d{8,})\.checkpoint\.json")
#: Entries that are tried before a writer gives up; every failure means that another writer has succeeded.
_TRIES: Final = 10_000
#: Times that the log is read before a gap in it is taken for damage: it may go on, and forget, while it is read.
_LOOKS: Final = 5


@dataclass(frozen=True, slots=True)
class Listing:
    """The versions that the log's folder holds.

    :param entries: with an entry.
    :param checkpoint: the newest one with a checkpoint; 0: there is none.
    """

    entries: frozenset[int] = frozenset()
    checkpoint: int = 0
    checkpoints: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Tip:
    """The log's end.

    :param new: the entries that no checkpoint holds yet.
    :param listing: what the log's folder held when it was read.
    """

    state: Checkpoint
    new: tuple[Commit, ...] = ()
    listing: Listing = Listing()

    def after(self, commit: Commit) -> Tip:
        """Return the end behind the next commit."""
        return Tip(rules.fold(self.state, commit), (*self.new, commit), self.listing)


class Log:
    """Reads and appends."""

    def __init__(self, storage: Storage, resource: str) -> None:
        self._storage = storage
        self._resource = resource
        #: The state behind the newest commit that was appended by this object.
        self.settled: Checkpoint | None = None

    @property
    def manifest_path(self) -> str:
        """The full path of ``_manifest.json``."""
        return self._storage.path(f"{self._resource}/_manifest.json")

    def folder(self, table: str = "") -> str:
        """Return the folder of one of the resource's tables."""
        return f"{self._resource}.{table}" if table else self._resource

    # -- reading -----------------------------------------------------------------------------------------------------

    def load(self) -> Checkpoint:
        """Return the state at the log's end.

        :raises StorageError: an entry or the checkpoint is of another layout, damaged or missing.
        """
        return self.read().state

    def read(self) -> Tip:
        """Return the same, with the entries that no checkpoint holds yet.

        :raises StorageError: as of :meth:`load`.
        """
        for _ in range(_LOOKS):
            state = self._manifest() or Checkpoint(resource=self._resource)
            listing = self.listing()
            if listing.checkpoint > state.version:
                found = self._checkpoint(listing.checkpoint)
                if found is None:
                    continue
                state = found
            new = tuple(self.entries(state.version))
            for commit in new:
                state = rules.fold(state, commit)
            if max(listing.entries, default=0) <= state.version:
                return Tip(state, new, listing)
        name = self._storage.path(self._entry_name(state.version + 1))
        msg = f"path: {name!r} is missing, and later commits are there: the log is damaged. Extract into a new path"
        raise StorageError(msg, path=name)

    def _manifest(self) -> Checkpoint | None:
        content = self._storage.read(f"{self._resource}/_manifest.json")
        if content is None:
            return None
        try:
            return decode(content, Checkpoint, self.manifest_path)
        except StorageError as error:
            if error.fields.get("format") is not None:
                raise
            # Derived, so a damaged one is made anew from the log.
            return None

    def _checkpoint(self, version: int) -> Checkpoint | None:
        """Return a checkpoint of the log; ``None``: a newer one has taken its place."""
        name = self._checkpoint_name(version)
        content = self._storage.read(name)
        return decode(content, Checkpoint, self._storage.path(name)) if content is not None else None

    def listing(self) -> Listing:
        """List the log's folder."""
        names = [name.rpartition("/")[2] for name in self._storage.names(f"{self._resource}/_log")]
        entries = frozenset(int(found[1]) for name in names if (found := _ENTRY.fullmatch(name)))
        checkpoints = tuple(sorted(int(found[1]) for name in names if (found := _CHECKPOINT.fullmatch(name))))
        return Listing(entries, max(checkpoints, default=0), checkpoints)

    def entry(self, version: int) -> Commit | None:
        """Return an entry; ``None``: there is none (yet, or any more)."""
        name = self._entry_name(version)
        content = self._storage.read(name)
        return decode(content, Commit, self._storage.path(name)) if content is not None else None

    def entries(self, after: int) -> Iterator[Commit]:
        """Yield the entries behind a version, in order, up to the first one that is missing."""
        while (commit := self.entry(after + 1)) is not None:
            yield commit
            after += 1

    def _entry_name(self, version: int) -> str:
        return f"{self._resource}/_log/{version:08d}.json"

    def _checkpoint_name(self, version: int) -> str:
        return f"{self._resource}/_log/{version:08d}.checkpoint.json"

    def _note_name(self, run_id: str, version: int) -> str:
        return f"_runs/{self._resource}/{run_id}/{version:08d}.json"

    def notes(self, run_id: str) -> tuple[RunNote, ...]:
        """Return what is noted of a run's earlier commits, oldest first."""
        found = []
        for name in self._storage.names(f"_runs/{self._resource}/{run_id}"):
            content = self._storage.read(name)
            if content is not None:
                found.append(decode(content, RunNote, self._storage.path(name)))
        return tuple(sorted(found, key=lambda note: note.version))

    def notes_at(self, tip: Tip, run_id: str) -> tuple[RunNote, ...]:
        """Return the same, with the entries that nobody may have noted yet."""
        known = {note.version: note for note in self.notes(run_id)}
        known |= {commit.version: RunNote.of(commit) for commit in tip.new if commit.run_id == run_id}
        return tuple(known[version] for version in sorted(known))

    # -- appending ---------------------------------------------------------------------------------------------------

    def append(self, tip: Tip, make: Callable[[Tip], Commit | None]) -> Commit | None:
        """Append a commit behind all others, bring the checkpoint to the log's end, and delete what has expired.

        :param tip: what to begin with (:meth:`read`).
        :param make: returns the next commit behind an end of the log; ``None``: there is nothing to commit.
        :returns: the commit that was written.
        :raises StorageError: the storage fails. Unless the checkpoint failed, nothing was committed.
        """
        for _ in range(_TRIES):
            commit = make(tip)
            if commit is None:
                return None
            if not self._storage.create(self._entry_name(commit.version), encode(commit)):
                found = self.entry(commit.version)
                if found != commit:  # else a request was repeated whose answer had been lost
                    tip = tip.after(found) if found is not None else self.read()
                    continue
            if self.listing().checkpoint >= commit.version and not self._is_noted(commit):
                # The log had gone on from an entry in the same place, and forgotten it: nobody reads this one.
                self._storage.remove(self._entry_name(commit.version))
                tip = self.read()
                continue
            self.settled, listing = self.settle(tip.after(commit))
            self._delete_expired(self.settled, listing)
            return commit
        path = self._storage.path(self._resource)
        msg = f"path: {path!r} is written to by others all the time; nothing was committed"
        raise StorageError(msg, path=path)

    def settle(self, tip: Tip) -> tuple[Checkpoint, Listing]:
        """Bring the checkpoint to the log's end; return the state there, and what the log's folder holds."""
        while True:
            for commit in self.entries(tip.state.version):
                tip = tip.after(commit)
            self._write(tip)
            listing = self.listing()
            if max(listing.entries, default=0) <= tip.state.version and listing.checkpoint <= tip.state.version:
                return tip.state, listing
            tip = self.read()

    def _note(self, commit: Commit) -> None:
        self._storage.write(self._note_name(commit.run_id, commit.version), encode(RunNote.of(commit)))

    def _is_noted(self, commit: Commit) -> bool:
        """Whether somebody has taken a commit into a checkpoint."""
        content = self._storage.read(self._note_name(commit.run_id, commit.version))
        return content is not None and decode(content, RunNote, self._resource).id == commit.id

    def _write(self, tip: Tip) -> None:
        """Write the checkpoint, and before it what it makes hard to find: the notes of its newest commits."""
        state = tip.state
        for commit in tip.new:
            self._note(commit)
        changed = {table for commit in tip.new for each in _changes(commit) for table in each}
        for table in changed.intersection(state.tables):
            found = state.tables[table]
            document = TableManifest(
                resource=self._resource,
                table=table,
                version=state.version,
                rows=found.rows,
                bytes=found.bytes,
                files=found.files,
            )
            self._storage.write(f"{self.folder(table)}/_manifest.json", encode(document))
        self._storage.write(f"{self._resource}/_manifest.json", encode(state))

    # -- expiry ------------------------------------------------------------------------------------------------------

    def expirable(self, tip: Tip, now: datetime, keep: timedelta = KEEP) -> int:
        """Return the newest version whose entry, and all before it, are so old; 0: there is none.

        A clock that is wrong says so early or late. Then a reader may lack a file, and a loader begins anew from the
        checkpoint; no commit is lost.
        """
        entries = tip.listing.entries
        version = oldest(entries)
        newest = 0
        while version in entries and (commit := self.entry(version)) is not None:
            if -keep < now - commit.committed_at < keep:
                break
            newest, version = version, version + 1
        return newest

    def _delete_expired(self, state: Checkpoint, listing: Listing) -> None:
        """Delete the entries that a commit has called expired, and the files that they superseded."""
        first = oldest(listing.entries)
        if not first or first > state.expired:
            return
        if listing.checkpoint < state.expired:
            self._storage.write(self._checkpoint_name(state.version), encode(state))
        live = {(table, file.path) for table, files in state.by_table() for file in files}
        for version in range(first, state.expired + 1):
            commit = self.entry(version)
            if commit is None:
                continue
            for table, file in _dropped(commit):
                if (table, file.path) not in live:
                    self._storage.remove(f"{self.folder(table)}/{file.path}")
            if commit.kind in ("sweep", "compaction"):
                # Nobody runs it again.
                self._storage.remove(self._note_name(commit.run_id, version))
            self._storage.remove(self._entry_name(version))
        for older in listing.checkpoints:
            if older < max(listing.checkpoint, state.version if listing.checkpoint < state.expired else 0):
                self._storage.remove(self._checkpoint_name(older))

    def named(self) -> set[tuple[str, str]]:
        """Return the files that an entry or the state names, as pairs of table and path."""
        found = {(table, file.path) for table, files in self.load().by_table() for file in files}
        for version in sorted(self.listing().entries):
            commit = self.entry(version)
            if commit is not None:
                found |= {(table, file.path) for each in _changes(commit) for table in each for file in each[table]}
        return found

    def inputs(self, state: Checkpoint, file: LiveFile) -> FilesByTable | None:
        """Return the files that a compaction has rewritten into one; ``None`` if they have expired."""
        version = int(file.commit.partition("-")[0])
        if version <= state.expired:
            return None
        commit = self.entry(version)
        return commit.removes if commit is not None and commit.kind == "compaction" else None


def oldest(entries: frozenset[int]) -> int:
    """Return the oldest entry from which on none is missing; 0: there is none."""
    version = max(entries, default=0)
    while version - 1 in entries:
        version -= 1
    return version


def _changes(commit: Commit) -> tuple[FilesByTable, ...]:
    return commit.files, commit.removes, commit.restores


def _dropped(commit: Commit) -> Iterator[tuple[str, LiveFile]]:
    """Yield the files that count no more since a commit: those that it superseded, or its own if it was overtaken."""
    for files_by_table in (commit.removes, commit.files if commit.overtaken_by is not None else {}):
        for table, files in files_by_table.items():
            for file in files:
                yield table, file
