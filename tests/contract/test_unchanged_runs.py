"""A run that finds nothing new says so: what the overlap holds is no change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.summary import Summary
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.fakes import client_of
from tests.support.truth import rows_of


@pytest.fixture(scope="module")
def shop() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(
        sales=60, items=30, customers=20, days=5, no_limits=True, grant=True, token_life=10_000_000
    ) as running:
        running.advance(600)
        yield running


NEVER = datetime.min.replace(tzinfo=UTC)


def read(shop: SimulatorProcess, folder: Path, name: str, key: str, *, sweeps: bool = False) -> Summary:
    every = timedelta() if sweeps else None
    storage, job = Storage.at(str(folder)), Job.of(name)
    return extract(client_of(shop), storage, job, RunFacts(), run_key=key, attempt="1", sweep_every=every)


def now(shop: SimulatorProcess) -> str:
    return datetime.fromtimestamp(int(shop.advance(0)), UTC).isoformat()


@pytest.mark.parametrize("name", ["Sale", "InventoryLog", "SalePayment", "Customer"])
def test_run_without_changes_writes_nothing_and_moves_the_watermark(
    name: str, shop: SimulatorProcess, tmp_path: Path
) -> None:
    """A log is read again from a thousand keys before its end: rows that are there are no change."""
    first = read(shop, tmp_path, name, "first")
    before = rows_of(tmp_path, name)
    shop.advance(600)
    second = read(shop, tmp_path, name, "second")
    assert (first.is_unchanged, second.is_unchanged, second.rows, second.files) == (False, True, 0, 0)
    assert (second.watermark or NEVER) > (first.watermark or NEVER) > NEVER
    assert rows_of(tmp_path, name) == before


def test_rows_of_the_overlap_are_no_change(shop: SimulatorProcess, tmp_path: Path) -> None:
    """A sale of the last minutes before the watermark is read twice; one that changed there in between is new."""
    shop.mutate("sell", at=now(shop))
    shop.advance(400)
    assert not read(shop, tmp_path, "Sale", "first").is_unchanged
    shop.advance(60)
    assert read(shop, tmp_path, "Sale", "second").is_unchanged
    shop.mutate("update", resource="Sale", key=3, fields={"ticketNumber": "new"}, at=now(shop))
    shop.advance(400)
    third = read(shop, tmp_path, "Sale", "third")
    assert (third.is_unchanged, 3 in {row["saleID"] for row in rows_of(tmp_path, "Sale")[-third.rows :]}) == (
        False,
        True,
    )


def test_late_entry_of_a_log_is_a_change(shop: SimulatorProcess, tmp_path: Path) -> None:
    """Its key lies below the last one that was read."""
    shop.mutate("move_stock", item=2, shop=1, change=1, at=now(shop), visible_from=later(shop, 900))
    shop.mutate("move_stock", item=2, shop=1, change=1, at=now(shop))
    shop.advance(400)
    read(shop, tmp_path, "InventoryLog", "first")
    shop.advance(600)
    assert not read(shop, tmp_path, "InventoryLog", "second").is_unchanged


def later(shop: SimulatorProcess, seconds: int) -> str:
    return datetime.fromtimestamp(int(shop.advance(0)) + seconds, UTC).isoformat()


def test_run_again_keeps_its_rows(shop: SimulatorProcess, tmp_path: Path) -> None:
    """A cleared run replaces its own commit: what it finds again is not left out."""
    read(shop, tmp_path, "Sale", "first")
    shop.advance(600)
    again = read(shop, tmp_path, "Sale", "first")
    assert (again.is_unchanged, again.rows) == (False, len(shop.truth("Sale")))


def test_sweep_that_found_something_is_a_change(shop: SimulatorProcess, tmp_path: Path) -> None:
    """There are tombstones to merge."""
    read(shop, tmp_path, "Customer", "first")
    shop.mutate("delete", resource="Customer", key=7)
    shop.advance(600)
    assert not read(shop, tmp_path, "Customer", "second", sweeps=True).is_unchanged
    shop.advance(600)
    assert read(shop, tmp_path, "Customer", "third", sweeps=True).is_unchanged
