"""Which commits count: what a new commit supersedes, and the state that follows from a state and a commit. Pure.

The log is one line of versions, so nothing here asks for the time. The rules are those of the table in docs/dataset.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from airflow_provider_lightspeed.lake.records import (
    Checkpoint,
    Commit,
    FilesByTable,
    FullRead,
    LiveFile,
    QueryState,
    RunNote,
    TableState,
)

#: The files that a compaction has rewritten into some file, by table and path; ``None``: its log entry is gone.
Inputs = Callable[[LiveFile], FilesByTable | None]

_TICK: Final = timedelta(microseconds=1)


def key_of(account_id: str, query_id: str) -> str:
    """Return the key of a query's state in a checkpoint."""
    return f"{account_id}/{query_id}"


@dataclass(frozen=True)
class Effect:
    """What a commit does to the live files, at one place in the log."""

    removes: FilesByTable = field(default_factory=dict)
    restores: FilesByTable = field(default_factory=dict)
    overtaken_by: int | None = None
    replaces_until: datetime | None = None


def effect(
    state: Checkpoint, commit: Commit, own: Iterable[RunNote], inputs: Inputs, base_extracted_at: datetime | None = None
) -> Effect:
    """Return what a commit does behind all that ``state`` holds.

    :param commit: a read; compactions name what they remove themselves.
    :param own: the notes of the earlier commits of its run.
    :param inputs: finds what a compaction has rewritten.
    :param base_extracted_at: when the newest read that it had seen began.
    """
    late = overtaken_by(state, commit, own)
    if late is not None:
        return Effect(overtaken_by=late)
    removes, restores = _Files(), _Files()
    for table, file in _files_of_query(state, commit):
        if not _is_replaced(file, commit):
            continue
        if file.version <= commit.base:
            removes.add(table, file)
        elif (parts := _newer_parts(file, commit.base, inputs)) is not None:
            removes.add(table, file)
            restores.update(parts)
    removed, restored = removes.by_table(), restores.by_table()
    until = None
    if commit.kind == "full" and base_extracted_at is not None:
        kept = [file for _, file in _files_of_query(state, commit) if not removes.has(file)]
        kept += [file for files in restored.values() for file in files]
        until = min([base_extracted_at, *(file.since - _TICK for file in kept)])
    return Effect(removed, restored, None, until)


def overtaken_by(state: Checkpoint, commit: Commit, own: Iterable[RunNote]) -> int | None:
    """Return the version of the commit that leaves nothing for a late one to tell; ``None``: the commit counts.

    That one's read began later, neither had seen the other, and it is of the same run (a try that was thought dead goes on
    beside the next one), or reads everything. The late one was never shown, so nothing is taken back.
    """
    found = state.queries.get(key_of(commit.account_id, commit.query_id))
    others: list[RunNote | FullRead] = [
        note for note in own if (note.account_id, note.query_id) == (commit.account_id, commit.query_id)
    ]
    if found and found.full and _tells_all_of(found.full, commit):
        others.append(found.full)
    late = [other for other in others if other.version > commit.base and other.began > commit.began]
    return max((other.version for other in late), default=None)


def _tells_all_of(full: FullRead, commit: Commit) -> bool:
    """Whether a full read holds all that a read which began before it can tell.

    Not of a log, which is followed beyond its window, nor of a sweep.
    """
    if commit.kind == "sweep" or commit.state.last_key is not None:
        return False
    return commit.window_end <= full.window_end


def _files_of_query(state: Checkpoint, commit: Commit) -> Iterable[tuple[str, LiveFile]]:
    for table, files in state.by_table():
        for file in files:
            if (file.account_id, file.query) == (commit.account_id, commit.query_id):
                yield table, file


def _is_replaced(file: LiveFile, commit: Commit) -> bool:
    """Whether a commit replaces something in a file: a full read what it had seen, another one the commits of its run."""
    if commit.kind == "full":
        return file.since_version <= commit.base
    return commit.kind == "window" and file.run_id == commit.run_id and file.version <= commit.base


def _newer_parts(file: LiveFile, base: int, inputs: Inputs) -> FilesByTable | None:
    """Return those of the files that a compaction has rewritten which were committed after ``base``.

    A full read replaces what it had seen and nothing later, also where a compaction has put both into one file.
    :returns: ``None`` if it is not known any more; then the file stays, which loses nothing.
    """
    parts = inputs(file)
    if parts is None:
        return None
    found = _Files()
    for table, files in parts.items():
        for part in files:
            if part.since_version > base:
                found.add(table, part)
            elif part.version > base:
                inner = _newer_parts(part, base, inputs)
                if inner is None:
                    return None
                found.update(inner)
    return found.by_table()


class _Files:
    """Files by table, each path once."""

    def __init__(self) -> None:
        self._files: dict[str, dict[str, LiveFile]] = {}

    def add(self, table: str, file: LiveFile) -> None:
        self._files.setdefault(table, {})[file.path] = file

    def update(self, files: FilesByTable) -> None:
        for table, found in files.items():
            for file in found:
                self.add(table, file)

    def has(self, file: LiveFile) -> bool:
        return any(file.path in found for found in self._files.values())

    def by_table(self) -> FilesByTable:
        return {table: tuple(found.values()) for table, found in self._files.items()}


def fold(state: Checkpoint, commit: Commit) -> Checkpoint:
    """Return the state after a commit.

    :param commit: the next one: its version is the state's and one more.
    """
    counts = commit.overtaken_by is None
    files = {table: {file.path: file for file in found} for table, found in state.by_table()}
    for table, found in commit.removes.items():
        for file in found:
            files.get(table, {}).pop(file.path, None)
    for added in (commit.restores, commit.files if counts else {}):
        for table, found in added.items():
            files.setdefault(table, {}).update({file.path: file for file in found})
    tables = {table: _table(found.values()) for table, found in files.items()}
    main = tables.pop("")
    queries, watermarks = dict(state.queries), dict(state.watermarks)
    if commit.kind != "compaction":
        key = key_of(commit.account_id, commit.query_id)
        queries[key] = _next_query(queries.get(key), commit)
        if commit.watermark:
            watermarks[key] = max(watermarks.get(key, commit.watermark), commit.watermark)
    return Checkpoint(
        resource=state.resource,
        version=commit.version,
        expired=max(state.expired, commit.expires),
        committed_at=commit.committed_at,
        rows=main.rows,
        bytes=main.bytes,
        files=main.files,
        tables=tables,
        watermarks=watermarks,
        queries=queries,
    )


def _table(files: Iterable[LiveFile]) -> TableState:
    found = tuple(files)
    return TableState(rows=sum(file.rows for file in found), bytes=sum(file.bytes for file in found), files=found)


def _next_query(before: QueryState | None, commit: Commit) -> QueryState:
    counts, is_read = commit.overtaken_by is None, commit.kind != "sweep"
    facts: dict[str, Any] = {}
    if commit.fields:
        facts["fields"] = commit.fields
    if is_read:
        facts |= {"relations": commit.relations, "keep_history": commit.keep_history}
    if counts and commit.watermark:
        facts["state"] = commit.state
    if counts and is_read:
        facts["refusals"] = _refusals(before, commit)
    if commit.kind != "window":
        known = before.searched_at if before else None
        facts["searched_at"] = max(commit.committed_at, known or commit.committed_at)
    if commit.kind == "full":
        full = FullRead(
            version=commit.version,
            base=commit.base,
            run_id=commit.run_id,
            window_end=commit.window_end,
            extracted_at=commit.extracted_at,
        )
        last = before.full if before else None
        facts["full"] = last if last and last.began > full.began else full
    if before is None:
        return QueryState(query=commit.query, extracted_at=commit.extracted_at, first_at=commit.committed_at, **facts)
    return msgspec.structs.replace(before, extracted_at=max(before.extracted_at, commit.extracted_at), **facts)


def _refusals(before: QueryState | None, commit: Commit) -> tuple[tuple[str, ...], ...]:
    """Return which relations were refused to the reads that live files come from; a full read begins anew."""
    known = before.refusals if before and commit.kind != "full" else ()
    return tuple(dict.fromkeys((*known, commit.relations.refused))) if commit.rows else known


def undo(files: FilesByTable, commit: Commit) -> FilesByTable:
    """Return the live files before a commit, of those after it."""
    before = {table: {file.path: file for file in found} for table, found in files.items()}
    for added in (commit.restores, commit.files):
        for table, found in added.items():
            for file in found:
                before.get(table, {}).pop(file.path, None)
    for table, found in commit.removes.items():
        before.setdefault(table, {}).update({file.path: file for file in found})
    return {table: tuple(found.values()) for table, found in before.items()}


def is_compactable(state: Checkpoint, removes: FilesByTable) -> bool:
    """Whether all files that a compaction has rewritten are still live."""
    live = {(table, file.path) for table, files in state.by_table() for file in files}
    return all((table, file.path) in live for table, files in removes.items() for file in files)
