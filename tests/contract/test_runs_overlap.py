"""Runs that overlap, are run again or go on after a crash: what was in the current view stays, and the newest is in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta, timezone
from pathlib import Path

import pytest

from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from tests.support.busy_week.fate import small_world
from tests.support.busy_week.scene import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with small_world():
        yield Scene(Storage.at(str(tmp_path)))


def sold(scene: Scene, count: int = 1) -> list[int]:
    keys: list[int] = scene.do("sell", count=count, completed=True)
    return keys


def count_stock(scene: Scene, count: int) -> None:
    for _ in range(count):
        scene.do("move_stock", item=1, shop=1, change=1)


def test_full_read_that_was_overtaken_keeps_what_the_other_run_brought(scene: Scene) -> None:
    """An incremental run begins after the full one and commits before it."""
    scene.read("Sale", "first")
    full = scene.begin("Sale", "full", mode="full", until=4)
    sold(scene, 3)
    scene.touch("Sale", 5, referenceNumber="new")
    scene.later(hours=1)
    scene.read("Sale", "incremental")
    scene.finish(full)
    assert scene.wrong() == []


def test_run_again_keeps_what_has_moved_to_a_later_window(scene: Scene) -> None:
    """A cleared run no longer finds a sale that has changed since; no other run has read it yet."""
    scene.read("Sale", "first")
    (sale,) = sold(scene)
    scene.later(hours=1)
    scene.read("Sale", "second")
    scene.touch("Sale", sale, referenceNumber="new")
    scene.read("Sale", "second")
    assert sale in scene.current("Sale")
    scene.later(hours=1)
    scene.read("Sale", "third")
    assert scene.wrong() == []


def test_payment_taken_off_its_sale_is_gone_with_the_next_read(scene: Scene) -> None:
    """The sale is read without it."""
    scene.read("SalePayment", "first")
    scene.do("unpay", payment=7)
    scene.later(hours=1)
    scene.read("SalePayment", "second")
    assert 7 not in scene.current("SalePayment")
    assert scene.wrong() == []


def test_log_read_again_after_a_full_read_counts_with_all_that_it_read(scene: Scene) -> None:
    """It follows the keys to the end of the log, whatever its window's end; the next run goes on from there."""
    scene.read("InventoryLog", "first")
    scene.later(hours=1)
    scene.read("InventoryLog", "full", mode="full")
    count_stock(scene, 150)
    scene.later(hours=1)
    scene.read("InventoryLog", "first")
    scene.later(hours=1)
    scene.read("InventoryLog", "next")
    assert scene.wrong() == []


def test_log_that_a_crash_cut_off_loses_no_entry_that_came_late(scene: Scene) -> None:
    """A key given before the crash shows after it; by the retry the log has grown by more than is read again."""
    scene.read("InventoryLog", "first")
    scene.do("move_stock", late=59, item=2, shop=1, change=1)
    count_stock(scene, 100)
    cut_off = scene.begin("InventoryLog", "second", until=11, latency=4.0)
    scene.kill(cut_off)
    count_stock(scene, 150)
    scene.later(minutes=10)
    scene.read("InventoryLog", "second")
    scene.later(minutes=10)
    scene.read("InventoryLog", "third")
    assert scene.wrong() == []


@pytest.mark.parametrize("name", ["PaymentType", "Item"])
def test_of_two_full_reads_at_once_the_later_state_stays(name: str, scene: Scene) -> None:
    """The one that began first is slow: it sees a change that the other does not, and commits before it.

    Without a modification time, rows are dated by the beginning of their read: of two at once the later one counts.
    """
    scene.read(name, "before")
    slow = scene.begin(name, "slow", mode="full", until=2)
    scene.later(minutes=1)
    quick = scene.begin(name, "quick", mode="full", until="_log/")
    scene.touch(name, 1, archived=True)
    scene.finish(slow)
    scene.finish(quick)
    assert scene.wrong() == []


def test_of_two_tries_at_once_the_one_that_began_later_counts(scene: Scene) -> None:
    """A try that was thought dead has read its first page, and commits after the one that took its place."""
    scene.read("Sale", "before")
    sales = sold(scene, 30)
    scene.later(hours=1)
    dead = scene.begin("Sale", "run", until=3)
    scene.touch("Sale", sales[0], referenceNumber="new")
    more = sold(scene)
    scene.later(hours=1)
    scene.read("Sale", "run")
    scene.finish(dead)
    assert {*sales, *more} <= scene.current("Sale")
    assert scene.wrong() == []


def test_publish_that_was_interrupted_is_in_the_manifest_after_the_next_one(scene: Scene) -> None:
    """Killed after its log entry, or held up there while another run publishes: both count."""
    scene.read("Sale", "first")
    sold(scene)
    scene.later(hours=1)
    one = scene.begin("Sale", "one", until="Sale/_manifest.json")
    sold(scene)
    scene.later(hours=1)
    scene.read("Sale", "two")
    assert scene.wrong() == []
    scene.kill(one)
    assert scene.wrong() == []


def test_window_given_in_another_zone_is_compared_as_a_time(scene: Scene) -> None:
    """An offset of five hours makes a text that sorts five hours earlier."""
    scene.read("Sale", "first")
    scene.read("Sale", "full", mode="full")
    scene.later(hours=1)
    (sale,) = sold(scene)
    scene.later(hours=1)
    start, end = (scene.timeline.moment(seconds).astimezone(timezone(timedelta(hours=-5))) for seconds in (-7200, 0))
    scene.read("Sale", "explicit", facts=RunFacts(start=start, end=end))
    assert sale in scene.current("Sale")
    assert scene.wrong() == []


def test_run_again_keeps_what_its_sweep_found(scene: Scene) -> None:
    """A cleared run sweeps anew when the last sweep is long ago; what was found then stays found."""
    daily = timedelta(days=1)
    scene.read("Customer", "first")
    scene.do("delete", resource="Customer", key=3)
    scene.later(hours=30)
    scene.read("Customer", "second", sweep_every=daily)
    assert 3 not in scene.current("Customer")
    scene.later(hours=30)
    scene.read("Customer", "second", sweep_every=daily)
    assert 3 not in scene.current("Customer")
    assert scene.wrong() == []


def test_payment_archived_unseen_stays_archived_when_its_run_is_run_again(scene: Scene) -> None:
    """The sweep read it; its sale was not touched."""
    daily = timedelta(days=1)
    scene.read("SalePayment", "first")
    scene.touch("SalePayment", 7, archived=True)
    scene.later(hours=30)
    scene.read("SalePayment", "second", sweep_every=daily)
    scene.later(hours=30)
    scene.read("SalePayment", "second", sweep_every=daily)
    assert scene.wrong() == []


def test_log_read_that_a_full_one_overtook_counts_with_all_that_it_read(scene: Scene) -> None:
    """It began before the full read, and goes on to the end of the log after it."""
    scene.read("InventoryLog", "first")
    slow = scene.begin("InventoryLog", "slow", until=2)
    scene.later(hours=1)
    scene.read("InventoryLog", "full", mode="full")
    count_stock(scene, 150)
    scene.later(hours=1)
    scene.finish(slow)
    scene.later(hours=1)
    scene.read("InventoryLog", "next")
    assert scene.wrong() == []


def test_record_that_a_full_read_found_deleted_does_not_return_with_an_earlier_read(scene: Scene) -> None:
    """The earlier one has it, and commits after the full read."""
    scene.read("Customer", "first")
    scene.touch("Customer", 3, lastName="New")
    scene.later(hours=1)
    slow = scene.begin("Customer", "slow", until="_log/")
    scene.do("delete", resource="Customer", key=3)
    scene.later(hours=1)
    scene.read("Customer", "full", mode="full")
    assert 3 not in scene.current("Customer")
    scene.finish(slow)
    assert 3 not in scene.current("Customer")
    assert scene.wrong() == []


def test_record_that_a_sweep_found_deleted_does_not_return_with_an_earlier_read(scene: Scene) -> None:
    """The earlier one has it, and commits after the sweep."""
    scene.read("Customer", "first")
    scene.touch("Customer", 3, lastName="New")
    scene.later(hours=30)
    slow = scene.begin("Customer", "slow", until="_log/")
    scene.do("delete", resource="Customer", key=3)
    scene.later(hours=1)
    scene.read("Customer", "sweeping", sweep_every=timedelta(days=1))
    assert 3 not in scene.current("Customer")
    scene.finish(slow)
    assert 3 not in scene.current("Customer")
    assert scene.wrong() == []


def test_payment_that_its_sale_was_read_without_does_not_return_with_an_earlier_read(scene: Scene) -> None:
    """A full read of all payments began before, and saw it."""
    scene.read("SalePayment", "first")
    full = scene.begin("SalePayment", "full", mode="full", until="_log/")
    scene.do("unpay", payment=7)
    scene.later(hours=1)
    scene.read("SalePayment", "second")
    assert 7 not in scene.current("SalePayment")
    scene.finish(full)
    assert 7 not in scene.current("SalePayment")
    assert scene.wrong() == []


def test_full_read_that_broke_off_takes_back_nothing_when_it_goes_on(scene: Scene) -> None:
    """What it stored before the crash is older than what other runs have brought since."""
    scene.read("Sale", "first")
    broken = scene.begin("Sale", "full", mode="full", until=4, latency=5.0)
    scene.kill(broken)
    scene.touch("Sale", 1, referenceNumber="new")
    scene.touch("Sale", 59, referenceNumber="new")
    more = sold(scene, 3)
    scene.later(hours=1)
    scene.read("Sale", "second")
    scene.later(hours=1)
    scene.read("Sale", "full", mode="full")
    assert set(more) <= scene.current("Sale")
    assert scene.wrong() == []


def test_snapshot_that_broke_off_takes_back_nothing_when_it_goes_on(scene: Scene) -> None:
    """It is committed after a newer one."""
    scene.read("PaymentType", "first")
    broken = scene.begin("PaymentType", "broken", until="_log/", latency=9.0)
    scene.kill(broken)
    scene.touch("PaymentType", 1, archived=True)
    scene.later(hours=1)
    scene.read("PaymentType", "second")
    scene.read("PaymentType", "broken")
    assert scene.wrong() == []


def test_payment_that_a_full_read_found_gone_does_not_return_with_an_earlier_read(scene: Scene) -> None:
    """The earlier one saw the sale with it, and commits after the full read."""
    scene.read("SalePayment", "first")
    scene.touch("Sale", 3, referenceNumber="new")
    payment = scene.first("SalePayment", saleID=3)
    scene.later(hours=1)
    slow = scene.begin("SalePayment", "slow", until="_log/")
    scene.do("unpay", payment=payment)
    scene.later(hours=1)
    scene.read("SalePayment", "full", mode="full")
    assert payment not in scene.current("SalePayment")
    scene.finish(slow)
    scene.later(hours=1)
    scene.read("SalePayment", "next")
    assert payment not in scene.current("SalePayment")
    assert scene.wrong() == []


def test_log_of_two_full_reads_at_once_is_whole(scene: Scene) -> None:
    """The one that began first goes on to entries that the other has not seen; the next run goes on from there."""
    scene.read("InventoryLog", "first")
    slow = scene.begin("InventoryLog", "slow", mode="full", until=2)
    scene.later(minutes=10)
    scene.read("InventoryLog", "quick", mode="full")
    count_stock(scene, 150)
    scene.later(hours=1)
    scene.finish(slow)
    scene.later(hours=1)
    scene.read("InventoryLog", "next")
    assert scene.wrong() == []


def test_log_goes_on_from_what_counts(scene: Scene) -> None:
    """A try that was thought dead reads on to entries that the next try had not seen; its commit does not count."""
    scene.read("InventoryLog", "first")
    dead = scene.begin("InventoryLog", "full", mode="full", until=2)
    scene.later(hours=1)
    scene.read("InventoryLog", "full", mode="full")
    count_stock(scene, 150)
    scene.later(hours=1)
    scene.finish(dead)
    scene.later(hours=1)
    scene.read("InventoryLog", "next")
    assert scene.wrong() == []


def test_payment_that_is_gone_does_not_return_with_a_window_that_is_read_again(scene: Scene) -> None:
    """What its sale was read without it for is replaced by a full read that began before, and ends after."""
    scene.read("SalePayment", "first")
    scene.touch("Sale", 3, referenceNumber="new")
    payment = scene.first("SalePayment", saleID=3)
    scene.later(hours=1)
    scene.read("SalePayment", "second")
    scene.do("unpay", payment=payment)
    scene.later(hours=1)
    scene.read("SalePayment", "third")
    full = scene.begin("SalePayment", "full", mode="full", until="_log/")
    scene.later(hours=1)
    scene.read("SalePayment", "second")
    assert payment not in scene.current("SalePayment")
    scene.finish(full)
    assert payment not in scene.current("SalePayment")
    assert scene.wrong() == []


def test_record_that_was_deleted_does_not_return_with_a_window_that_is_read_again(scene: Scene) -> None:
    """Its tombstone is replaced by a full read that began before, and ends after."""
    scene.read("Customer", "first")
    scene.touch("Customer", 3, lastName="New")
    scene.later(hours=1)
    scene.read("Customer", "second")
    scene.do("delete", resource="Customer", key=3)
    scene.later(hours=30)
    scene.read("Customer", "sweeping", sweep_every=timedelta(days=1))
    full = scene.begin("Customer", "full", mode="full", until="_log/")
    scene.later(hours=1)
    scene.read("Customer", "second")
    assert 3 not in scene.current("Customer")
    scene.finish(full)
    assert 3 not in scene.current("Customer")
    assert scene.wrong() == []


def test_payment_does_not_return_with_a_full_read_that_another_one_overtook(scene: Scene) -> None:
    """It began before the payment was taken off its sale; what it was read without for is replaced by the other one."""
    scene.read("SalePayment", "first")
    slow = scene.begin("SalePayment", "slow", mode="full", until=4)
    scene.do("unpay", payment=7)
    scene.later(hours=1)
    scene.read("SalePayment", "second")
    scene.later(hours=1)
    scene.read("SalePayment", "quick", mode="full")
    scene.finish(slow)
    assert 7 not in scene.current("SalePayment")
    assert scene.wrong() == []


@pytest.mark.parametrize("step", [0.0, -2.0], ids=["the server's clock stands still", "it steps back"])
def test_snapshots_in_a_row_replace_each_other(step: float, scene: Scene) -> None:
    """The newest one counts, with all that it has: each has seen the one before."""
    for number in range(6):
        scene.read("PaymentType", f"run {number}", latency=0.0)
        assert scene.current("PaymentType"), number
        scene.timeline.now = int(scene.timeline.now) + 0.5 + step
    assert scene.wrong() == []


@pytest.mark.parametrize("step", [0.0, -2.0], ids=["the server's clock stands still", "it steps back"])
def test_full_reads_in_pairs_leave_no_empty_dataset(step: float, scene: Scene) -> None:
    """Neither of a pair has seen the other; the next pair has seen both."""
    for number in range(3):
        moment = int(scene.timeline.now) + 0.5
        pair = [scene.begin("Item", f"{number} {name}", mode="full", until="_log/", latency=0.0) for name in "ab"]
        for run in pair:
            scene.timeline.now = moment + step
            scene.finish(run)
            assert len(scene.current("Item")) == 20
    assert scene.wrong() == []
