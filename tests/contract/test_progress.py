"""Progress of a read, and where its estimates come from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_lightspeed.extract.meter import ASK_AFTER
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.summary import Progress
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.fakes import client_of


@pytest.fixture(scope="module")
def shop() -> Iterator[SimulatorProcess]:
    """A shop whose sales fill more pages than a read needs to count as long."""
    with SimulatorProcess(sales=1_500, items=20, customers=10, days=20, no_limits=True, grant=True) as running:
        running.advance(600)
        yield running


def followed(shop: SimulatorProcess, folder: Path, resource: str = "Sale") -> list[Progress]:
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
        most_chains=1,
    )
    return seen


def test_progress_comes_with_every_page_and_ends_with_all_rows(shop: SimulatorProcess, tmp_path: Path) -> None:
    """Also for reads that are shorter than a batch."""
    seen = followed(shop, tmp_path)
    truth = len(shop.truth("Sale"))
    assert [progress.rows for progress in seen[:3]] == [100, 200, 300]
    assert (seen[-1].rows, seen[-1].done, seen[-1].seconds_left) == (truth, 1.0, 0.0)
    assert followed(shop, tmp_path, "Shop")[-1].rows == len(shop.truth("Shop"))


def test_estimate_costs_one_request_and_only_on_a_long_read(shop: SimulatorProcess, tmp_path: Path) -> None:
    """Nobody pays for a progress bar on a read of a few pages. One request more cuts the window by the server's clock."""
    pages = -(-len(shop.truth("Sale")) // 100)
    assert followed(shop, tmp_path, "Sale")[-1].requests == 1 + pages + 1
    assert followed(shop, tmp_path, "Customer")[-1].requests == 1 + 1


def test_estimate_is_unknown_first_and_rises_to_one(shop: SimulatorProcess, tmp_path: Path) -> None:
    """Sales have dense keys: halfway through the pages about half is done."""
    seen = followed(shop, tmp_path)
    assert [progress.done for progress in seen[: ASK_AFTER - 1]] == [None] * (ASK_AFTER - 1)
    known = [progress.done for progress in seen if progress.done is not None]
    assert known == sorted(known)
    # The chain goes on while the last key is asked for.
    assert known[0] >= ASK_AFTER / len(seen) - 0.1


def test_last_key_that_cannot_be_had_leaves_the_estimate_unknown(shop: SimulatorProcess, tmp_path: Path) -> None:
    """A refused estimate ends no extract."""
    shop.faults({"action": "status", "path": "sort=-saleID", "status": 400, "count": None})
    try:
        seen = followed(shop, tmp_path)
    finally:
        shop.clear_faults()
    assert {progress.done for progress in seen[:-1]} == {None}
    assert seen[-1].rows == len(shop.truth("Sale"))
