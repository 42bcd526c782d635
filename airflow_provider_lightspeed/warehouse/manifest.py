"""Which files a warehouse has not loaded yet: explicit lists, commit by commit, from a dataset's log and checkpoint."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

import orjson
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_lightspeed.arrow.tables import MAIN
from airflow_provider_lightspeed.exceptions import StorageError
from airflow_provider_lightspeed.extract.plan import FIRST_PERIOD
from airflow_provider_lightspeed.lake.log import Log, oldest
from airflow_provider_lightspeed.lake.records import Checkpoint, Commit, LiveFile
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.resources.base import Strategy
from airflow_provider_lightspeed.resources.catalog import resource as resource_named

_NAME: Final = "_manifest.json"


@dataclass(frozen=True, slots=True)
class File:
    """A Parquet file.

    :param url: its full path; with a scheme where it is not on a local disk, without a connection's ID.
    """

    url: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Load:
    """One commit to load.

    :param whole: it holds everything there was.
    :param extracted_at: as on its rows.
    :param replaces_until: rows extracted up to this time are replaced by it, which are those that it had seen; ``None``: it
        replaces none.
    :param days: of a report: the first and the last day it was read for.
    :param files: by table; the resource's own one under the empty name.
    :param is_start: what the tables hold goes first: it is of commits that the log has forgotten.
    """

    resource: str
    commit: str
    account_id: str
    whole: bool
    window_start: datetime | None
    window_end: datetime
    extracted_at: datetime
    replaces_until: datetime | None
    rows: int
    days: tuple[date, date] | None
    files: Mapping[str, tuple[File, ...]]
    is_start: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """A dataset as a loader finds it.

    :param folder: the resource's folder as loaders write it: a local path, or a URL.
    :param checkpoint: the live state at the newest version.
    :param commits: the newest commits, oldest first, none missing between; older ones have expired.
    :param fs: the fsspec file system that it lies on.
    """

    folder: str
    checkpoint: Checkpoint
    commits: tuple[Commit, ...]
    fs: Any

    @property
    def is_local(self) -> bool:
        """Whether it lies on a local disk."""
        return isinstance(self.fs, LocalFileSystem)

    @property
    def scheme(self) -> str:
        """The scheme of its URLs."""
        return self.folder.partition("://")[0]

    @property
    def resource(self) -> str:
        """The resource's name."""
        return self.checkpoint.resource


def read_manifest(path: Any) -> Manifest:
    """Read a dataset: its checkpoint, and the commits of its log.

    :param path: the resource's folder, or the manifest itself: a local path, a URL that fsspec knows, or an Airflow
        ``ObjectStoragePath``.
    :raises InvalidArgument: field ``path``; it is empty, or of a form that file systems read differently.
    :raises StorageError: it cannot be read, is not there, or is not of this provider's format.
    """
    if hasattr(path, "fs") and hasattr(path, "path"):
        storage = Storage(path.fs, str(path.path).removesuffix(f"/{_NAME}"))
    else:
        storage = Storage.at(str(path).removesuffix(f"/{_NAME}"))
    fs, root = storage.fs, storage.root
    above, _, resource = root.rpartition("/")
    log = Log(Storage(fs, above), resource)
    tip = log.read()
    if not tip.state.version:
        msg = f"path: there is no {root}/{_NAME}; it is written by the first extract of the resource to that path"
        raise StorageError(msg, path=root)
    commits = tuple(log.entries(oldest(log.listing().entries) - 1))
    # A commit that came while they were read is for the next time.
    known = tuple(commit for commit in commits if commit.version <= tip.state.version)
    return Manifest(root if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol(root), tip.state, known, fs)


def new_loads(manifest: Manifest, loaded: Collection[str | None] = (), *, query: str | None = None) -> tuple[Load, ...]:
    """Return what a warehouse has to load to hold all that counts, oldest first.

    These are the commits behind the newest one that it has. One that is too far behind for the log, or has loaded another log,
    starts from the checkpoint: its tables are emptied first (``is_start``).

    :param loaded: IDs of commits that it has loaded (:func:`.loads.loaded`); the newest one decides.
    :param query: take the rows of this query alone (``query`` of a file in the manifest); default all.
    """
    newest = max((found for found in loaded if found), default=None)
    behind = None if newest is None else _behind(manifest, newest)
    if behind is None:
        return _start(manifest, query, is_again=newest is not None)
    return tuple(_load(manifest, commit) for commit in behind if query in (None, commit.query_id))


def _behind(manifest: Manifest, newest: str) -> list[Commit] | None:
    """Return the commits behind one; ``None`` if the log does not reach back to it."""
    version = int(number) if (number := newest.partition("-")[0]).isdigit() else 0
    behind = [commit for commit in manifest.commits if commit.version > version]
    known = next((commit.id for commit in manifest.commits if commit.version == version), newest)
    is_whole = not behind or behind[0].version == version + 1
    return behind if known == newest and is_whole and version <= manifest.checkpoint.version and version else None


def _start(manifest: Manifest, query: str | None, *, is_again: bool) -> tuple[Load, ...]:
    """Return the live files, as loads of the commits that published them.

    The last one has the ID of the newest commit, so that the next load goes on behind it.
    """
    found: dict[str, dict[str, list[LiveFile]]] = {}
    for table, files in manifest.checkpoint.by_table():
        for file in files:
            if query in (None, file.query):
                found.setdefault(file.commit, {}).setdefault(table, []).append(file)
    loads = [_load_of(manifest, commit, found[commit]) for commit in sorted(found)]
    last = manifest.commits[-1]
    if not loads or loads[-1].commit < last.id:
        empty = replace(_load(manifest, last), rows=0, files={}, whole=False, replaces_until=None, days=None)
        loads.append(empty)
    return tuple(replace(load, is_start=is_again) for load in loads)


def _load_of(manifest: Manifest, commit: str, files: Mapping[str, Sequence[LiveFile]]) -> Load:
    one = next(iter(files.values()))[0]
    return Load(
        resource=manifest.resource,
        commit=commit,
        account_id=one.account_id,
        whole=one.is_full,
        window_start=one.window_start,
        window_end=one.window_end,
        extracted_at=one.extracted_at,
        replaces_until=None,
        rows=sum(file.rows for file in files.get(MAIN, ())),
        days=_days(manifest.resource, one.window_start, one.window_end),
        files={table: _files(manifest, table, found) for table, found in files.items()},
    )


def _load(manifest: Manifest, commit: Commit) -> Load:
    # What a compaction has rewritten is loaded already, and what was overtaken does not count.
    counts = commit.kind != "compaction" and commit.overtaken_by is None
    files = commit.files if counts else {}
    return Load(
        resource=manifest.resource,
        commit=commit.id,
        account_id=commit.account_id,
        whole=counts and commit.kind == "full",
        window_start=commit.window_start,
        window_end=commit.window_end,
        extracted_at=commit.extracted_at,
        replaces_until=commit.replaces_until,
        rows=commit.rows if counts else 0,
        days=_days(manifest.resource, commit.window_start, commit.window_end) if counts else None,
        files={table: _files(manifest, table, found) for table, found in files.items()},
    )


def files_of(loads: Iterable[Load], table: str = MAIN) -> tuple[File, ...]:
    """Return the files of one of the resource's tables, in the order of the commits."""
    return tuple(file for load in loads for file in load.files.get(table, ()))


def _files(manifest: Manifest, table: str, files: Iterable[LiveFile]) -> tuple[File, ...]:
    folder = f"{manifest.folder}.{table}" if table else manifest.folder
    return tuple(File(f"{folder}/{file.path}", file.rows, file.bytes) for file in files)


def _days(resource: str, start: datetime | None, end: datetime) -> tuple[date, date] | None:
    """Return the days that a report was asked for, as the plan of its read has them."""
    if resource_named(resource).strategy is not Strategy.PERIOD:
        return None
    return (start or end - FIRST_PERIOD).date(), (end - timedelta(seconds=1)).date()


def copy_manifest(files: Iterable[File]) -> bytes:
    """Return the document that Redshift's ``COPY ... MANIFEST`` takes: these files, all of which must be there."""
    entries = [
        {"url": file.url, "mandatory": True, "meta": {"content_length": file.bytes}}  # Parquet needs the length
        for file in files
    ]
    return orjson.dumps({"entries": entries})
