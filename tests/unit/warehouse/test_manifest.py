"""Which files are still to load: explicit lists with full paths, from manifests as extracts write them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import fsspec
import pytest

from airflow_provider_lightspeed.exceptions import StorageError
from airflow_provider_lightspeed.warehouse.manifest import copy_manifest, files_of, new_loads, read_manifest


def commit(number: int, *, resource: str = "Sale", **facts: Any) -> dict[str, Any]:
    """Return a commit's document; ``number`` stands for its place, and for the hour it was read."""
    at = f"2026-03-01T{number:02d}:00:00+00:00"
    return {
        "format": 1,
        "id": f"{number:08d}-run{number}-1",
        "sequence": number,
        "resource": resource,
        "account_id": "7",
        "query": "q",
        "owner": f"run{number}",
        "attempt": "1",
        "window_start": None,
        "window_end": at,
        "watermark": at,
        "whole": False,
        "extracted_at": at,
        "committed_at": at,
        "rows": 2,
        "files": [{"path": f"part-{number}.parquet", "rows": 2, "bytes": 100}],
        "tables": {},
    } | facts


def manifest(folder: Path, *commits: dict[str, Any], resource: str = "Sale") -> Path:
    """Write a manifest as the extract does."""
    (folder / resource).mkdir()
    document = {"format": 1, "resource": resource, "commits": list(commits), "files": [], "tables": {}}
    (folder / resource / "_manifest.json").write_text(json.dumps(document))
    return folder / resource


def test_new_commits_oldest_first_with_full_paths(tmp_path: Path) -> None:
    """Of every table; those that are loaded are left out."""
    lines = {"SaleLines": {"rows": 3, "files": [{"path": "part-l.parquet", "rows": 3, "bytes": 9}]}}
    folder = manifest(tmp_path, commit(1), commit(2, tables=lines), commit(3))
    first, second, third = new_loads(read_manifest(str(folder)))
    assert [load.commit for load in (first, second, third)] == [f"0000000{n}-run{n}-1" for n in (1, 2, 3)]
    assert [file.url for file in files_of([first, second])] == [f"{folder}/part-1.parquet", f"{folder}/part-2.parquet"]
    assert [file.url for file in files_of([first, second], "SaleLines")] == [f"{folder}.SaleLines/part-l.parquet"]
    assert (second.account_id, second.rows, second.extracted_at) == ("7", 2, datetime(2026, 3, 1, 2, tzinfo=UTC))
    assert new_loads(read_manifest(str(folder)), {first.commit, third.commit}) == (second,)


def test_superseded_commits_are_not_loaded(tmp_path: Path) -> None:
    """Their files may be deleted; the whole read that replaced them says so of itself, be it empty."""
    folder = manifest(tmp_path, commit(1), commit(2, whole=True, files=[], rows=0), commit(3))
    loads = new_loads(read_manifest(str(folder)))
    assert [(load.commit[:8], load.whole) for load in loads] == [("00000002", True), ("00000003", False)]
    assert [file.url for file in files_of(loads)] == [f"{folder}/part-3.parquet"]


def test_one_query_of_several(tmp_path: Path) -> None:
    """A dataset that was read with other relations before has commits of both."""
    folder = manifest(tmp_path, commit(1, query="old"), commit(2, query="new"))
    assert len(new_loads(read_manifest(str(folder)))) == 2
    assert [load.commit[:8] for load in new_loads(read_manifest(str(folder)), query="new")] == ["00000002"]


def test_reports_say_which_days_they_cover(tmp_path: Path) -> None:
    """As they were asked for: whole days, the last one that of the window's last second."""
    name = "ReportsAccountingTaxesByDay"
    known = commit(1, resource=name, window_start="2026-02-27T18:00:00+00:00", window_end="2026-03-01T00:00:00+00:00")
    folder = manifest(tmp_path, known, commit(2, resource=name), resource=name)
    first, second = new_loads(read_manifest(str(folder)))
    assert first.days == (date(2026, 2, 27), date(2026, 2, 28))
    assert second.days == (date(2026, 1, 30), date(2026, 3, 1))
    (tmp_path / "other").mkdir()
    (sale,) = new_loads(read_manifest(str(manifest(tmp_path / "other", commit(1)))))
    assert sale.days is None


def test_any_way_to_name_it(tmp_path: Path) -> None:
    """A folder, the manifest itself, a URL."""
    folder = manifest(tmp_path, commit(1))
    for path in (
        folder,
        f"{folder}/",
        f"{folder}/_manifest.json",
        f"file://{folder}",
    ):
        (load,) = new_loads(read_manifest(path))
        assert [file.url for file in files_of([load])] == [f"{folder}/part-1.parquet"]


def test_urls_of_a_bucket() -> None:
    """With the scheme of the store."""
    memory = fsspec.filesystem("memory")
    memory.pipe(
        "/lake/Sale/_manifest.json", json.dumps({"format": 1, "resource": "Sale", "commits": [commit(1)]}).encode()
    )
    (load,) = new_loads(read_manifest("memory://lake/Sale"))
    (file,) = files_of([load])
    assert file.url == "memory:///lake/Sale/part-1.parquet"
    with fsspec.open("memory://lake/Sale/_manifest.json") as found:
        assert found.read()


def test_copy_manifest_names_each_file_with_its_length(tmp_path: Path) -> None:
    """As Redshift wants it of Parquet; a file that is missing is an error there."""
    (load,) = new_loads(read_manifest(manifest(tmp_path, commit(1))))
    entry = {"url": f"{tmp_path}/Sale/part-1.parquet", "mandatory": True, "meta": {"content_length": 100}}
    assert json.loads(copy_manifest(files_of([load]))) == {"entries": [entry]}


def test_a_manifest_that_is_not_there(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(StorageError, match=r"Sale/_manifest\.json"):
        read_manifest(tmp_path / "Sale")


def test_a_manifest_of_another_format(tmp_path: Path) -> None:
    """It is not guessed at."""
    folder = manifest(tmp_path)
    (folder / "_manifest.json").write_text('{"format": 2}')
    with pytest.raises(StorageError, match="format 2"):
        read_manifest(folder)


def test_whole_read_replaces_up_to_the_newest_commit_that_it_had_seen(tmp_path: Path) -> None:
    """Whatever its own time says; a commit that it had not seen stays, also one that began earlier."""
    names = [f"0000000{number}-run{number}-1" for number in range(1, 6)]
    full: dict[str, Any] = {"whole": True, "base_version": 2}
    seen: dict[str, Any] = {"base_version": 0, "saw": []}
    folder = manifest(
        tmp_path,
        commit(1, **seen),
        commit(3, **seen),
        commit(4, **full, saw=[names[0], names[2]]),
        commit(5, whole=True, base_version=0, saw=[]),
    )
    loads = {load.commit: load for load in new_loads(read_manifest(str(folder)))}
    assert loads[names[3]].replaces_until == datetime(2026, 3, 1, 3, tzinfo=UTC)
    assert loads[names[4]].replaces_until is None
    early = commit(4, id=names[1], base_version=0, saw=[], extracted_at="2026-03-01T02:00:00+00:00", sweep=True)
    (tmp_path / "two").mkdir()
    folder = manifest(
        tmp_path / "two", commit(1, **seen), commit(3, **seen), early, commit(5, **full, saw=[names[0], names[2]])
    )
    loads = {load.commit: load for load in new_loads(read_manifest(str(folder)))}
    assert loads[names[4]].replaces_until == datetime(2026, 3, 1, 1, 59, 59, 999999, tzinfo=UTC)
