"""Publishes files so that readers see all of a run or none of it, and derives the manifest they read.

Layout below the dataset's path::

    Sale/part-<owner>-<attempt>-0.parquet   published under a name of its own
    Sale/_commits/<sequence>-<owner>-<attempt>.json   immutable; names the files: from here on they count
    Sale/_manifest.json                     all live files; derived from the commits, can be rebuilt
    _staging/Sale/<owner>/<attempt>/...     not yet published

A run that dies leaves staged or unnamed files, which only the same run (``owner``), tried again, sweeps away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from airflow_provider_lightspeed.arrow.parquet import FileStats
from airflow_provider_lightspeed.exceptions import StorageError
from airflow_provider_lightspeed.extract.storage import Storage
from airflow_provider_lightspeed.extract.window import Window

FORMAT: Final = 1
#: Superseded files stay so long: a reader may be on its way with the manifest of before.
KEEP_SUPERSEDED: Final = timedelta(hours=24)
#: Staged files that nobody has touched for so long belong to runs that are never tried again.
STALE: Final = timedelta(days=7)
_REBUILDS: Final = 20

Json = dict[str, Any]


def owner_of(run_key: str) -> str:
    """Return a short name of a run (dag, task, run, map index): the same for all its tries."""
    return hashlib.sha256(run_key.encode()).hexdigest()[:12]


def fingerprint(query: Mapping[str, Any]) -> str:
    """Return a short name of what is read (account, relations, filters, columns): windows tile per fingerprint."""
    return hashlib.sha256(orjson.dumps(query, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Commit:
    """What a run is about to publish.

    :param whole: it holds everything there is (a full read, a snapshot) and so supersedes all earlier commits.
    :param state: what the next run continues from besides the watermark, such as the last key of an append read.
    :param extracted_at: the server's time when the read began.
    """

    account_id: str
    query: str
    owner: str
    attempt: str
    window: Window
    whole: bool
    files: tuple[FileStats, ...]
    schema: str
    at: datetime
    state: Mapping[str, Any]
    extracted_at: datetime | None = None


class Dataset:
    """One resource's folder."""

    def __init__(self, storage: Storage, resource: str) -> None:
        self._storage = storage
        self._resource = resource

    @property
    def manifest_path(self) -> str:
        """The manifest's full path."""
        return self._storage.path(f"{self._resource}/_manifest.json")

    def staging(self, owner: str, attempt: str) -> str:
        """Return the staging folder of one try."""
        return f"_staging/{self._resource}/{owner}/{attempt}"

    def journal(self, owner: str) -> str:
        """Return the folder in which a run stores what it has read so far."""
        return f"_staging/{self._resource}/{owner}/journal"

    def commits(self) -> list[Json]:
        """Return all commits, oldest first. The manifest caches them; only new ones are read one by one."""
        cached = {commit["id"]: commit for commit in (self._manifest() or {}).get("commits", [])}
        found = []
        for name in self._storage.names(f"{self._resource}/_commits"):
            if not name.endswith(".json"):
                continue
            key = name.rsplit("/", 1)[1].removesuffix(".json")
            if key in cached:
                found.append(cached[key])
                continue
            content = self._storage.read(name)
            if content is not None:
                found.append(self._decode(name, content))
        return sorted(found, key=lambda commit: (commit["sequence"], commit["id"]))

    def _manifest(self) -> Json | None:
        content = self._storage.read(f"{self._resource}/_manifest.json")
        try:
            return self._decode("_manifest.json", content) if content else None
        except StorageError:
            # Derived, so a damaged one is rebuilt from the commits.
            return None

    def _decode(self, name: str, content: bytes) -> Json:
        try:
            found = orjson.loads(content)
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            msg = f"path: {self._storage.path(name)!r} is not a file of this provider's format {FORMAT}"
            raise StorageError(msg, path=name)
        return found

    def watermark(self, account_id: str, query: str) -> datetime | None:
        """Return the end of the last committed window that moves the watermark, for one account and query."""
        marks = [
            commit["watermark"]
            for commit in self.commits()
            if commit["watermark"] and (commit["account_id"], commit["query"]) == (account_id, query)
        ]
        return datetime.fromisoformat(max(marks)) if marks else None

    def state(self, account_id: str, query: str, owner: str) -> Json:
        """Return what the newest commit before this run's own first one left to continue from."""
        before: Json = {}
        for commit in self.commits():
            if (commit["account_id"], commit["query"]) != (account_id, query):
                continue
            if commit["owner"] == owner:
                break
            if commit["watermark"]:
                before = dict(commit["state"])
        return before

    def committed_by(self, owner: str, account_id: str, query: str) -> Window | None:
        """Return the window that this very run committed before, if it did."""
        for commit in reversed(self.commits()):
            if (commit["owner"], commit["account_id"], commit["query"]) == (owner, account_id, query):
                start = commit["window_start"]
                return Window(
                    datetime.fromisoformat(start) if start else None,
                    datetime.fromisoformat(commit["window_end"]),
                    moves_watermark=bool(commit["watermark"]),
                )
        return None

    def has_committed(self, owner: str, extracted_at: datetime) -> bool:
        """Whether this very run has committed the read that began at that time."""
        began = _iso(extracted_at)
        return any(commit["owner"] == owner and commit.get("extracted_at") == began for commit in self.commits())

    def sweep(self, owner: str, *, keep: str | None = None) -> int:
        """Delete what dead tries of this run left: staged files and published ones that no commit names.

        :param keep: a folder below the run's staging to leave alone.
        """
        leavings = self._storage.names(f"_staging/{self._resource}/{owner}")
        leavings = [name for name in leavings if keep is None or not name.startswith(f"{keep}/")]
        named = {file["path"] for commit in self.commits() for file in commit["files"]}
        for name in self._storage.names(self._resource):
            base = name.rsplit("/", 1)[1]
            if base.startswith(f"part-{owner}-") and base not in named:
                leavings.append(name)
        for name in leavings:
            self._storage.remove(name)
        if keep is None:
            self._storage.remove_folder(f"_staging/{self._resource}/{owner}")
        return len(leavings)

    def sweep_stale(self, now: datetime) -> int:
        """Delete what runs left that were never tried again, whosever they are."""
        folder = f"_staging/{self._resource}"
        runs: dict[str, list[str]] = {}
        for name in self._storage.names(folder):
            runs.setdefault(name.removeprefix(f"{folder}/").partition("/")[0], []).append(name)
        # One fresh file says that its run is alive: no need to ask for the age of all its others.
        dead = [found for found in runs.values() if all(self._storage.age(name, now) > STALE for name in found)]
        names = [name for found in dead for name in found]
        for name in names:
            self._storage.remove(name)
        return len(names)

    def publish(self, commit: Commit) -> Json:
        """Move the staged files to their place, write the commit, derive the manifest; return the commit's document."""
        files = []
        for number, file in enumerate(commit.files):
            base = f"part-{commit.owner}-{commit.attempt}-{number}.parquet"
            staged = file.path.removeprefix(f"{self._storage.root}/")
            self._storage.move(staged, f"{self._resource}/{base}")
            files.append({"path": base, "rows": file.rows, "bytes": file.bytes, "row_groups": file.row_groups})
        earlier = self.commits()
        sequence = max((found["sequence"] for found in earlier), default=0) + 1
        document: Json = {
            "format": FORMAT,
            "id": f"{sequence:08d}-{commit.owner}-{commit.attempt}",
            "sequence": sequence,
            "resource": self._resource,
            "account_id": commit.account_id,
            "query": commit.query,
            "owner": commit.owner,
            "attempt": commit.attempt,
            "window_start": _iso(commit.window.start),
            "window_end": _iso(commit.window.end),
            "watermark": _iso(commit.window.end) if commit.window.moves_watermark else None,
            "whole": commit.whole,
            "state": dict(commit.state),
            "schema": commit.schema,
            "extracted_at": _iso(commit.extracted_at),
            "committed_at": _iso(commit.at),
            "rows": sum(file.rows for file in commit.files),
            "files": files,
        }
        self._storage.write(
            f"{self._resource}/_commits/{document['id']}.json", orjson.dumps(document, option=orjson.OPT_INDENT_2)
        )
        self.rebuild(commit.at)
        self._storage.remove_folder(f"_staging/{self._resource}/{commit.owner}")
        return document

    def rebuild(self, now: datetime) -> Json:
        """Derive ``_manifest.json`` from the commits; repeat until no commit has appeared meanwhile."""
        for _ in range(_REBUILDS):
            commits = self.commits()
            manifest = self._derive(commits)
            self._storage.write(f"{self._resource}/_manifest.json", orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
            if [commit["id"] for commit in self.commits()] == [commit["id"] for commit in commits]:
                written = self._manifest()
                if written and written.get("commits") == manifest["commits"]:
                    self._forget(commits, now)
                    return manifest
        msg = f"path: {self.manifest_path!r} is being rewritten by others all the time; the commit itself is safe"
        raise StorageError(msg, path=self.manifest_path)

    def _derive(self, commits: Sequence[Json]) -> Json:
        live = live_commits(commits)
        files = [
            {
                **file,
                "commit": commit["id"],
                **{key: commit[key] for key in ("account_id", "window_start", "window_end")},
            }
            for commit in live
            for file in commit["files"]
        ]
        watermarks: dict[str, str] = {}
        for commit in commits:
            if commit["watermark"]:
                key = f"{commit['account_id']}/{commit['query']}"
                watermarks[key] = max(watermarks.get(key, ""), commit["watermark"])
        return {
            "format": FORMAT,
            "resource": self._resource,
            "rows": sum(file["rows"] for file in files),
            "bytes": sum(file["bytes"] for file in files),
            "watermarks": watermarks,
            "files": files,
            "commits": list(commits),
        }

    def _forget(self, commits: Sequence[Json], now: datetime) -> None:
        """Delete the files of commits that have been superseded for long; their documents stay."""
        replaced = superseded(commits)
        old = {
            f"{self._resource}/{file['path']}"
            for commit in commits
            if commit["id"] in replaced and now - datetime.fromisoformat(replaced[commit["id"]]) > KEEP_SUPERSEDED
            for file in commit["files"]
        }
        if old:
            for name in old.intersection(self._storage.names(self._resource)):
                self._storage.remove(name)


def superseded(commits: Iterable[Json]) -> dict[str, str]:
    """Return the ids of commits that no longer count, with the time when they were replaced.

    Per account and query, a commit replaces earlier ones of the same run; one of a whole read replaces all.
    """
    replaced: dict[str, str] = {}
    earlier: list[Json] = []
    for commit in commits:
        for found in earlier:
            same = (found["account_id"], found["query"]) == (commit["account_id"], commit["query"])
            if same and (commit["whole"] or found["owner"] == commit["owner"]):
                replaced.setdefault(found["id"], commit["committed_at"])
        earlier = [found for found in earlier if found["id"] not in replaced]
        earlier.append(commit)
    return replaced


def live_commits(commits: Sequence[Json]) -> list[Json]:
    """Return the commits that count, oldest first."""
    replaced = superseded(commits)
    return [commit for commit in commits if commit["id"] not in replaced]


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
