"""Whoever reads through the manifest sees whole commits and each once, whatever dies on the way and whoever commits beside."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.window import NothingToRead, RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.fakes import client_of
from tests.support.interference import SharedTime
from tests.support.lake_writers import FORK, KILLED, MortalStorage

#: More steps than any run here takes.
MANY = 200


def run(
    shop: SimulatorProcess,
    folder: Path | str,
    job: Job,
    facts: RunFacts,
    key: str,
    attempt: int,
    steps: int = MANY,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> bool:
    """Extract in a process of its own; return whether it lived to the end.

    :param options: of the folder's file system.
    """

    def body() -> None:
        client = client_of(shop, clock=SharedTime(shop))
        plain = Storage.at(str(folder), **options)
        storage = MortalStorage(plain._fs, plain.root, steps)
        try:
            extract(client, storage, job, facts, run_key=key, attempt=str(attempt), most_chains=2)
        except NothingToRead:
            pass
        os._exit(0)

    process = FORK.Process(target=body)
    process.start()
    process.join(60)
    assert process.exitcode in (0, KILLED)
    return process.exitcode == 0


def view(
    folder: Path | str, options: Mapping[str, Any] = MappingProxyType({}), name: str = "Sale"
) -> Counter[tuple[int, Any]]:
    """Return what a reader sees at this moment: keys with their modification times, through the manifest alone."""
    storage = Storage.at(str(folder), **options)
    manifest = orjson.loads(storage.read(f"{name}/_manifest.json") or b"")
    seen: Counter[tuple[int, Any]] = Counter()
    lines = 0
    for file in manifest["files"]:
        table = _table(storage, f"{name}/{file['path']}", ["saleID", "updateTime"])
        assert table.num_rows == file["rows"]
        seen.update(zip(table["saleID"].to_pylist(), table["updateTime"].to_pylist(), strict=True))
    for file in manifest["tables"]["SaleLines"]["files"]:
        lines += _table(storage, f"{name}.SaleLines/{file['path']}", ["_root_key"]).num_rows
    assert lines == manifest["tables"]["SaleLines"]["rows"]
    return seen


def _table(storage: Storage, name: str, columns: list[str]) -> pa.Table:
    content = storage.read(name)
    assert content is not None, f"{name} is in the manifest, and gone"
    return pq.read_table(pa.BufferReader(content), columns=columns)


@pytest.fixture(scope="module")
def shop() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(
        sales=230, items=60, customers=40, days=20, no_limits=True, grant=True, token_life=10_000_000
    ) as running:
        running.advance(600)
        yield running


@pytest.fixture
def job() -> Job:
    return Job.of("Sale", relations=["SaleLines"], relation_layout="tables")


def touched(shop: SimulatorProcess, keys: range) -> None:
    """Change sales, and let the settle time pass."""
    shop.advance(3600)
    for key in keys:
        at = datetime.fromtimestamp(int(shop.advance(0)), UTC).isoformat()
        shop.mutate("update", resource="Sale", key=key, fields={"ticketNumber": f"{at} {key}"}, at=at)
    shop.advance(600)


@pytest.mark.parametrize("again", [False, True], ids=["a new window", "the same window again"])
def test_crash_before_any_step_heals_with_the_next_try(
    again: bool, shop: SimulatorProcess, job: Job, tmp_path: Path
) -> None:
    """Readers see the state before or the state after; the next try brings the latter, and nothing is left behind."""
    base = tmp_path / "base"
    touched(shop, range(1, 5))
    assert run(shop, base, job, RunFacts(), "first", 1)
    before = view(base)
    touched(shop, range(10, 30))
    key = "first" if again else "second"
    assert run(shop, shutil.copytree(base, tmp_path / "whole"), job, RunFacts(), key, 2)
    after = view(tmp_path / "whole")
    assert again or after != before
    steps, lived = 0, False
    while not lived:
        folder = Path(shutil.copytree(base, tmp_path / f"{steps}"))
        lived = run(shop, folder, job, RunFacts(), key, 2, steps)
        assert view(folder) in (before, after), steps
        assert run(shop, folder, job, RunFacts(), key, 3)
        assert view(folder) == after, steps
        assert [path for path in (folder / "_staging").rglob("*") if path.is_file()] == []
        steps += 1
    assert steps > 8


class Reader(threading.Thread):
    """Looks at a dataset over and over, and judges what it sees.

    :param judge: raises if a view is none that may be seen.
    """

    def __init__(self, folder: Path, judge: Callable[[Counter[tuple[int, Any]]], None]) -> None:
        super().__init__(daemon=True)
        self._folder = folder
        self._judge = judge
        self._over = threading.Event()
        self.looks = 0
        self.errors: list[BaseException] = []

    def run(self) -> None:
        while not self._over.is_set():
            try:
                self._judge(view(self._folder))
            except BaseException as error:  # noqa: BLE001 - the test raises it
                self.errors.append(error)
                return
            self.looks += 1

    def stop(self) -> None:
        self._over.set()
        self.join(30)
        if self.errors:
            raise self.errors[0]


@pytest.mark.parametrize("backfills", [6, pytest.param(20, marks=pytest.mark.slow)])
def test_backfills_beside_the_daily_run_lose_nothing_though_many_are_killed(
    backfills: int, shop: SimulatorProcess, job: Job, tmp_path: Path
) -> None:
    """Each is tried again until it lives; a reader beside them sees no part of a commit and no commit twice."""
    assert run(shop, tmp_path, job, RunFacts(), "first", 1)
    touched(shop, range(50, 90))
    chance = random.Random(backfills)  # noqa: S311 - made up from a seed
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=backfills + 1)
    tried: Counter[str] = Counter()

    def backfill(day: int) -> None:
        interval = (start + timedelta(days=day), start + timedelta(days=day + 1))
        insist(f"day {day}", RunFacts(kind="backfill", interval=interval))

    def insist(key: str, facts: RunFacts) -> None:
        for attempt in range(1, 30):
            tried[key] += 1
            if run(shop, tmp_path, job, facts, key, attempt, chance.choice([chance.randrange(25), MANY])):
                return
        raise AssertionError(key)

    known: list[Counter[tuple[int, Any]]] = [view(tmp_path)]

    def judge(seen: Counter[tuple[int, Any]]) -> None:
        assert max(seen.values()) <= backfills + 2
        assert not known[0] - seen, "a commit that was there is gone"

    reader = Reader(tmp_path, judge)
    reader.start()
    threads = [threading.Thread(target=backfill, args=(day,)) for day in range(backfills)]
    threads.append(threading.Thread(target=insist, args=("daily", RunFacts())))
    for first in range(0, len(threads), 3):
        for thread in threads[first : first + 3]:
            thread.start()
        for thread in threads[first : first + 3]:
            thread.join()
    reader.stop()
    assert reader.looks > 3
    assert sum(tried.values()) > len(tried), "nothing was killed"
    seen = view(tmp_path)
    truth = {(row["saleID"], datetime.fromisoformat(row["updateTime"])) for row in shop.truth("Sale")}
    newest: dict[int, Any] = {}
    for key, moment in seen:
        newest[key] = max(moment, newest.get(key, moment))
    assert set(newest.items()) == truth
    assert len(list((tmp_path / "_runs" / "Sale").iterdir())) == len(tried) + 1


def test_table_is_not_needed_to_read_the_main_one(shop: SimulatorProcess, job: Job, tmp_path: Path) -> None:
    """Each folder has a manifest of its own, which names the same files as the resource's."""
    run(shop, tmp_path, job, RunFacts(), "first", 1)
    whole = orjson.loads((tmp_path / "Sale" / "_manifest.json").read_bytes())
    lines = orjson.loads((tmp_path / "Sale.SaleLines" / "_manifest.json").read_bytes())
    assert lines["files"] == whole["tables"]["SaleLines"]["files"]
    tables = [pq.read_table(tmp_path / "Sale.SaleLines" / file["path"]) for file in lines["files"]]
    assert pa.concat_tables(tables).num_rows == lines["rows"] > 0
