"""Which files a warehouse has not loaded yet: explicit lists, commit by commit, from a dataset's manifest."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import orjson
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_lightspeed.arrow.tables import MAIN
from airflow_provider_lightspeed.exceptions import StorageError
from airflow_provider_lightspeed.extract.manifest import FORMAT, files_by_table, live_commits, seen_by
from airflow_provider_lightspeed.extract.plan import FIRST_PERIOD
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.resources.base import Strategy
from airflow_provider_lightspeed.resources.catalog import resource as resource_named

_NAME: Final = "_manifest.json"

Json = dict[str, Any]


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


@dataclass(frozen=True, slots=True)
class Manifest:
    """A dataset's manifest.

    :param folder: the resource's folder as loaders write it: a local path, or a URL.
    :param document: what ``_manifest.json`` holds.
    :param fs: the fsspec file system that it lies on.
    """

    folder: str
    document: Json
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
        return str(self.document["resource"])


def read_manifest(path: Any) -> Manifest:
    """Read a dataset's manifest.

    :param path: the resource's folder, or the manifest itself: a local path, a URL that fsspec knows, or an Airflow
        ``ObjectStoragePath``.
    :raises InvalidArgument: field ``path``; it is empty, or of a form that file systems read differently.
    :raises StorageError: it cannot be read, is not there, or is not of this provider's format.
    """
    if hasattr(path, "fs") and hasattr(path, "path"):
        storage = Storage(path.fs, str(path.path).removesuffix(f"/{_NAME}"))
    else:
        storage = Storage.at(str(path).removesuffix(f"/{_NAME}"))
    fs, root, content = storage.fs, storage.root, storage.read(_NAME)
    if content is None:
        msg = f"path: there is no {root}/{_NAME}; it is written by the first extract of the resource to that path"
        raise StorageError(msg, path=root)
    document = orjson.loads(content)
    if document.get("format") != FORMAT:
        msg = f"path: {root}/{_NAME} is of format {document.get('format')!r}, this release reads {FORMAT}"
        raise StorageError(msg, path=root)
    return Manifest(root if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol(root), document, fs)


def new_loads(manifest: Manifest, loaded: Collection[str] = (), *, query: str | None = None) -> tuple[Load, ...]:
    """Return the live commits that a warehouse has not loaded, oldest first.

    :param loaded: the commits it has loaded (:func:`.loads.loaded`).
    :param query: take the commits of this query alone (``query`` of a file in the manifest); default all.
    """
    live = live_commits(manifest.document["commits"])
    return tuple(
        _load(manifest, commit, live)
        for commit in live
        if commit["id"] not in loaded and query in (None, commit["query"])
    )


def files_of(loads: Iterable[Load], table: str = MAIN) -> tuple[File, ...]:
    """Return the files of one of the resource's tables, in the order of the commits."""
    return tuple(file for load in loads for file in load.files.get(table, ()))


def _load(manifest: Manifest, commit: Json, live: Sequence[Json]) -> Load:
    start, end = commit["window_start"], datetime.fromisoformat(commit["window_end"])
    window_start = datetime.fromisoformat(start) if start else None
    files = {
        table: _files(f"{manifest.folder}.{table}" if table else manifest.folder, found)
        for table, found in files_by_table(commit).items()
    }
    return Load(
        resource=manifest.resource,
        commit=commit["id"],
        account_id=commit["account_id"],
        whole=commit["whole"],
        window_start=window_start,
        window_end=end,
        extracted_at=_extracted_at(commit),
        replaces_until=replaces_until(commit, manifest.document["commits"], live),
        rows=commit["rows"],
        days=_days(manifest.resource, window_start, end),
        files=files,
    )


def _extracted_at(commit: Json) -> datetime:
    return datetime.fromisoformat(commit["extracted_at"] or commit["committed_at"])


def replaces_until(commit: Json, commits: Iterable[Json], live: Iterable[Json]) -> datetime | None:
    """Return the time up to which rows are replaced by a whole read: that of the newest commit that it had seen.

    A read begins later than all that it has seen (:class:`..extract.history.ReadStart`). One that it has not seen may have
    begun before that: then only what is older than that one is replaced.

    :param commits: all of the dataset.
    :param live: those that count.
    """
    if not commit["whole"]:
        return None
    mine = [each for each in commits if (each["account_id"], each["query"]) == (commit["account_id"], commit["query"])]
    seen = set(seen_by(commit, mine))
    until = max((_extracted_at(each) for each in mine if each["id"] in seen), default=None)
    if until is None:
        return None
    # None of those that count was seen by a whole read that counts: it would have replaced them.
    kept = [_extracted_at(each) for each in live if each in mine and each["id"] not in (commit["id"], *seen)]
    return min([until, *(moment - timedelta(microseconds=1) for moment in kept)])


def _files(folder: str, files: Iterable[Json]) -> tuple[File, ...]:
    return tuple(File(f"{folder}/{file['path']}", file["rows"], file["bytes"]) for file in files)


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
