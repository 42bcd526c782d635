"""Publishes files so that readers see all of a run or none of it, and derives the manifest they read.

Layout below the dataset's path::

    Sale/part-<owner>-<attempt>-0.parquet   published under a name of its own
    Sale.SaleLines/part-...                 the same of another table of the resource
    Sale/_commits/<sequence>-<owner>-<attempt>.json   immutable; names the files of all tables: from here on they count
    Sale/_manifest.json                     all live files; derived from the commits, can be rebuilt
    Sale.SaleLines/_manifest.json           those of one table, for readers of nothing else
    _staging/Sale/<owner>/<attempt>/...     not yet published

A run that dies leaves staged or unnamed files, which only the same run (``owner``), tried again, sweeps away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import orjson

from airflow_provider_lightspeed.arrow.tables import MAIN
from airflow_provider_lightspeed.exceptions import StorageError
from airflow_provider_lightspeed.extract.commit import Commit
from airflow_provider_lightspeed.extract.history import History
from airflow_provider_lightspeed.extract.manifest import FORMAT, Json, derive, files_by_table, of_table, superseded
from airflow_provider_lightspeed.lake.storage import Storage

#: Superseded files stay so long: a reader may be on its way with the manifest of before.
KEEP_SUPERSEDED: Final = timedelta(hours=24)
#: Staged files that nobody has touched for so long belong to runs that are never tried again.
STALE: Final = timedelta(days=7)
#: Published files that no commit names belong to a dead try once they are so old; one that lives commits within seconds.
UNNAMED: Final = timedelta(minutes=15)
_REBUILDS: Final = 20


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

    def history(self, account_id: str, query: str) -> History:
        """Return the commits of one account and query."""
        mine = [found for found in self.commits() if (found["account_id"], found["query"]) == (account_id, query)]
        return History(mine)

    def paths(self, files: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
        """Return the full paths of files that a history names, by table."""
        return {
            table: [self._storage.path(f"{self.folder(table)}/{name}") for name in names]
            for table, names in files.items()
        }

    def folder(self, table: str = MAIN) -> str:
        """Return the folder of one of the resource's tables."""
        return f"{self._resource}.{table}" if table else self._resource

    def sweep(
        self,
        owner: str,
        now: datetime,
        *,
        tables: Iterable[str] = (MAIN,),
        keep: str | None = None,
        least_age: timedelta = UNNAMED,
    ) -> int:
        """Delete what dead tries of this run left: staged files and published ones that no commit names.

        :param least_age: of published files; a try that was thought dead may be about to name what it has just published.
        :param keep: a folder below the run's staging to leave alone.
        """
        leavings = self._storage.names(f"_staging/{self._resource}/{owner}")
        leavings = [name for name in leavings if keep is None or not name.startswith(f"{keep}/")]
        leavings += [
            name
            for name in self._unnamed(tables)
            if name.rsplit("/", 1)[1].startswith(f"part-{owner}-") and self._storage.age(name, now) >= least_age
        ]
        for name in leavings:
            self._storage.remove(name)
        if keep is None:
            self._storage.remove_folder(f"_staging/{self._resource}/{owner}")
        return len(leavings)

    def _unnamed(self, tables: Iterable[str]) -> list[str]:
        """Return the published files of some tables that no commit names."""
        named = {name for commit in self.commits() for name in self._files_of(commit)}
        found = (name for table in tables for name in self._storage.names(self.folder(table)))
        return [name for name in found if name.rsplit("/", 1)[1].startswith("part-") and name not in named]

    def _files_of(self, commit: Json) -> list[str]:
        """Return the names of a commit's files, of all tables."""
        return [
            f"{self.folder(table)}/{file['path']}" for table, files in files_by_table(commit).items() for file in files
        ]

    def sweep_stale(self, now: datetime, *, tables: Iterable[str] = (MAIN,)) -> int:
        """Delete what runs left that were never tried again, whosever they are."""
        folder = f"_staging/{self._resource}"
        runs: dict[str, list[str]] = {}
        for name in self._storage.names(folder):
            runs.setdefault(name.removeprefix(f"{folder}/").partition("/")[0], []).append(name)
        # One fresh file says that its run is alive: no need to ask for the age of all its others.
        dead = [found for found in runs.values() if all(self._storage.age(name, now) > STALE for name in found)]
        names = [name for found in dead for name in found]
        names += [name for name in self._unnamed(tables) if self._storage.age(name, now) > STALE]
        for name in names:
            self._storage.remove(name)
        return len(names)

    def publish(self, commit: Commit) -> Json:
        """Move the staged files to their place, write the commit, derive the manifests; return the commit's document."""
        tables = self._move(commit)
        document = self._append(commit, {**tables.pop(MAIN), "tables": tables})
        self.rebuild(commit.at)
        self._clear_staging(commit)
        return document

    def _append(self, commit: Commit, files: Json) -> Json:
        """Write the commit behind all others; return its document.

        Where another one has taken the same place meanwhile, this one moves on once: which of two reads was published
        first decides what counts (:func:`.manifest.overtaken`). Commits that share a place all the same count both.
        """
        document: Json = {}
        for _ in range(2):
            before = document.get("id")
            sequence = max((found["sequence"] for found in self.commits()), default=0) + 1
            document = {**commit.document(self._resource, sequence), **files}
            if before:
                document["saw"].append(before)
            self._check_published(document)
            name = f"{self._resource}/_commits/{document['id']}.json"
            self._storage.write(name, orjson.dumps(document, option=orjson.OPT_INDENT_2))
            if before:
                self._storage.remove(f"{self._resource}/_commits/{before}.json")
            place = f"{self._resource}/_commits/{sequence:08d}-"
            taken = [found for found in self._storage.names(f"{self._resource}/_commits") if found.startswith(place)]
            if taken in ([], [name]):
                break
        return document

    def _move(self, commit: Commit) -> dict[str, Json]:
        """Give the staged files names of their own; return what a commit says of each table that has some."""
        tables: dict[str, Json] = {}
        number = 0
        for table, stats in commit.files.items():
            files = []
            for file in stats:
                base = f"part-{commit.owner}-{commit.attempt}-{number}.parquet"
                number += 1
                staged = file.path.removeprefix(f"{self._storage.root}/")
                self._storage.move(staged, f"{self.folder(table)}/{base}")
                files.append({"path": base, "rows": file.rows, "bytes": file.bytes, "row_groups": file.row_groups})
            if files or table == MAIN:
                tables[table] = {"rows": sum(file.rows for file in stats), "files": files}
        return tables

    def _check_published(self, document: Json) -> None:
        """See that no other try has swept what is about to be named."""
        folders = {self.folder(table) for table, files in files_by_table(document).items() if files}
        present = {name for folder in folders for name in self._storage.names(folder)}
        gone = [name for name in self._files_of(document) if name not in present]
        if gone:
            msg = f"path: {self._storage.path(gone[0])!r} is gone: another try of this run has taken over; nothing was committed"
            raise StorageError(msg, path=gone[0])

    def _clear_staging(self, commit: Commit) -> None:
        """Delete what this run has staged, unless another try of it is at work, which sweeps when it ends."""
        self._storage.remove_folder(self.staging(commit.owner, commit.attempt))
        rest = self._storage.names(f"_staging/{self._resource}/{commit.owner}")
        if all(name.startswith(f"{self.journal(commit.owner)}/") for name in rest):
            self._storage.remove_folder(f"_staging/{self._resource}/{commit.owner}")

    def rebuild(self, now: datetime) -> Json:
        """Derive ``_manifest.json`` from the commits; repeat until no commit has appeared meanwhile."""
        for _ in range(_REBUILDS):
            commits = self.commits()
            manifest = derive(self._resource, commits)
            for table in manifest["tables"]:
                self._write_manifest(table, of_table(manifest, table))
            self._write_manifest(MAIN, manifest)
            if [commit["id"] for commit in self.commits()] == [commit["id"] for commit in commits]:
                written = self._manifest()
                if written and written.get("commits") == manifest["commits"]:
                    self._forget(commits, now)
                    return manifest
        msg = f"path: {self.manifest_path!r} is being rewritten by others all the time; the commit itself is safe"
        raise StorageError(msg, path=self.manifest_path)

    def _write_manifest(self, table: str, manifest: Json) -> None:
        content = orjson.dumps(manifest, option=orjson.OPT_INDENT_2)
        self._storage.write(f"{self.folder(table)}/_manifest.json", content)

    def _forget(self, commits: Sequence[Json], now: datetime) -> None:
        """Delete the files of commits that have been superseded for long; their documents stay."""
        replaced = superseded(commits)
        live = {name for commit in commits if commit["id"] not in replaced for name in self._files_of(commit)}
        old = {
            name
            for commit in commits
            if commit["id"] in replaced and now - datetime.fromisoformat(replaced[commit["id"]]) > KEEP_SUPERSEDED
            for name in self._files_of(commit)
        } - live
        for folder in {name.rsplit("/", 1)[0] for name in old}:
            for name in old.intersection(self._storage.names(folder)):
                self._storage.remove(name)
