"""What commits say together: which of them count, and which files are live. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from airflow_provider_lightspeed.arrow.tables import MAIN

FORMAT: Final = 1

Json = dict[str, Any]


def files_by_table(commit: Json) -> dict[str, list[Json]]:
    """Return what a commit's document says of its files, by table."""
    tables = commit.get("tables", {})
    return {MAIN: commit["files"], **{table: found["files"] for table, found in tables.items()}}


def superseded(commits: Iterable[Json]) -> dict[str, str]:
    """Return the ids of commits that do not count, with the time since when.

    Per account and query, a read replaces what it had seen when it began (``saw``): a whole read all that was live, another
    one the earlier commits of its own run. What a read has not seen it leaves alone. A commit that was overtaken never
    counts (:func:`overtaken`). A commit that does not count any more still replaces what it had seen, whose files may be
    deleted.

    :param commits: in the order of their sequence.
    """
    replaced: dict[str, str] = {}
    for group in _groups(commits):
        by_id = {commit["id"]: commit for commit in group}
        pairs = [(by_id[seen], commit) for commit in group for seen in seen_by(commit, group) if seen in by_id]
        for earlier, later in [*pairs, *((by_id[late], later) for late, later in overtaken(group).items())]:
            since = max(earlier["committed_at"], later["committed_at"])
            replaced.setdefault(earlier["id"], since)
    return replaced


def overtaken(commits: Iterable[Json]) -> dict[str, Json]:
    """Return the ids of commits that came too late to count, each with the commit that was published before it.

    That one's read began later, neither had seen the other, and it holds all that the late one can tell: it is of the same
    run (a try that was thought dead goes on beside the next one), or reads everything. The late one was never shown, so
    nothing is taken back.

    :param commits: in the order of their sequence.
    """
    found: dict[str, Json] = {}
    for group in _groups(commits):
        for place, commit in enumerate(group):
            for other in reversed(group[:place]):
                if other["sequence"] <= _base_version(commit):
                    break
                if other["sequence"] < commit["sequence"] and _began(other) > _began(commit) and _holds(other, commit):
                    found[commit["id"]] = other
                    break
    return found


def _groups(commits: Iterable[Json]) -> Iterable[list[Json]]:
    groups: dict[tuple[str, str], list[Json]] = {}
    for commit in commits:
        groups.setdefault((commit.get("account_id", ""), commit.get("query", "")), []).append(commit)
    return groups.values()


def _base_version(commit: Json) -> int:
    """Return the newest version that a commit had seen; the first format did not say: all before it."""
    return int(commit.get("base_version", commit["sequence"] - 1))


def _began(commit: Json) -> tuple[int, str, int]:
    """Return what orders the beginnings of reads: one that saw more began later.

    The time orders only those that saw the same, and no commit is before one that it has seen.
    """
    return _base_version(commit), commit.get("extracted_at") or "", commit["sequence"]


def _holds(other: Json, commit: Json) -> bool:
    """Whether a read holds all that another one, which began before it, can tell.

    Not of a log, which is followed beyond its window, nor of a sweep.
    """
    if other["owner"] == commit["owner"]:
        return True
    if not other["whole"] or commit.get("sweep") or commit.get("state"):
        return False
    return bool(commit["window_end"] <= other["window_end"])


def seen_by(commit: Json, group: Sequence[Json]) -> Iterable[str]:
    """Return the ids of the commits that a read had seen, and replaces.

    :param group: the commits of the same account and query.
    """
    if "base_version" in commit:
        found: list[str] = commit["saw"]
        return found
    earlier = (other for other in group if other["sequence"] < commit["sequence"])
    return [other["id"] for other in earlier if commit["whole"] or other["owner"] == commit["owner"]]


def live_commits(commits: Sequence[Json]) -> list[Json]:
    """Return the commits that count, oldest first."""
    replaced = superseded(commits)
    return [commit for commit in commits if commit["id"] not in replaced]


def derive(resource: str, commits: Sequence[Json]) -> Json:
    """Return the manifest: the live files of all tables, the watermarks, and the commits themselves."""
    live = live_commits(commits)
    names = dict.fromkeys(table for commit in commits for table in files_by_table(commit))
    tables = {table: _live_files(live, table) for table in names}
    watermarks: dict[str, str] = {}
    for commit in commits:
        if commit["watermark"]:
            key = f"{commit['account_id']}/{commit['query']}"
            watermarks[key] = max(watermarks.get(key, ""), commit["watermark"])
    return {
        "format": FORMAT,
        "resource": resource,
        **tables.pop(MAIN, _live_files((), MAIN)),
        "tables": tables,
        "watermarks": watermarks,
        "commits": list(commits),
    }


def of_table(manifest: Json, table: str) -> Json:
    """Return the manifest of one table, for readers of nothing else."""
    heading = {"format": FORMAT, "resource": manifest["resource"], "table": table}
    return {**heading, **manifest["tables"][table]}


def _live_files(live: Iterable[Json], table: str) -> Json:
    files = [
        {
            **file,
            "commit": commit["id"],
            **{key: commit[key] for key in ("account_id", "query", "window_start", "window_end")},
        }
        for commit in live
        for file in files_by_table(commit).get(table, ())
    ]
    return {
        "rows": sum(file["rows"] for file in files),
        "bytes": sum(file["bytes"] for file in files),
        "files": files,
    }
