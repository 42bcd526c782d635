"""Progress of a read, and where its estimates come from."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_lightspeed.client.rate_limit import BucketSnapshot
from airflow_provider_lightspeed.extract.meter import ASK_AFTER, Mark, seconds_left, share_passed
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.storage import Storage
from airflow_provider_lightspeed.extract.summary import Paced, Progress
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.fakes import client_of

EMPTY = BucketSnapshot(level=0.0, size=90.0, drip=1.0)
#: A page a second, a hundred keys a page.
STEADY = deque(Mark(key=100 * number, seconds=float(number)) for number in range(1, 11))


@pytest.fixture(scope="module")
def shop() -> Iterator[SimulatorProcess]:
    """A shop whose sales fill more pages than a read needs to count as long."""
    with SimulatorProcess(sales=1_500, items=20, customers=10, days=20, no_limits=True, grant=True) as running:
        running.advance(600)
        yield running


def followed(shop: SimulatorProcess, folder: Path, resource: str = "Sale", *, estimate: bool) -> list[Progress]:
    """Extract, and return the progress of it."""
    seen: list[Progress] = []
    extract(
        client_of(shop),
        Storage.at(str(folder)),
        Job.of(resource),
        RunFacts(),
        run_key="one",
        attempt="1",
        on_progress=seen.append,
        estimate=estimate,
    )
    return seen


def test_progress_comes_with_every_page_and_ends_with_all_rows(shop: SimulatorProcess, tmp_path: Path) -> None:
    """Also for reads that are shorter than a batch."""
    seen = followed(shop, tmp_path, estimate=False)
    truth = len(shop.truth("Sale"))
    assert [progress.rows for progress in seen[:3]] == [100, 200, 300]
    assert (seen[-1].rows, seen[-1].done, seen[-1].seconds_left) == (truth, 1.0, 0.0)
    assert followed(shop, tmp_path, "Shop", estimate=False)[-1].rows == len(shop.truth("Shop"))


def test_estimate_costs_one_request_and_only_on_a_long_read(shop: SimulatorProcess, tmp_path: Path) -> None:
    """Nobody pays for a progress bar on a read of a few pages, and nobody who did not ask for one."""

    def requests(resource: str, *, estimate: bool) -> int:
        return followed(shop, tmp_path / f"{resource} {estimate}", resource, estimate=estimate)[-1].requests

    assert requests("Sale", estimate=True) == requests("Sale", estimate=False) + 1
    assert requests("Customer", estimate=True) == requests("Customer", estimate=False)


def test_estimate_is_unknown_first_and_rises_to_one(shop: SimulatorProcess, tmp_path: Path) -> None:
    """Sales have dense keys: halfway through the pages about half is done."""
    seen = followed(shop, tmp_path, estimate=True)
    assert [progress.done for progress in seen[: ASK_AFTER - 1]] == [None] * (ASK_AFTER - 1)
    known = [progress.done for progress in seen if progress.done is not None]
    assert known == sorted(known)
    assert known[0] == pytest.approx(ASK_AFTER / len(seen), abs=0.1)


def test_last_key_that_cannot_be_had_leaves_the_estimate_unknown(shop: SimulatorProcess, tmp_path: Path) -> None:
    """A refused estimate ends no extract."""
    shop.faults({"action": "status", "path": "sort=-saleID", "status": 400, "count": None})
    try:
        seen = followed(shop, tmp_path, estimate=True)
    finally:
        shop.clear_faults()
    assert {progress.done for progress in seen[:-1]} == {None}
    assert seen[-1].rows == len(shop.truth("Sale"))


def test_rest_takes_the_newest_pages_pace_while_the_bucket_has_room() -> None:
    """Twenty pages more at a page a second, in an empty bucket that takes them all."""
    assert seconds_left(STEADY, last=3_000, cost=1.0, bucket=EMPTY) == pytest.approx(20.0)


def test_rest_takes_as_long_as_the_bucket_needs_to_drain() -> None:
    """1,990 pages are 1,990 drips: what does not fit into the bucket waits for it, whatever the pace so far."""
    fast = deque(Mark(mark.key, mark.seconds / 10) for mark in STEADY)
    assert seconds_left(fast, last=200_000, cost=1.0, bucket=EMPTY) == pytest.approx(1_990 - 90)
    full = BucketSnapshot(level=90.0, size=90.0, drip=2.0)
    assert seconds_left(fast, last=200_000, cost=4.0, bucket=full) == pytest.approx(1_990 * 4 / 2)


def test_rest_is_unknown_while_keys_do_not_rise() -> None:
    """One page, or a list in another order, has no density."""
    assert seconds_left(deque([Mark(5, 1.0)]), last=10, cost=1.0, bucket=EMPTY) is None
    assert seconds_left(deque([Mark(5, 1.0), Mark(3, 2.0)]), last=10, cost=1.0, bucket=EMPTY) is None


def test_share_never_leaves_zero_to_one() -> None:
    """Rows that were born after the last key was asked for lie beyond it."""
    assert share_passed(first=1, key=50, last=100) == pytest.approx(0.5)
    assert share_passed(first=1, key=120, last=100) == 1.0
    assert share_passed(first=7, key=7, last=7) == 1.0


def test_paced_progress_passes_one_in_an_interval() -> None:
    """A read that is over before the first interval says nothing."""
    told: list[float] = []
    paced = Paced(lambda progress: told.append(progress.seconds), every=10.0)
    for seconds in (0.0, 4.0, 9.9, 11.0, 12.0, 20.9, 21.0, 60.0):
        paced(Progress(rows=1, requests=1, seconds=seconds, bucket_level=0.0, bucket_size=90.0))
    assert told == [11.0, 21.0, 60.0]
