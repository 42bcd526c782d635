"""A dataset stays small however many commits it has, and whole however many writers, clocks and kills there are."""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lightspeed.exceptions import StorageError
from airflow_provider_lightspeed.lake import read_current
from airflow_provider_lightspeed.lake.compaction import compact
from airflow_provider_lightspeed.lake.dataset import Dataset
from airflow_provider_lightspeed.lake.storage import Storage
from tests.support.fakes import NOON
from tests.support.lake_writers import MortalStorage, Writer, crashes


class CountingStorage(Storage):
    """A storage that counts the bytes of the documents that are read, and its steps."""

    def __init__(self, fs: Any, root: str) -> None:
        super().__init__(fs, root)
        self.bytes = self.steps = 0

    def read(self, name: str) -> bytes | None:
        content = super().read(name)
        self.bytes += len(content or b"")
        self.steps += 1
        return content

    def write(self, name: str, content: bytes) -> None:
        self.steps += 1
        super().write(name, content)

    def create(self, name: str, content: bytes) -> bool:
        self.steps += 1
        return super().create(name, content)


def current(folder: Path) -> dict[int, datetime]:
    table = read_current(folder, "Sale", ["saleID", "updateTime"])
    return dict(zip(table["saleID"].to_pylist(), table["updateTime"].to_pylist(), strict=True)) if len(table) else {}


@pytest.mark.parametrize("hours", [150, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.timeout(3_000)
def test_hourly_commits_stay_few_files_and_cost_the_same(hours: int, tmp_path: Path) -> None:
    """The last one reads at most 200 KiB, takes no more steps than twice the tenth's, and finds at most 100 live files."""
    storage = CountingStorage(Storage.at(str(tmp_path)).fs, str(tmp_path))
    writer, truth, tenth = Writer(storage), dict[int, datetime](), 0
    for hour in range(hours):
        now = NOON + timedelta(hours=hour)
        rows = dict.fromkeys(range(max(0, hour - 3), hour + 1), now)
        truth |= rows
        storage.bytes = storage.steps = 0
        writer.commit(f"run {hour}", rows, now)
        if hour == 9:
            tenth = storage.steps
        if hour >= 9:
            assert storage.steps <= 2 * tenth, hour
            assert storage.bytes <= 200 * 1024, hour
        compact(storage, writer.dataset, now)
    state = writer.dataset.log.load()
    assert len(state.files) <= 100
    assert len(list((tmp_path / "Sale").glob("*.parquet"))) <= 150
    assert len(list((tmp_path / "Sale" / "_log").iterdir())) <= 60
    assert current(tmp_path) == truth


@pytest.mark.parametrize("seed", range(2))
def test_twenty_writers_whose_clocks_jump_lose_nothing(seed: int, tmp_path: Path) -> None:
    """They commit at the same time, compact and expire: what each has committed is current, but for full reads that saw it."""
    storage = Storage.at(str(tmp_path))
    lock, newest = threading.Lock(), dict[int, datetime]()
    errors: list[BaseException] = []

    def work(number: int) -> None:
        chance = random.Random(1_000 * seed + number)  # noqa: S311 - made up from a seed
        writer = Writer(storage)
        try:
            for turn in range(3):
                now = NOON + timedelta(hours=chance.choice([-72, -1, 0, 0, 1, 72]), seconds=chance.random())
                run = f"{number}-{turn}"
                history = writer.begin(run, now)
                rows = {100 * number + turn: now}
                writer.commit(run, rows, now, history)
                with lock:
                    newest.update(rows)
                if number % 5 == 0:
                    with suppress(StorageError):  # a clock that is days ahead deletes what it has just read
                        compact(storage, writer.dataset, now, everything=True)
        except BaseException as error:  # noqa: BLE001 - the test raises it
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    state = Dataset(storage, "Sale").log.load()
    assert state.version >= 60
    assert current(tmp_path) == newest


@pytest.mark.parametrize(
    "later", [timedelta(hours=1), timedelta(days=3)], ids=["an hour later", "when the log expires"]
)
def test_kill_between_any_two_steps_heals_with_the_next_commit(later: timedelta, tmp_path: Path) -> None:
    """Of the commit, of the deletion of what has expired, of the compaction."""

    def make(steps: int) -> MortalStorage:
        folder = tmp_path / str(steps)
        folder.mkdir(exist_ok=True)
        return MortalStorage(Storage.at(str(folder)).fs, str(folder))

    assert max(crashes(make, later)) > 6
