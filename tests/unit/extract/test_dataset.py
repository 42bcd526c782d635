"""Publishing: all of a run or none of it, whatever dies in between, whoever else writes."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from airflow_provider_lightspeed.arrow.parquet import FileStats
from airflow_provider_lightspeed.arrow.tables import MAIN
from airflow_provider_lightspeed.exceptions import StorageError
from airflow_provider_lightspeed.extract.commit import Commit
from airflow_provider_lightspeed.extract.dataset import KEEP_SUPERSEDED, STALE, UNNAMED, Dataset
from airflow_provider_lightspeed.extract.window import Window
from airflow_provider_lightspeed.lake.storage import Storage
from tests.support.fakes import NOON


class Lake:
    """A dataset on a local disk, and a run's hand in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.storage = Storage.at(str(folder))
        self.dataset = Dataset(self.storage, "Sale")

    def stage(self, owner: str, attempt: str, content: bytes = b"rows") -> FileStats:
        name = f"{self.dataset.staging(owner, attempt)}/0.parquet"
        self.storage.write(name, content)
        return FileStats(self.storage.path(name), 5, len(content), 1, "schema")

    def commit(
        self, owner: str, attempt: str = "1", *, at: datetime = NOON, end: datetime = NOON, **options: Any
    ) -> dict[str, Any]:
        facts: dict[str, Any] = {"whole": False, "state": {}, "query": "q", "account_id": "7"} | options
        start = self.dataset.history(facts["account_id"], facts["query"]).begin(owner, at, whole=facts["whole"])
        facts |= {"extracted_at": start.extracted_at, "base_version": start.base_version, "saw": start.saw}
        made = Commit(
            owner=owner,
            attempt=attempt,
            window=Window(None, end, moves_watermark=options.pop("moves", True), origin="test"),
            files={MAIN: (self.stage(owner, attempt),)},
            schema="schema",
            at=at,
            **{key: value for key, value in facts.items() if key != "moves"},
        )
        return self.dataset.publish(made)

    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads((self.folder / "Sale" / "_manifest.json").read_bytes())
        return found

    def parts(self) -> set[str]:
        return {path.name for path in (self.folder / "Sale").glob("*.parquet")}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_manifest_names_exactly_the_committed_files(lake: Lake) -> None:
    """With their rows and bytes; staging is empty."""
    lake.commit("a")
    lake.commit("b")
    manifest = lake.manifest()
    assert {file["path"] for file in manifest["files"]} == lake.parts()
    assert (manifest["rows"], len(manifest["commits"])) == (10, 2)
    assert [path for path in (lake.folder / "_staging").rglob("*") if path.is_file()] == []


def test_second_try_replaces_the_first(lake: Lake) -> None:
    """A cleared task writes again: its older files no longer count."""
    lake.commit("a", "1")
    lake.commit("a", "2")
    assert [file["path"] for file in lake.manifest()["files"]] == ["part-a-2-0.parquet"]


def test_whole_read_replaces_all_before_it(lake: Lake) -> None:
    """Of the same account and query only."""
    lake.commit("a")
    lake.commit("b", query="other")
    lake.commit("c", whole=True)
    assert {file["path"] for file in lake.manifest()["files"]} == {"part-b-1-0.parquet", "part-c-1-0.parquet"}


def test_superseded_files_stay_for_readers_on_their_way(lake: Lake) -> None:
    """A day later they are deleted; their commits stay."""
    lake.commit("a", whole=True)
    lake.commit("b", whole=True)
    assert "part-a-1-0.parquet" in lake.parts()
    lake.commit("c", at=NOON + KEEP_SUPERSEDED + timedelta(hours=1))
    assert lake.parts() == {"part-b-1-0.parquet", "part-c-1-0.parquet"}
    assert len(lake.manifest()["commits"]) == 3


def test_dead_try_is_swept_by_its_own_run_only(lake: Lake) -> None:
    """Staged files and moved ones that no commit names."""
    lake.commit("a")
    lake.stage("a", "2")
    lake.stage("b", "1")
    lake.storage.write("Sale/part-a-2-0.parquet", b"moved, then killed")
    assert lake.dataset.sweep("a", datetime.now(UTC) + UNNAMED) == 2
    assert lake.parts() == {"part-a-1-0.parquet"}
    assert lake.storage.names("_staging/Sale/b") == ["_staging/Sale/b/1/0.parquet"]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"format": 99}', None])
def test_manifest_is_rebuilt_from_the_commits(lake: Lake, damage: bytes | None) -> None:
    """It is derived: lost, cut off or of another make, the next commit writes it anew."""
    lake.commit("a")
    if damage is None:
        (lake.folder / "Sale" / "_manifest.json").unlink()
    else:
        (lake.folder / "Sale" / "_manifest.json").write_bytes(damage)
    lake.commit("b")
    assert len(lake.manifest()["commits"]) == 2


def test_damaged_commit_is_an_error_and_no_loss(lake: Lake) -> None:
    """A commit is the truth: skipping one would drop its rows silently."""
    lake.commit("a")
    (lake.folder / "Sale" / "_commits" / "zz.json").write_bytes(b"{")
    with pytest.raises(StorageError, match=r"zz\.json"):
        lake.dataset.commits()


def test_commits_at_the_same_moment_are_all_in_the_manifest(lake: Lake) -> None:
    """Mapped tasks and backfills finish together."""
    threads = [threading.Thread(target=lake.commit, args=(f"run{number}",)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lake.dataset.rebuild(NOON)
    assert len(lake.manifest()["files"]) == len(lake.parts()) == 12


def test_watermark_is_of_its_account_and_query_and_backfills_do_not_move_it(lake: Lake) -> None:
    """The next run continues where the last of its kind ended."""
    day = timedelta(days=1)
    lake.commit("a", end=NOON)
    lake.commit("b", end=NOON + day, query="other")
    lake.commit("c", end=NOON + 2 * day, moves=False)
    assert lake.dataset.history("7", "q").watermark == NOON
    assert lake.dataset.history("7", "other").watermark == NOON + day
    assert lake.dataset.history("8", "q").watermark is None


def test_cleared_run_finds_its_own_window_and_the_state_before_it(lake: Lake) -> None:
    """So that trying again reads the same, not the time since."""
    lake.commit("a", end=NOON, state={"last_key": 10})
    lake.commit("b", end=NOON + timedelta(days=1), state={"last_key": 20})
    assert lake.dataset.history("7", "q").state_before("b") == {"last_key": 10}
    assert lake.dataset.history("7", "q").state_before("c") == {"last_key": 20}
    window = lake.dataset.history("7", "q").window_of("a")
    assert window is not None
    assert window.end == NOON
    assert lake.dataset.history("7", "q").window_of("c") is None


def test_what_nobody_takes_up_is_swept_after_a_week(lake: Lake) -> None:
    """Runs that were never tried again leave staged files; other runs' newer ones are theirs."""
    old, new = lake.stage("dead", "1"), lake.stage("alive", "1")
    now = datetime.now(UTC)
    week_ago = (now - STALE - timedelta(minutes=1)).timestamp()
    os.utime(old.path, (week_ago, week_ago))
    assert lake.dataset.sweep_stale(now) == 1
    assert (Path(old.path).exists(), Path(new.path).exists()) == (False, True)
