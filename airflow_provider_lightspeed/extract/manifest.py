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
    """Return the ids of commits that no longer count, with the time since when.

    Per account and query, a commit replaces earlier ones of the same run. One of a whole read replaces those whose
    windows end no later, whichever was committed first: a read that began before it may end after it.
    """
    groups: dict[tuple[str, str], list[Json]] = {}
    for commit in sorted(commits, key=lambda found: (found["sequence"], found["id"])):
        groups.setdefault((commit["account_id"], commit["query"]), []).append(commit)
    replaced: dict[str, str] = {}
    for group in groups.values():
        last = {commit["owner"]: commit for commit in group}
        for commit in group:
            if commit is not last[commit["owner"]]:
                replaced[commit["id"]] = last[commit["owner"]]["committed_at"]
        # One that was replaced itself counts too: what it replaced may be deleted by now.
        wholes = [commit for commit in group if commit["whole"]]
        if not wholes:
            continue
        newest = max(wholes, key=_reach)
        for commit in last.values():
            if _reach(commit) < _reach(newest):
                replaced[commit["id"]] = max(commit["committed_at"], newest["committed_at"])
    return replaced


def _reach(commit: Json) -> tuple[str, int]:
    return commit["window_end"], commit["sequence"]


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
