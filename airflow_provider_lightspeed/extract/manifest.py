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

    Per account and query, of the commits of one run the one counts whose read began last; a try that was thought dead may
    commit after it. A whole read replaces what was there when it began (``saw``), windows read before it that were
    committed later, and whole reads that began before it and were committed after it.

    :param commits: in the order of their sequence.
    """
    groups: dict[tuple[str, str], list[Json]] = {}
    for commit in commits:
        groups.setdefault((commit["account_id"], commit["query"]), []).append(commit)
    replaced: dict[str, str] = {}
    for group in groups.values():
        last, wholes = last_tries(group), _wholes(group)
        for commit in group:
            later = last[commit["owner"]]
            if later is commit:
                later = wholes.get(commit["id"], commit)
            if later is not commit:
                replaced[commit["id"]] = max(commit["committed_at"], later["committed_at"])
    return replaced


def _wholes(group: Sequence[Json]) -> dict[str, Json]:
    """Return, by commit, the whole read that replaces it. One that was replaced itself does too: what it replaced may be deleted."""
    wholes = [commit for commit in group if commit["whole"]]
    newest: Json | None = None
    found: dict[str, Json] = {}
    for whole in wholes:
        # Of the same sequence: neither knew of the other, and what one has shown is not taken back.
        if newest is not None and newest["sequence"] < whole["sequence"] and _is_within(whole, newest):
            found[whole["id"]] = newest
        newest = max(newest or whole, whole, key=_began)
    for commit in group:
        if newest is not None and not commit["whole"] and _is_within(commit, newest):
            found[commit["id"]] = newest
    return found | {seen: whole for whole in wholes for seen in _seen(whole, group)}


def last_tries(commits: Iterable[Json]) -> dict[str, Json]:
    """Return, by run, its commit that counts as long as nothing replaces it: the one whose read began last."""
    return {commit["owner"]: commit for commit in sorted(commits, key=_began)}


def _began(commit: Json) -> tuple[str, int]:
    return commit.get("extracted_at") or "", commit["sequence"]


def _is_within(commit: Json, whole: Json) -> bool:
    """Whether a read holds nothing that a whole read has missed: it began later, and reached as far.

    Not of a log, which is followed beyond its window, nor of a sweep.
    """
    if commit.get("sweep") or commit.get("state") or not commit.get("extracted_at"):
        return False
    return _began(commit) < _began(whole) and bool(commit["window_end"] <= whole["window_end"])


def _seen(whole: Json, group: Sequence[Json]) -> Iterable[str]:
    """Return the ids of the commits that a whole read found when it began."""
    if "saw" in whole:
        found: list[str] = whole["saw"]
        return found
    return [commit["id"] for commit in group if commit["sequence"] < whole["sequence"]]


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
