"""What a retry says of the rows that it takes up, and which rows it may not take up at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lightspeed.exceptions import ServerFault
from airflow_provider_lightspeed.extract import attempt as attempt_module
from airflow_provider_lightspeed.extract import chain as chain_module
from airflow_provider_lightspeed.extract.commit import owner_of
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.summary import Summary
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.fakes import client_of
from tests.support.interference import SharedTime
from tests.support.truth import assert_equal, rows_of

LOG = "InventoryLog"
FIELD = "costChange"


@pytest.fixture(scope="module")
def shop() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(
        sales=600, items=40, customers=30, days=20, no_limits=True, grant=True, token_life=10_000_000
    ) as running:
        running.advance(600)
        yield running


@pytest.fixture(autouse=True)
def stored_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page is stored when it has been read."""
    monkeypatch.setattr(chain_module, "STORE_EVERY", 0.0)
    monkeypatch.setattr(attempt_module, "STORE_EVERY", 0.0)


def run(shop: SimulatorProcess, folder: Path, attempt: str) -> Summary:
    """Extract the log; a request that fails is not repeated."""
    client = client_of(shop, clock=SharedTime(shop), attempts=1)
    job, storage = Job.of(LOG, mode="full"), Storage.at(str(folder))
    return extract(client, storage, job, RunFacts(), run_key="run", attempt=attempt, most_chains=1)


def cut_off(shop: SimulatorProcess, folder: Path, *, after: int, attempt: str = "1") -> None:
    """Extract until so many pages have been served; then everything fails."""
    shop.faults({"action": "status", "path": rf"/{LOG}\.json\?.*limit=100", "nth": after + 1, "count": None})
    try:
        with pytest.raises(ServerFault):
            run(shop, folder, attempt)
    finally:
        shop.clear_faults()


def change(shop: SimulatorProcess, key: int, value: Any) -> None:
    """Write to a record."""
    shop.mutate("update", resource=LOG, key=key, fields={FIELD: value})


def test_values_kept_in_extra_are_counted_over_all_tries(shop: SimulatorProcess, tmp_path: Path) -> None:
    """Of each page that was stored, not of the last one alone; as if the run had never been cut off."""
    odd = [10, 20, 110, 310, 320, 330, 510, 710]
    for key in odd:
        change(shop, key, "plenty")
    try:
        for attempt in "12":
            cut_off(shop, tmp_path / "in parts", after=3, attempt=attempt)
        in_parts = run(shop, tmp_path / "in parts", "3")
        in_one = run(shop, tmp_path / "in one", "1")
    finally:
        for key in odd:
            change(shop, key, "0")
    assert sum(in_one.set_aside.values()) == len(odd)
    assert in_parts.set_aside == in_one.set_aside


def test_journal_that_outlives_its_commit_is_not_taken_up(shop: SimulatorProcess, tmp_path: Path) -> None:
    """A try that was thought dead stored pages beside the one that committed; when the run is cleared, all is read anew."""
    cut_off(shop, tmp_path, after=5)
    journal = tmp_path / "_staging" / LOG / owner_of("run") / "journal"
    left = {path: path.read_bytes() for path in journal.iterdir()}
    run(shop, tmp_path, "2")
    change(shop, 18, "7")
    journal.mkdir(parents=True)
    for path, content in left.items():
        path.write_bytes(content)
    run(shop, tmp_path, "3")
    assert_equal(LOG, rows_of(tmp_path, LOG), shop.truth(LOG))
    assert [path for path in (tmp_path / "_staging").rglob("*") if path.is_file()] == []
