"""Which files are still to load: explicit lists with full paths, from a log and its checkpoint as extracts write them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest

from airflow_provider_lightspeed.arrow.parquet import FileStats
from airflow_provider_lightspeed.exceptions import StorageError
from airflow_provider_lightspeed.lake.dataset import Dataset
from airflow_provider_lightspeed.lake.records import Commit, Query
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.warehouse.manifest import copy_manifest, files_of, new_loads, read_manifest
from tests.support.lake import draft_of

HOUR = datetime(2026, 3, 1, tzinfo=UTC)


class Lake:
    """A dataset whose commits are made at full hours."""

    def __init__(self, folder: str, resource: str = "Sale") -> None:
        self.storage = Storage.at(folder)
        self.resource = resource
        self.folder = self.storage.path(resource)
        self.dataset = Dataset(self.storage, resource)

    def commit(
        self, hour: int, *tables: str, base: int | None = None, relations: tuple[str, ...] = (), **facts: Any
    ) -> Commit:
        """Commit a file of each table; what was read saw all that there was, or what ``base`` says."""
        run, files = f"run{hour}", {}
        for table in tables:
            name = f"{self.dataset.staging(run, '1')}/{table}.parquet"
            self.storage.write(name, b"x" * 100)
            files[table] = [FileStats(self.storage.path(name), 2, 100, 1, "schema")]
        state, at = self.dataset.log.load(), HOUR + timedelta(hours=hour)
        known: dict[str, Any] = {
            "query": Query(account="7", resource=self.resource, relations=relations),
            "window_end": at,
            "extracted_at": at,
            "committed_at": at,
            "base": state.version if base is None else base,
            "base_extracted_at": max((each.extracted_at for each in state.queries.values()), default=None),
        }
        return self.dataset.publish(draft_of(run, files=files, **known | facts))

    def loads(self, *loaded: str) -> list[tuple[str, list[str]]]:
        """Return what is to load: commits with the names of their files."""
        found = new_loads(read_manifest(self.folder), loaded)
        return [(load.commit, [file.url.rpartition("/")[2] for file in files_of([load])]) for load in found]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path))


def test_new_commits_oldest_first_with_full_paths(lake: Lake) -> None:
    """Of every table; those up to the newest one that is loaded are left out."""
    made = [lake.commit(1, ""), lake.commit(2, "", "SaleLines"), lake.commit(3, "")]
    first, second, third = new_loads(read_manifest(lake.folder))
    assert [load.commit for load in (first, second, third)] == [commit.id for commit in made]
    files = [f"{lake.folder}/part-run{number}-1-0.parquet" for number in (1, 2)]
    assert [file.url for file in files_of([first, second])] == files
    assert [file.url for file in files_of([first, second], "SaleLines")] == [
        f"{lake.folder}.SaleLines/part-run2-1-1.parquet"
    ]
    assert (second.account_id, second.rows, second.extracted_at) == ("7", 2, HOUR + timedelta(hours=2))
    assert new_loads(read_manifest(lake.folder), [second.commit]) == (third,)
    assert new_loads(read_manifest(lake.folder), [third.commit]) == ()


def test_first_load_is_of_the_live_files(lake: Lake) -> None:
    """What was superseded has no part in it; the newest commit is noted, be it empty."""
    lake.commit(1, "")
    full = lake.commit(2, "", kind="full")
    empty = lake.commit(3)
    assert lake.loads() == [(full.id, ["part-run2-1-0.parquet"]), (empty.id, [])]
    assert not any(load.is_start for load in new_loads(read_manifest(lake.folder)))


def test_loader_gets_every_commit_behind_its_own(lake: Lake) -> None:
    """Also one that was superseded meanwhile: its files stay as long as the log has it."""
    first, second, full = lake.commit(1, ""), lake.commit(2, ""), lake.commit(3, "", kind="full")
    assert lake.loads(first.id) == [(second.id, ["part-run2-1-0.parquet"]), (full.id, ["part-run3-1-0.parquet"])]
    assert [load.replaces_until for load in new_loads(read_manifest(lake.folder), [first.id])] == [
        None,
        HOUR + timedelta(hours=2),
    ]


def test_loader_that_is_too_far_behind_starts_from_the_checkpoint(lake: Lake) -> None:
    """Its tables are emptied first: nothing is skipped."""
    first = lake.commit(1, "")
    live = [lake.commit(hour, "") for hour in (2, 60, 61)]
    loads = new_loads(read_manifest(lake.folder), [first.id])
    assert [load.commit for load in loads] == [first.id, *(commit.id for commit in live)]
    assert all(load.is_start for load in loads)
    assert [load.is_start for load in new_loads(read_manifest(lake.folder), [live[1].id])] == [False]


def test_loader_of_another_log_starts_from_the_checkpoint(lake: Lake) -> None:
    """The path was deleted and written anew: versions are the same, commits are not."""
    made = lake.commit(1, "")
    loads = new_loads(read_manifest(lake.folder), ["00000001-another-1"])
    assert [(load.commit, load.is_start) for load in loads] == [(made.id, True)]
    assert all(load.is_start for load in new_loads(read_manifest(lake.folder), ["00000009-another-1"]))


def test_commit_that_was_overtaken_is_not_loaded(lake: Lake) -> None:
    """It is noted, so that the next load goes on behind it."""
    first = lake.commit(1, "")
    full = lake.commit(3, "", kind="full", base=1)
    late = lake.commit(2, "", base=1)
    assert late.overtaken_by == full.version
    assert lake.loads(first.id) == [(full.id, ["part-run3-1-0.parquet"]), (late.id, [])]


def test_one_query_of_several(lake: Lake) -> None:
    """A dataset that was read with other relations before has commits of both."""
    lake.commit(1, "")
    new = lake.commit(2, "", relations=("SaleLines",))
    manifest = read_manifest(lake.folder)
    assert len(new_loads(manifest)) == 2
    assert [load.commit for load in new_loads(manifest, query=new.query_id)] == [new.id]


def test_reports_say_which_days_they_cover(tmp_path: Path) -> None:
    """As they were asked for: whole days, the last one that of the window's last second."""
    lake = Lake(str(tmp_path), "ReportsAccountingTaxesByDay")
    start = datetime(2026, 2, 27, 18, tzinfo=UTC)
    lake.commit(0, "", window_start=start)
    lake.commit(2, "")
    first, second = new_loads(read_manifest(lake.folder))
    assert first.days == (date(2026, 2, 27), date(2026, 2, 28))
    assert second.days == (date(2026, 1, 30), date(2026, 3, 1))
    sales = Lake(str(tmp_path))
    sales.commit(1, "")
    (sale,) = new_loads(read_manifest(sales.folder))
    assert sale.days is None


def test_any_way_to_name_it(lake: Lake) -> None:
    """A folder, the manifest itself, a URL."""
    lake.commit(1, "")
    for path in (lake.folder, f"{lake.folder}/", f"{lake.folder}/_manifest.json", f"file://{lake.folder}"):
        (load,) = new_loads(read_manifest(path))
        assert [file.url for file in files_of([load])] == [f"{lake.folder}/part-run1-1-0.parquet"]


def test_urls_of_a_bucket() -> None:
    """With the scheme of the store."""
    Lake("memory://loads").commit(1, "")
    (load,) = new_loads(read_manifest("memory://loads/Sale"))
    (file,) = files_of([load])
    assert file.url == "memory:///loads/Sale/part-run1-1-0.parquet"
    with fsspec.open(file.url) as found:
        assert found.read()


def test_copy_manifest_names_each_file_with_its_length(lake: Lake) -> None:
    """As Redshift wants it of Parquet; a file that is missing is an error there."""
    lake.commit(1, "")
    (load,) = new_loads(read_manifest(lake.folder))
    url = f"{lake.folder}/part-run1-1-0.parquet"
    entry = {"url": url, "mandatory": True, "meta": {"content_length": 100}}
    assert json.loads(copy_manifest(files_of([load]))) == {"entries": [entry]}


def test_a_manifest_that_is_not_there(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(StorageError, match=r"Sale/_manifest\.json"):
        read_manifest(tmp_path / "Sale")


def test_a_manifest_of_another_format(lake: Lake) -> None:
    """It is not guessed at."""
    lake.commit(1, "")
    (Path(lake.folder) / "_manifest.json").write_text('{"format": 1, "commits": []}')
    with pytest.raises(StorageError, match="format 1"):
        read_manifest(lake.folder)


def test_full_read_replaces_up_to_the_newest_read_that_it_had_seen(lake: Lake) -> None:
    """Whatever its own time says; a commit that it had not seen stays, also one that began earlier."""
    lake.commit(1, "")
    seen = lake.commit(3, "")
    early = lake.commit(2, "", base=1, kind="sweep")
    full = lake.commit(5, "", kind="full", base=2, base_extracted_at=seen.extracted_at)
    other = lake.commit(6, "", kind="full", base=0, base_extracted_at=None)
    assert full.replaces_until == early.extracted_at - timedelta(microseconds=1)
    assert other.replaces_until is None
