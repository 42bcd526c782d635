"""Publishing: all of a run or none of it, whatever dies in between, whoever else writes."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import orjson
import pytest

from airflow_provider_lightspeed.arrow.parquet import FileStats
from airflow_provider_lightspeed.arrow.tables import MAIN
from airflow_provider_lightspeed.exceptions import StorageError
from airflow_provider_lightspeed.extract.history import History
from airflow_provider_lightspeed.lake.dataset import STALE, UNNAMED, Dataset
from airflow_provider_lightspeed.lake.log import KEEP
from airflow_provider_lightspeed.lake.records import Commit, Query, ReadState
from airflow_provider_lightspeed.lake.storage import Storage
from tests.support.fakes import NOON
from tests.support.lake import draft_of

SALES = Query(account="7", resource="Sale")
PAID = Query(account="7", resource="Sale", relations=("SalePayments",))


class Lake:
    """A dataset on a local disk, and a run's hand in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.storage = Storage.at(str(folder))
        self.dataset = Dataset(self.storage, "Sale")

    def stage(self, run: str, attempt: str, content: bytes = b"rows") -> FileStats:
        name = f"{self.dataset.staging(run, attempt)}/0.parquet"
        self.storage.write(name, content)
        return FileStats(self.storage.path(name), 5, len(content), 1, "schema")

    def commit(
        self, run: str, attempt: str = "1", *, at: datetime = NOON, query: Query = SALES, **facts: Any
    ) -> Commit:
        start = self.history(run, query).begin(at)
        files = {MAIN: (self.stage(run, attempt),)}
        known = {
            "extracted_at": start.extracted_at,
            "base": start.base_version,
            "base_extracted_at": start.base_extracted_at,
        }
        return self.dataset.publish(draft_of(run, attempt, files, query=query, committed_at=at, **known | facts))

    def history(self, run: str = "", query: Query = SALES) -> History:
        return History.of(self.dataset, query, run)

    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads((self.folder / "Sale" / "_manifest.json").read_bytes())
        return found

    def parts(self) -> set[str]:
        return {path.name for path in (self.folder / "Sale").glob("*.parquet")}

    def log(self) -> set[str]:
        return {path.name for path in (self.folder / "Sale" / "_log").iterdir()}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_manifest_names_exactly_the_committed_files(lake: Lake) -> None:
    """With their rows and bytes; staging is empty."""
    lake.commit("a")
    lake.commit("b")
    manifest = lake.manifest()
    assert {file["path"] for file in manifest["files"]} == lake.parts()
    assert (manifest["rows"], manifest["version"]) == (10, 2)
    assert [file["rows"] for file in manifest["files"]] == [5, 5]
    assert [path for path in (lake.folder / "_staging").rglob("*") if path.is_file()] == []


def test_second_try_replaces_the_first(lake: Lake) -> None:
    """A cleared task writes again: its older files no longer count."""
    lake.commit("a", "1")
    lake.commit("a", "2")
    assert [file["path"] for file in lake.manifest()["files"]] == ["part-a-2-0.parquet"]


def test_full_read_replaces_all_before_it(lake: Lake) -> None:
    """Of the same account and query only."""
    lake.commit("a")
    lake.commit("b", query=PAID)
    lake.commit("c", kind="full")
    assert {file["path"] for file in lake.manifest()["files"]} == {"part-b-1-0.parquet", "part-c-1-0.parquet"}


def test_superseded_files_and_entries_stay_a_day(lake: Lake) -> None:
    """For readers on their way and loaders; then both are deleted, and the state is the same without them."""
    lake.commit("a", kind="full")
    lake.commit("b", kind="full", at=NOON + timedelta(hours=1))
    assert "part-a-1-0.parquet" in lake.parts()
    lake.commit("c", at=NOON + KEEP + timedelta(minutes=59))
    assert lake.log() == {"00000002.json", "00000003.json", "00000003.checkpoint.json"}
    assert "part-a-1-0.parquet" in lake.parts()
    lake.commit("d", at=NOON + KEEP + timedelta(hours=2))
    assert lake.parts() == {"part-b-1-0.parquet", "part-c-1-0.parquet", "part-d-1-0.parquet"}
    assert lake.log() == {"00000003.json", "00000004.json", "00000003.checkpoint.json"}
    (lake.folder / "Sale" / "_manifest.json").unlink()
    assert {file.path for file in lake.dataset.log.load().files} == lake.parts()


def test_checkpoint_of_the_log_is_made_anew_when_more_expires(lake: Lake) -> None:
    """There is one, however many entries have gone."""
    for day in range(6):
        lake.commit(f"{day}", at=NOON + timedelta(days=2 * day))
    checkpoints = {name for name in lake.log() if "checkpoint" in name}
    assert len(checkpoints) == 1
    assert lake.dataset.log.load().version == 6


def test_dead_try_is_cleaned_up_by_its_own_run_only(lake: Lake) -> None:
    """Staged files and moved ones that no commit names."""
    lake.commit("a")
    lake.stage("a", "2")
    lake.stage("b", "1")
    lake.storage.write("Sale/part-a-2-0.parquet", b"moved, then killed")
    assert lake.dataset.remove_orphan_files("a", datetime.now(UTC) + UNNAMED) == 2
    assert lake.parts() == {"part-a-1-0.parquet"}
    assert lake.storage.names("_staging/Sale/b") == ["_staging/Sale/b/1/0.parquet"]


def test_superseded_file_is_no_orphan(lake: Lake) -> None:
    """The log names it."""
    lake.commit("a")
    lake.commit("a", "2")
    assert lake.dataset.remove_orphan_files("a", datetime.now(UTC) + UNNAMED) == 0
    assert lake.parts() == {"part-a-1-0.parquet", "part-a-2-0.parquet"}


@pytest.mark.parametrize("damage", [b"", b"{", None])
def test_manifest_is_made_anew_from_the_log(lake: Lake, damage: bytes | None) -> None:
    """It is derived: lost or cut off, the next commit writes it anew."""
    lake.commit("a")
    if damage is None:
        (lake.folder / "Sale" / "_manifest.json").unlink()
    else:
        (lake.folder / "Sale" / "_manifest.json").write_bytes(damage)
    lake.commit("b")
    assert len(lake.manifest()["files"]) == 2


@pytest.mark.parametrize("found", [1, 99])
def test_other_layout_is_one_clear_error(lake: Lake, found: int) -> None:
    """Of an earlier or a later release: nothing is guessed, nothing is overwritten."""
    lake.commit("a")
    content = b'{"format": %d, "commits": []}' % found
    (lake.folder / "Sale" / "_manifest.json").write_bytes(content)
    with pytest.raises(StorageError, match=f"format {found}, this release reads 2"):
        lake.commit("b")
    assert (lake.folder / "Sale" / "_manifest.json").read_bytes() == content


def test_damaged_entry_is_an_error_and_no_loss(lake: Lake) -> None:
    """A commit is the truth: skipping one would drop its rows silently."""
    lake.commit("a")
    (lake.folder / "Sale" / "_log" / "00000002.json").write_bytes(b"{")
    with pytest.raises(StorageError, match=r"00000002\.json"):
        lake.dataset.log.load()


def test_gap_in_the_log_is_an_error(lake: Lake) -> None:
    """Whoever deletes an entry by hand is told, before its rows are missed."""
    for run in "abc":
        lake.commit(run)
    (lake.folder / "Sale" / "_manifest.json").unlink()
    (lake.folder / "Sale" / "_log" / "00000002.json").unlink()
    with pytest.raises(StorageError, match=r"00000002\.json' is missing"):
        lake.dataset.log.load()


def test_commits_at_the_same_moment_are_all_in_the_manifest(lake: Lake) -> None:
    """Mapped tasks and backfills finish together: each takes the next free version."""
    threads = [threading.Thread(target=lake.commit, args=(f"run{number}",)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lake.manifest()["files"]) == len(lake.parts()) == lake.manifest()["version"] == 12


def test_watermark_is_of_its_account_and_query_and_backfills_do_not_move_it(lake: Lake) -> None:
    """The next run continues where the last of its kind ended."""
    day = timedelta(days=1)
    lake.commit("a", window_end=NOON)
    lake.commit("b", window_end=NOON + day, query=PAID)
    lake.commit("c", window_end=NOON + 2 * day, moves_watermark=False)
    assert lake.history().watermark == NOON
    assert lake.history(query=PAID).watermark == NOON + day
    assert lake.history(query=Query(account="8", resource="Sale")).watermark is None


def test_cleared_run_finds_its_own_window_and_the_state_before_it(lake: Lake) -> None:
    """So that trying again reads the same, not the time since; however long ago it was, and whatever the log has forgotten."""
    lake.commit("a", window_end=NOON, state=ReadState(10))
    lake.commit(
        "b", window_end=NOON + timedelta(days=1), state=ReadState(20), state_before=lake.history("b").state_before
    )
    lake.commit("later", at=NOON + timedelta(days=30), state=ReadState(30))
    assert lake.history("b").state_before == ReadState(10)
    assert lake.history("c").state_before == ReadState(30)
    window = lake.history("a").window
    assert window is not None
    assert window.end == NOON
    assert lake.history("c").window is None


def test_writer_that_was_held_up_for_days_commits_behind_all_others(lake: Lake) -> None:
    """Its place in the log has been taken, and forgotten: what it creates there is taken back."""
    lake.commit("first")
    tip = lake.dataset.log.read()
    for day in range(1, 40):
        lake.commit(f"{day}", at=NOON + timedelta(days=day))
    assert "00000002.json" not in lake.log()
    draft = draft_of("late", files={}, base=1)
    commit = lake.dataset.log.append(tip, lambda end: draft.at(end.state.version + 1, "Sale"))
    assert commit is not None
    assert commit.version == 41
    assert "00000002.json" not in lake.log()
    assert lake.manifest()["version"] == lake.dataset.log.load().version == 41


def test_what_nobody_takes_up_is_deleted_after_a_week(lake: Lake) -> None:
    """Runs that were never tried again leave staged files; other runs' newer ones are theirs."""
    old, new = lake.stage("dead", "1"), lake.stage("alive", "1")
    now = datetime.now(UTC)
    week_ago = (now - STALE - timedelta(minutes=1)).timestamp()
    os.utime(old.path, (week_ago, week_ago))
    assert lake.dataset.remove_stale_staging(now) == 1
    assert (Path(old.path).exists(), Path(new.path).exists()) == (False, True)


def test_moment_of_any_class_is_stored_in_utc(lake: Lake) -> None:
    """Airflow hands over pendulum's, which the encoder does not know."""

    class Moment(datetime):
        """A class of its own."""

    end = Moment(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    commit = lake.commit("a", window_start=end, window_end=end)
    assert type(commit.window_end) is datetime
    assert commit.window_end == end
    assert lake.history().watermark == end
