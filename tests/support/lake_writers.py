"""Writers of a dataset of sales, and storages whose process dies between two steps."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_lightspeed.arrow.parquet import FileStats
from airflow_provider_lightspeed.arrow.types import LINEAGE, TIMESTAMP
from airflow_provider_lightspeed.extract.history import History
from airflow_provider_lightspeed.lake import read_current
from airflow_provider_lightspeed.lake.compaction import compact
from airflow_provider_lightspeed.lake.dataset import Dataset
from airflow_provider_lightspeed.lake.records import Commit, Kind, Query
from airflow_provider_lightspeed.lake.storage import Storage
from tests.support.fakes import NOON
from tests.support.lake import draft_of

SALES = Query(account="7", resource="Sale")
SCHEMA = pa.schema(
    [pa.field("saleID", pa.int64()), pa.field("updateTime", TIMESTAMP), pa.field("order", pa.string()), *LINEAGE]
)
FORK = multiprocessing.get_context("fork")
#: The exit status of a process that died between two steps.
KILLED = 9


class Writer:
    """Commits sales to a dataset as an extract does."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.dataset = Dataset(storage, "Sale")

    def begin(self, run: str, now: datetime) -> History:
        """Return what a run knows when it begins."""
        return History.of(self.dataset, SALES, run)

    def commit(
        self,
        run: str,
        rows: dict[int, datetime],
        now: datetime,
        history: History | None = None,
        kind: Kind = "window",
        attempt: str = "1",
    ) -> Commit:
        """Publish rows: their keys with their modification times."""
        start = (history or self.begin(run, now)).begin(now)
        lineage = ["7", start.extracted_at, None, now]
        columns = [list(rows), list(rows.values()), [run] * len(rows), *([value] * len(rows) for value in lineage)]
        table = pa.table([pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], SCHEMA)
        path = self.storage.path(f"{self.dataset.staging(run, attempt)}/0.parquet")
        with self.storage.open(path, "wb") as file:
            pq.write_table(table, file)
        files = {"": [FileStats(path, len(rows), 1_000, 1, "schema")]}
        return self.dataset.publish(
            draft_of(
                run,
                attempt,
                files,
                kind=kind,
                window_end=now,
                committed_at=now,
                extracted_at=start.extracted_at,
                base=start.base_version,
                base_extracted_at=start.base_extracted_at,
            )
        )


class MortalStorage(Storage):
    """A storage whose process dies before one of its writing steps: no ``finally`` runs, no file is closed.

    :param left: steps that succeed.
    """

    def __init__(self, fs: Any, root: str, left: int = 10**9) -> None:
        super().__init__(fs, root)
        self.left = left
        self._lock = threading.Lock()

    def _step(self) -> None:
        with self._lock:
            self.left -= 1
            if self.left < 0:
                os._exit(KILLED)

    def open(self, path: str, mode: str) -> Any:
        """Take a step if something is to be written, then open."""
        if "w" in mode:
            self._step()
        return super().open(path, mode)

    def write(self, name: str, content: bytes) -> None:
        """Take a step, then write."""
        self._step()
        super().write(name, content)

    def create(self, name: str, content: bytes) -> bool:
        """Take a step, then create."""
        self._step()
        return super().create(name, content)

    def move(self, source: str, target: str) -> None:
        """Take a step, then move."""
        self._step()
        super().move(source, target)

    def remove(self, name: str) -> None:
        """Take a step, then remove."""
        self._step()
        super().remove(name)


def die_after(steps: int, make: Callable[[int], MortalStorage], now: datetime) -> bool:
    """Commit, expire what is old, and compact, in a process of its own; return whether it lived to the end."""

    def body() -> None:
        # Anew: the connections of a file system do not outlive a fork.
        storage = make(steps)
        storage.left = steps
        writer = Writer(storage)
        writer.commit("mortal", {5: now}, now)
        compact(storage, writer.dataset, now, everything=True)
        os._exit(0)

    process = FORK.Process(target=body)
    process.start()
    process.join(60)
    assert process.exitcode in (0, KILLED)
    return process.exitcode == 0


def crashes(make: Callable[[int], MortalStorage], later: timedelta, stride: int = 1) -> Iterator[int]:
    """Kill a commit and a compaction before each of their steps; the dataset holds all before, and all after the next commit."""
    lived, steps = False, 0
    while not lived:
        storage = make(steps)
        writer = Writer(storage)
        for number in range(4):
            writer.commit(f"run {number}", {number: NOON}, NOON + timedelta(minutes=number))
        now = NOON + later
        lived = die_after(steps, make, now)
        state = writer.dataset.log.load()
        assert state.version in (4, 5, 6)
        assert len(shown(storage)) == min(state.version, 5), steps
        writer.commit("mortal", {5: now}, now, attempt="2")
        assert set(shown(storage)) == {0, 1, 2, 3, 5}, steps
        steps += stride
        yield steps


def shown(storage: Storage) -> dict[int, datetime]:
    """Return the current rows, read over the very file system."""
    path = SimpleNamespace(fs=storage.fs, path=storage.root)
    table = read_current(path, "Sale", ["saleID", "updateTime"])
    return dict(zip(table["saleID"].to_pylist(), table["updateTime"].to_pylist(), strict=True))
