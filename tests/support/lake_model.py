"""What a dataset shows, told as plainly as can be, and a dataset in memory that the shipped rules maintain.

The model knows every commit there ever was, and asks of each row whether it counts. The dataset knows files, folds commits
one by one, and forgets what it may forget. Both have to show the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from airflow_provider_lightspeed.lake import rules
from airflow_provider_lightspeed.lake.records import (
    Checkpoint,
    Commit,
    FilesByTable,
    Kind,
    LiveFile,
    Query,
    ReadState,
    RunNote,
)

QUERY = Query(account="7", resource="Sale")
SETTLE = timedelta(minutes=5)


@dataclass(frozen=True, order=True)
class Row:
    """A version of a key: when it was modified, when its read began."""

    modified: int
    extracted_at: datetime


Rows = Mapping[int, Row]


@dataclass(frozen=True)
class Read:
    """A read that has begun.

    :param base: the version that it has seen.
    """

    run: str
    kind: Kind
    base: int
    extracted_at: datetime
    base_extracted_at: datetime | None
    window_end: datetime


@dataclass(frozen=True)
class Shown:
    """A commit with what it holds.

    :param gone: keys that it has tombstones of.
    """

    version: int
    read: Read
    rows: Rows
    gone: frozenset[int] = frozenset()

    @property
    def began(self) -> tuple[int, datetime, int]:
        return self.read.base, self.read.extracted_at, self.version


class Model:
    """All commits, in their order."""

    def __init__(self) -> None:
        self.commits: list[Shown] = []

    def counts(self, commit: Shown) -> bool:
        """Whether no commit between its base and itself has left it nothing to tell."""
        between = [each for each in self.commits if commit.read.base < each.version < commit.version]
        return not any(each.began > commit.began and self._tells_all(each, commit) for each in between)

    @staticmethod
    def _tells_all(other: Shown, commit: Shown) -> bool:
        if other.read.run == commit.read.run:
            return True
        is_all = other.read.kind == "full" and commit.read.kind != "sweep"
        return is_all and commit.read.window_end <= other.read.window_end

    def is_live(self, commit: Shown) -> bool:
        """Whether it counts, and no commit that has seen it replaces it."""
        later = [each for each in self.commits if each.version > commit.version and self.counts(each)]
        return self.counts(commit) and not any(
            commit.version <= each.read.base
            and (each.read.kind == "full" or (each.read.kind == "window" and each.read.run == commit.read.run))
            for each in later
        )

    def live(self) -> list[Shown]:
        return [commit for commit in self.commits if self.is_live(commit)]

    def view(self) -> dict[int, Row]:
        """Return the current rows."""
        live = self.live()
        return current([commit.rows for commit in live], [(commit.gone, commit.read.extracted_at) for commit in live])


def current(rows: Iterable[Rows], gone: Iterable[tuple[frozenset[int], datetime]]) -> dict[int, Row]:
    """Return the newest row of each key, but for those with a tombstone that is not earlier."""
    tombstones = list(gone)
    best: dict[int, Row] = {}
    for each in rows:
        for key, row in each.items():
            if not any(key in keys and since >= row.extracted_at for keys, since in tombstones):
                best[key] = max(row, best.get(key, row))
    return best


@dataclass
class MemoryLake:
    """A dataset whose files are dictionaries. Compaction keeps of each key what is current among what it rewrites."""

    state: Checkpoint = field(default_factory=lambda: Checkpoint(resource="Sale"))
    entries: dict[int, Commit] = field(default_factory=dict)
    notes: dict[str, list[RunNote]] = field(default_factory=dict)
    rows: dict[str, Rows] = field(default_factory=dict)
    gone: dict[str, tuple[tuple[frozenset[int], datetime], ...]] = field(default_factory=dict)

    def begin(self, run: str, kind: Kind, now: datetime) -> Read:
        found = self.state.queries.get(rules.key_of("7", QUERY.fingerprint))
        seen = found.extracted_at if found else None
        at = now if seen is None else max(now, seen + timedelta(microseconds=1))
        return Read(run, kind, self.state.version, at, seen, now - SETTLE)

    def commit(self, read: Read, rows: Rows, gone: frozenset[int] = frozenset(), expires: int = 0) -> Shown:
        version = self.state.version + 1
        draft = _commit(version, read)
        effect = rules.effect(self.state, draft, self.notes.get(read.run, ()), self._inputs, read.base_extracted_at)
        path = f"{version}"
        self.rows[path], self.gone[path] = rows, ((gone, read.extracted_at),)
        done = msgspec.structs.replace(
            draft,
            rows=len(rows),
            files={"": (_file(draft, path),)},
            removes=effect.removes,
            restores=effect.restores,
            overtaken_by=effect.overtaken_by,
            replaces_until=effect.replaces_until,
            expires=max(self.state.expired, expires),
        )
        self._append(done)
        self.notes.setdefault(read.run, []).append(RunNote.of(done))
        return Shown(version, read, rows, gone)

    def compact(self, files: Iterable[LiveFile], now: datetime) -> None:
        inputs = tuple(files)
        version, path = self.state.version + 1, f"{self.state.version + 1}"
        gone = tuple(each for file in inputs for each in self.gone[file.path])
        self.rows[path] = current([self.rows[file.path] for file in inputs], gone)
        self.gone[path] = gone
        read = Read("compaction", "compaction", self.state.version, now, None, now)
        draft = _commit(version, read)
        output = msgspec.structs.replace(
            _file(draft, path),
            run_id="",
            version=max(file.version for file in inputs),
            oldest_version=min(file.since_version for file in inputs),
            extracted_at=max(file.extracted_at for file in inputs),
            oldest_extracted_at=min(file.since for file in inputs),
        )
        self._append(msgspec.structs.replace(draft, files={"": (output,)}, removes={"": inputs}))

    def _append(self, commit: Commit) -> None:
        # Through its bytes, as it is stored.
        stored = msgspec.json.decode(msgspec.json.encode(commit), type=Commit)
        self.entries[stored.version] = stored
        self.state = rules.fold(self.state, stored)
        for version in [found for found in self.entries if found <= self.state.expired]:
            del self.entries[version]

    def _inputs(self, file: LiveFile) -> FilesByTable | None:
        found = self.entries.get(int(file.commit.partition("-")[0]))
        return found.removes if found and found.kind == "compaction" else None

    def view(self) -> dict[int, Row]:
        """Return the current rows, of the live files alone."""
        return current(
            [self.rows[file.path] for file in self.state.files],
            [each for file in self.state.files for each in self.gone[file.path]],
        )


def _commit(version: int, read: Read) -> Commit:
    return Commit(
        version=version,
        base=read.base,
        id=f"{version:08d}-{read.run}-1",
        resource="Sale",
        account_id="7",
        query_id=QUERY.fingerprint,
        query=QUERY,
        run_id=read.run,
        attempt_number="1",
        kind=read.kind,
        window_end=read.window_end,
        watermark=read.window_end if read.kind in ("window", "full") else None,
        state=ReadState(),
        extracted_at=read.extracted_at,
        committed_at=read.extracted_at,
    )


def _file(commit: Commit, path: str) -> LiveFile:
    return LiveFile(
        path=path,
        rows=1,
        bytes=1,
        commit=commit.id,
        run_id=commit.run_id,
        account_id="7",
        query=commit.query_id,
        window_end=commit.window_end,
        version=commit.version,
        extracted_at=commit.extracted_at,
    )
