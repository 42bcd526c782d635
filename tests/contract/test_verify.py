"""A read that is verified has missed nothing: each key in between is read, or answers nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lightspeed.exceptions import InvalidArgument, RowsMissed
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.summary import Summary
from airflow_provider_lightspeed.extract.verify import check_verifiable
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.fakes import client_of

#: Lists, but no question for keys, come without archived records.
HIDDEN = {
    "action": "ignore_filter",
    "path": r"/Item\.json\?(?!.*IN%2C)(?!.*count=1)",
    "fields": ["archived"],
    "count": None,
}


@pytest.fixture(scope="module")
def shop() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(
        sales=120, items=120, customers=30, days=5, no_limits=True, grant=True, token_life=10_000_000
    ) as running:
        running.advance(600)
        for key in (4, 60):
            running.mutate("update", resource="Item", key=key, fields={"archived": True})
        for key in (7, 8):
            running.mutate("delete", resource="Item", key=key)
        running.advance(700)  # beyond settle time and overlap: a second window begins after these changes
        yield running


@pytest.fixture
def hidden(shop: SimulatorProcess) -> Iterator[list[int]]:
    shop.faults(HIDDEN)
    yield sorted(row["itemID"] for row in shop.truth("Item") if row["archived"])
    shop.clear_faults()


def read(shop: SimulatorProcess, folder: Path, key: str, name: str = "Item", **options: Any) -> Summary:
    storage, every = Storage.at(str(folder)), options.pop("every", None)
    return extract(
        client_of(shop), storage, Job.of(name, **options), RunFacts(), run_key=key, attempt="1", verified=True,
        sweep_every=every,
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_complete_read_is_verified(
    mode: str, shop: SimulatorProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Deleted keys answer nothing; the log has the price before it is spent."""
    caplog.set_level(logging.INFO)
    assert read(shop, tmp_path, "one", mode=mode).verified == {"read": 118, "deleted": 2, "missed": 0}
    assert "Item: plan: verify 118 records, 2 keys between them, 11 drips" in caplog.text


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_missed_records_are_named_and_nothing_is_committed(
    mode: str, shop: SimulatorProcess, hidden: list[int], tmp_path: Path
) -> None:
    """Neither rows nor watermark; the next try reads everything afresh."""
    with pytest.raises(RowsMissed, match=f"were not read: itemID {', '.join(map(str, hidden))}") as caught:
        read(shop, tmp_path, "one", mode=mode)
    assert list(caught.value.keys) == hidden
    assert not (tmp_path / "Item" / "_manifest.json").exists()
    shop.clear_faults()
    assert read(shop, tmp_path, "one", mode=mode).verified == {"read": 118, "deleted": 2, "missed": 0}


def test_window_is_verified_by_its_count(shop: SimulatorProcess, tmp_path: Path) -> None:
    """Keys are asked for only if the account counts more than were read."""
    read(shop, tmp_path, "one")
    at = datetime.fromtimestamp(int(shop.advance(1_200)), UTC).isoformat()
    for key in (4, 5):
        shop.mutate("update", resource="Item", key=key, fields={"description": "new"}, at=at)
    shop.advance(600)
    shop.faults(HIDDEN)
    with pytest.raises(RowsMissed, match=r"1 record\(s\) are in the account and were not read: itemID 4\. "):
        read(shop, tmp_path, "two")
    shop.clear_faults()
    found = read(shop, tmp_path, "two")
    assert (found.rows, found.verified) == (2, {"read": 2, "deleted": 0, "missed": 0})


@pytest.mark.parametrize("name", ["Sale", "SalePayment", "InventoryLog", "CreditAccount", "PaymentType"])
def test_each_kind_of_read_can_be_verified(name: str, shop: SimulatorProcess, tmp_path: Path) -> None:
    """By change time, through a parent, a log, several lists, a snapshot; a second run too."""
    for run in ("one", "two"):
        found = read(shop, tmp_path, run, name)
        assert found.verified["missed"] == 0
        shop.advance(600)


def test_verified_sweep_lists_all_keys(shop: SimulatorProcess, tmp_path: Path) -> None:
    """It finds what opposite changes hide from counts."""
    read(shop, tmp_path, "one")
    shop.advance(600)
    assert read(shop, tmp_path, "two", every=timedelta()).swept == {
        "deleted": 0,
        "archived_unseen": 0,
        "added_unseen": 0,
    }


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Sale", {"exclude_columns": ["saleID"]}, "needs 'saleID'"),
        ("ReportsAccountingPaymentsByDay", {}, "cannot be verified"),
        ("ItemImage", {}, "cannot be verified"),
        ("Sale", {"filters": {"saleID": ">,5"}, "mode": "full"}, "a filter on 'saleID'"),
    ],
)
def test_read_that_cannot_be_verified_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    """Before a request is sent; the error says why."""
    with pytest.raises(InvalidArgument, match=f"verify: .*{message}"):
        check_verifiable(Job.of(name, **options))
