"""Gift cards are credit accounts that the live API lists apart (B4): one dataset holds both, each account once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lightspeed.exceptions import ServerFault
from airflow_provider_lightspeed.extract import attempt as attempt_module
from airflow_provider_lightspeed.extract import chain, pages, slices
from airflow_provider_lightspeed.extract.pages import count_records
from airflow_provider_lightspeed.extract.plan import Job, make_plan
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.summary import Summary
from airflow_provider_lightspeed.extract.window import RunFacts, Window
from airflow_provider_lightspeed.lake.records import ReadState
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.fakes import NOON, client_of
from tests.support.interference import SharedTime
from tests.support.truth import assert_equal, rows_of

OPTIONS: dict[str, Any] = {
    "sales": 400,
    "items": 40,
    "customers": 2_000,
    "days": 20,
    "registers": 40,
    "latency_ms": 30,
    "no_limits": True,
    "grant": True,
    "token_life": 10**7,
}


@pytest.fixture(params=["B4", "none"], scope="module")
def till(request: pytest.FixtureRequest) -> Iterator[SimulatorProcess]:
    """A shop whose plain list leaves gift cards out, as the live API's does, and one whose list has all."""
    with SimulatorProcess(**OPTIONS, live=request.param) as running:
        running.advance(600)
        yield running


def read(shop: SimulatorProcess, folder: Path, key: str, *, attempt: str = "1", sweep: bool = False) -> Summary:
    return extract(
        client_of(shop, clock=SharedTime(shop)), Storage.at(str(folder)), Job.of("CreditAccount"), RunFacts(),
        run_key=key, attempt=attempt, clock=SharedTime(shop), sweep_every=timedelta(0) if sweep else None,
    )  # fmt: skip


def ids(folder: Path, table: str = "") -> list[int]:
    return sorted(row["creditAccountID"] for row in rows_of(folder, "CreditAccount", table))


def test_b4_both_lists_are_one_dataset(till: SimulatorProcess, tmp_path: Path) -> None:
    """Archived ones too; no account twice; counted once."""
    truth = till.truth("CreditAccount")
    assert {row["giftCard"] for row in truth} == {True, False}
    read(till, tmp_path, "first")
    assert ids(tmp_path) == sorted(row["creditAccountID"] for row in truth)
    plan = make_plan(Job.of("CreditAccount", mode="full"), Window(None, NOON), ReadState())
    assert count_records(client_of(till), plan) == len(truth)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one request brings is little, and stored at once: both lists take many of them."""
    for module in (pages, slices):
        monkeypatch.setattr(module, "PAGE_SIZE", 20)
    for module in (chain, attempt_module):
        monkeypatch.setattr(module, "STORE_EVERY", 0.0)


@pytest.mark.usefixtures("small_pages")
def test_b4_slices_that_are_read_side_by_side_hold_each_account_once(till: SimulatorProcess, tmp_path: Path) -> None:
    """A slice is a stretch of keys of both lists. Workers that break off together go on together."""
    truth = till.truth("CreditAccount")
    till.clear_audit()
    till.faults({"action": "status", "status": 500, "path": "CreditAccount", "nth": 25, "count": None})
    with pytest.raises(ServerFault):
        read(till, tmp_path, "first")
    till.clear_faults()
    assert not list(tmp_path.glob("CreditAccount/*.parquet"))
    counts = []
    for folder, attempt in ((tmp_path, "2"), (tmp_path / "anew", "1")):
        before = till.counters()["requests"]
        read(till, folder, "first", attempt=attempt)
        counts.append(till.counters()["requests"] - before)
        assert_equal("CreditAccount", rows_of(folder, "CreditAccount"), truth)
    assert till.counters()["max_in_flight"] > 2
    assert counts[0] < counts[1]  # what the first try has read is not read again


def test_b4_window_holds_changes_of_both_lists(till: SimulatorProcess, tmp_path: Path) -> None:
    """Each read of a list has the window."""
    read(till, tmp_path, "first")
    before = len(rows_of(tmp_path, "CreditAccount"))
    truth = till.truth("CreditAccount")
    chosen = [next(row["creditAccountID"] for row in truth if row["giftCard"] is is_gift) for is_gift in (True, False)]
    till.advance(600)
    for key in chosen:
        till.mutate("update", resource="CreditAccount", key=key, fields={"description": "changed"})
    till.advance(900)
    read(till, tmp_path, "second")
    rows = rows_of(tmp_path, "CreditAccount")
    changed = [row["creditAccountID"] for row in rows if row["description"] == "changed"]
    assert len(rows) == before + 2
    assert sorted(changed) == sorted(chosen)


def test_b4_sweep_buries_no_gift_card_that_lives(till: SimulatorProcess, tmp_path: Path) -> None:
    """Keys are listed from both lists; what was deleted or archived in either is found."""
    read(till, tmp_path, "first")
    truth = till.truth("CreditAccount")
    gifts = [row["creditAccountID"] for row in truth if row["giftCard"]]
    plain = [row["creditAccountID"] for row in truth if not row["giftCard"]]
    gone = sorted([gifts[0], plain[0]])
    for key in gone:
        till.mutate("delete", resource="CreditAccount", key=key)
    till.advance(600)
    summary = read(till, tmp_path, "second", sweep=True)
    assert summary.swept == {"deleted": 2, "archived_unseen": 0, "added_unseen": 0}
    assert ids(tmp_path, "tombstones") == gone
