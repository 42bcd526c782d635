"""The records of a dataset's log: commits, the files they show, and the checkpoint. Typed, immutable, JSON on disk. Pure.

No rule is here: which commit counts is in :mod:`.rules`, how the records are stored in :mod:`.log`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, Literal, TypeVar

import msgspec

from airflow_provider_lightspeed.exceptions import StorageError

#: The layout of log and checkpoint. Format 1 had ``_commits/`` instead of ``_log/``.
FORMAT: Final = 2

Kind = Literal["window", "full", "sweep", "compaction"]


class LiveFile(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A Parquet file of one table.

    :param path: below the table's folder.
    :param commit: the ID of the commit that published it.
    :param run_id: of the run that read its rows; ``""`` for the output of a compaction, which is of many.
    :param query: the fingerprint of the query that its rows answer.
    :param is_full: a full read published it.
    :param version: the newest version at which one of its rows was committed.
    :param oldest_version: the oldest one; 0: the same.
    :param extracted_at: when the newest read of its rows began.
    :param oldest_extracted_at: when the oldest one did; ``None``: the same.
    """

    path: str
    rows: int
    bytes: int
    row_groups: int = 1
    commit: str
    run_id: str = ""
    account_id: str
    query: str
    is_full: bool = False
    window_start: datetime | None = None
    window_end: datetime
    version: int
    oldest_version: int = 0
    extracted_at: datetime
    oldest_extracted_at: datetime | None = None

    @property
    def since_version(self) -> int:
        """The oldest version at which one of its rows was committed."""
        return self.oldest_version or self.version

    @property
    def since(self) -> datetime:
        """When the oldest read of its rows began."""
        return self.oldest_extracted_at or self.extracted_at


#: Files by table; the resource's own table has the empty name.
FilesByTable = Mapping[str, tuple[LiveFile, ...]]


class Query(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a run asks for, in the operator's words. Runs with the same query continue each other.

    :param salt: the fingerprint of the salt of hashed columns.
    """

    account: str
    resource: str
    relations: tuple[str, ...] = ()
    filters: dict[str, str] = {}
    columns: tuple[str, ...] | None = None
    excluded: tuple[str, ...] = ()
    hashed: tuple[str, ...] = ()
    salt: str | None = None
    naming: str = "source"
    layout: str = "nested"

    @property
    def fingerprint(self) -> str:
        """A short name of the query: 12 hex digits."""
        content = msgspec.json.encode([getattr(self, name) for name in self.__struct_fields__], order="sorted")
        return hashlib.sha256(content).hexdigest()[:12]


class ReadState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the next run continues from besides the watermark.

    :param last_key: the last key of a read that follows the keys.
    """

    last_key: int | None = None


class RelationNotes(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What reads have learned of the account's relations, as :class:`..extract.relations.Learned`."""

    refused: tuple[str, ...] = ()
    most: int | None = None
    page_size: int | None = None
    since: datetime | None = None
    missing: dict[str, int] = {}


class Commit(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag_field="format", tag=FORMAT):
    """One entry of the log. What it changes stands in it; folding it needs no other entry.

    :param version: its place in the log, from 1.
    :param base: the version that its read was planned on: it has seen this one and all before; 0: there was none.
    :param query_id: the fingerprint of ``query``.
    :param run_id: names the run, the same for all its tries.
    :param attempt_number: names the try.
    :param watermark: the end of the window, if later runs go on from there.
    :param state_before: what the run's read continued from.
    :param files: what it publishes, by table.
    :param removes: the live files that it supersedes, by table.
    :param restores: files that a compaction had rewritten, and that count again, by table.
    :param overtaken_by: the version of the commit because of which this one counts nothing; ``None``: it counts.
    :param extracted_at: when its read began, by the server's clock, but later than every read that it has seen.
    :param replaces_until: of a full read: rows extracted up to this time are those that it replaces.
    :param expires: from this commit on, entries up to that version may be deleted, and what they superseded.
    """

    version: int
    base: int
    id: str
    resource: str
    account_id: str
    query_id: str
    query: Query
    run_id: str
    attempt_number: str
    kind: Kind
    window_start: datetime | None = None
    window_end: datetime
    watermark: datetime | None = None
    state: ReadState = ReadState()
    state_before: ReadState = ReadState()
    schema: str = ""
    fields: tuple[str, ...] = ()
    relations: RelationNotes = RelationNotes()
    keep_history: bool = False
    rows: int = 0
    files: FilesByTable = {}
    removes: FilesByTable = {}
    restores: FilesByTable = {}
    overtaken_by: int | None = None
    extracted_at: datetime
    committed_at: datetime
    replaces_until: datetime | None = None
    expires: int = 0

    @property
    def began(self) -> tuple[int, datetime, int]:
        """What orders the beginnings of reads: one that saw more began later. The time orders those that saw the same."""
        return self.base, self.extracted_at, self.version


class RunNote(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag_field="format", tag=FORMAT):
    """What a run has to know of a commit of its own when it is run again, weeks later: its window, and where it began."""

    version: int
    base: int
    id: str
    account_id: str
    query_id: str
    window_start: datetime | None = None
    window_end: datetime
    moves_watermark: bool = False
    state_before: ReadState = ReadState()
    extracted_at: datetime

    @classmethod
    def of(cls, commit: Commit) -> RunNote:
        """Return the note of a commit."""
        names = ("version", "base", "id", "account_id", "query_id", "window_start", "window_end", "state_before", "extracted_at")  # fmt: skip
        facts = {name: getattr(commit, name) for name in names}
        return cls(moves_watermark=commit.watermark is not None, **facts)

    @property
    def began(self) -> tuple[int, datetime, int]:
        """As :attr:`Commit.began`."""
        return self.base, self.extracted_at, self.version


class FullRead(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The full read of a query that began last."""

    version: int
    base: int
    run_id: str
    window_end: datetime
    extracted_at: datetime

    @property
    def began(self) -> tuple[int, datetime, int]:
        """As :attr:`Commit.began`."""
        return self.base, self.extracted_at, self.version


class QueryState(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What the commits of one query have left to its next run.

    :param extracted_at: when the newest read began.
    :param first_at: when the first commit was made.
    :param searched_at: when everything was looked at last, by a sweep or a full read; ``None``: never.
    :param refusals: which relations were refused to each of the reads that live files come from, without repetition.
    """

    query: Query
    extracted_at: datetime
    first_at: datetime
    searched_at: datetime | None = None
    state: ReadState = ReadState()
    fields: tuple[str, ...] = ()
    relations: RelationNotes = RelationNotes()
    refusals: tuple[tuple[str, ...], ...] = ()
    full: FullRead | None = None
    keep_history: bool = False


class TableState(msgspec.Struct, frozen=True, kw_only=True):
    """The live files of one table."""

    rows: int
    bytes: int
    files: tuple[LiveFile, ...]


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, tag_field="format", tag=FORMAT):
    """The live state of a dataset at a version: ``_manifest.json``.

    :param version: the newest commit that it holds; 0: there is none.
    :param files: the live files of the resource's own table; ``rows`` and ``bytes`` are their sums.
    :param tables: those of its other tables.
    :param watermarks: by ``<account>/<query>``: the end of the last committed window.
    :param queries: by the same.
    :param expired: entries up to this version may be gone, and what they superseded.
    """

    resource: str
    version: int = 0
    expired: int = 0
    committed_at: datetime | None = None
    rows: int = 0
    bytes: int = 0
    files: tuple[LiveFile, ...] = ()
    tables: dict[str, TableState] = {}
    watermarks: dict[str, datetime] = {}
    queries: dict[str, QueryState] = {}

    def files_of(self, table: str) -> tuple[LiveFile, ...]:
        """Return the live files of a table; the resource's own has the empty name."""
        if not table:
            return self.files
        found = self.tables.get(table)
        return found.files if found else ()

    def readable_until(self, account_id: str) -> datetime | None:
        """Return when the newest commit of an account was made, or a later one of another; ``None``: it has none."""
        has_any = any(state.query.account == account_id for state in self.queries.values())
        return self.committed_at if has_any else None

    def by_table(self) -> Iterator[tuple[str, tuple[LiveFile, ...]]]:
        """Yield the tables with their live files, the resource's own one first."""
        yield "", self.files
        for table, found in self.tables.items():
            yield table, found.files


class TableManifest(msgspec.Struct, frozen=True, kw_only=True, tag_field="format", tag=FORMAT):
    """``_manifest.json`` in the folder of a table beside the resource's own, for readers of nothing else."""

    resource: str
    table: str
    version: int
    rows: int
    bytes: int
    files: tuple[LiveFile, ...]


Record = TypeVar("Record", bound=msgspec.Struct)


class _Heading(msgspec.Struct):
    format: int | None = None


def encode(record: msgspec.Struct) -> bytes:
    """Return a record as JSON."""
    return msgspec.json.encode(record)


def decode(content: bytes, kind: type[Record], path: str) -> Record:
    """Read a record back.

    :param path: names it in the error.
    :raises StorageError: it is no such record, or one of another layout.
    """
    try:
        heading = msgspec.json.decode(content, type=_Heading)
    except msgspec.DecodeError:
        msg = f"path: {path!r} is damaged: it is not a {kind.__name__.lower()} of this provider"
        raise StorageError(msg, path=path) from None
    if heading.format != FORMAT:
        msg = (
            f"path: {path!r} is of format {heading.format!r}, this release reads {FORMAT}. Use the release of the provider "
            "that wrote it, or extract into a new path"
        )
        raise StorageError(msg, path=path, format=heading.format)
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as error:
        msg = f"path: {path!r} is damaged: {error}"
        raise StorageError(msg, path=path) from None


def utc(moment: datetime) -> datetime:
    """Return a moment in UTC, so that texts sort as the moments do; a plain one, whatever class it is of."""
    plain = moment.astimezone(UTC)
    return datetime.combine(plain.date(), plain.time(), UTC)
