"""Deletions leave no trace in any window: a sweep finds them, for few drips, and buries nothing that is there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lightspeed.exceptions import InvalidArgument, SweepAborted
from airflow_provider_lightspeed.extract import attempt
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.summary import Summary
from airflow_provider_lightspeed.extract.sweep import check_sweepable
from airflow_provider_lightspeed.extract.window import NothingToRead, RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.fakes import client_of
from tests.support.interference import SharedTime
from tests.support.truth import rows_of

NOW = timedelta(0)


def read(
    shop: SimulatorProcess, folder: Path, name: str, key: str, *, every: timedelta | None = NOW, **options: Any
) -> Summary:
    client = client_of(shop, clock=SharedTime(shop))
    storage, job = Storage.at(str(folder)), Job.of(name, **options)
    return extract(
        client, storage, job, RunFacts(), run_key=key, attempt="1", clock=SharedTime(shop), sweep_every=every
    )


def buried(folder: Path, name: str, key: str) -> set[int]:
    return {row[key] for row in rows_of(folder, name, "tombstones")}


def test_deleted_records_get_tombstones_and_others_do_not(shop: SimulatorProcess, tmp_path: Path) -> None:
    """With the time of the sweep, so that a row that is extracted later lives again."""
    read(shop, tmp_path, "Item", "first")
    for key in (3, 40, 119):
        shop.mutate("delete", resource="Item", key=key)
    shop.advance(600)
    summary = read(shop, tmp_path, "Item", "second")
    assert summary.swept == {"deleted": 3, "archived_unseen": 0, "added_unseen": 0}
    assert buried(tmp_path, "Item", "itemID") == {3, 40, 119}
    (row, *_) = rows_of(tmp_path, "Item", "tombstones")
    assert (row["_reason"], row["_account_id"]) == ("deleted", shop.account_id)
    assert row["_extracted_at"] > max(
        each["_extracted_at"] for each in rows_of(tmp_path, "Item") if each["itemID"] == 3
    )


def test_deletion_is_found_once(shop: SimulatorProcess, tmp_path: Path) -> None:
    """What has a tombstone is known no longer."""
    read(shop, tmp_path, "Item", "first")
    shop.mutate("delete", resource="Item", key=7)
    shop.advance(600)
    read(shop, tmp_path, "Item", "second")
    shop.advance(600)
    shop.mutate("update", resource="Item", key=8, fields={"description": "new"})
    shop.advance(600)
    assert read(shop, tmp_path, "Item", "third").swept == {"deleted": 0, "archived_unseen": 0, "added_unseen": 0}
    assert len(rows_of(tmp_path, "Item", "tombstones")) == 1


@pytest.mark.parametrize("layout", ["nested", "tables"])
def test_payment_archived_without_touching_its_sale_is_read_again(
    layout: str, shop: SimulatorProcess, tmp_path: Path
) -> None:
    """No window shows it: payments are read through their sales. The way back is found as well."""
    read(shop, tmp_path, "SalePayment", "first", relation_layout=layout)
    live = [row["salePaymentID"] for row in shop.truth("SalePayment") if not row["archived"]][:3]
    for key, archived in ((live[0], True), (live[1], True)):
        shop.mutate("update", resource="SalePayment", key=key, fields={"archived": archived})
    shop.advance(600)
    assert read(shop, tmp_path, "SalePayment", "second", relation_layout=layout).swept["archived_unseen"] == 2
    newest = {row["salePaymentID"]: row for row in sorted(rows_of(tmp_path, "SalePayment"), key=_extracted)}
    assert [newest[key]["archived"] for key in live] == [True, True, False]
    shop.mutate("update", resource="SalePayment", key=live[0], fields={"archived": False})
    shop.advance(600)
    assert read(shop, tmp_path, "SalePayment", "third", relation_layout=layout).swept["archived_unseen"] == 1
    newest = {row["salePaymentID"]: row for row in sorted(rows_of(tmp_path, "SalePayment"), key=_extracted)}
    assert not newest[live[0]]["archived"]


def _extracted(row: dict[str, Any]) -> Any:
    return row["_extracted_at"]


def test_too_many_missing_records_are_taken_for_lost_rights(shop: SimulatorProcess, tmp_path: Path) -> None:
    """No tombstone is written, the window's rows are committed all the same, and the error says what to do."""
    read(shop, tmp_path, "Item", "first")
    for key in range(1, 12):
        shop.mutate("delete", resource="Item", key=key)
    shop.mutate("update", resource="Item", key=50, fields={"description": "changed"})
    shop.advance(600)
    with pytest.raises(SweepAborted, match=r"11 of 120 known records.*lost rights.*mode='full'"):
        read(shop, tmp_path, "Item", "second")
    assert not (tmp_path / "Item.tombstones").exists()
    assert [row["description"] for row in rows_of(tmp_path, "Item") if row["itemID"] == 50][-1] == "changed"


def test_record_that_is_there_when_asked_for_gets_no_tombstone(shop: SimulatorProcess, tmp_path: Path) -> None:
    """A list that leaves records out is not believed."""
    read(shop, tmp_path, "Item", "first")
    shop.mutate("update", resource="Item", key=9, fields={"archived": True})
    shop.mutate("update", resource="Item", key=9, fields={"archived": False})
    # The whole list as if archived records were left out: key 9 is missing from it, and comes when asked for.
    shop.mutate("update", resource="Item", key=9, fields={"archived": True})
    shop.faults({"action": "ignore_filter", "path": r"/Item\.json.*limit=100", "fields": ["archived"], "count": 2})
    shop.advance(600)
    summary = read(shop, tmp_path, "Item", "second")
    shop.clear_faults()
    assert summary.swept["deleted"] == 0


def test_sweep_keeps_its_own_cadence(shop: SimulatorProcess, tmp_path: Path) -> None:
    """Seven days after the first extract, then seven days after the sweep; the runs between pay nothing."""
    week = timedelta(days=7)
    read(shop, tmp_path, "Item", "first", every=week)
    shop.mutate("delete", resource="Item", key=7)
    swept = []
    for day in range(1, 16):
        shop.advance(86_401)  # the server's clock is read in whole seconds
        shop.mutate("update", resource="Item", key=8, fields={"description": f"day {day}"}, at=_before(shop))
        swept.append(bool(read(shop, tmp_path, "Item", f"day {day}", every=week).swept))
    assert [day for day, found in enumerate(swept, 1) if found] == [7, 14]


def _before(shop: SimulatorProcess) -> str:
    return datetime.fromtimestamp(shop.advance(0) - 3_600, UTC).isoformat(timespec="seconds")


def test_run_that_finds_deletions_alone_is_not_skipped(
    shop: SimulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its window is empty, and yet there is something to merge; without any, it is."""
    read(shop, tmp_path, "Item", "first")
    shop.mutate("delete", resource="Item", key=7)

    def nothing(*_: Any, **__: Any) -> Any:
        raise NothingToRead("all is read")

    monkeypatch.setattr(attempt, "resolve_window", nothing)
    shop.advance(2)
    summary = read(shop, tmp_path, "Item", "second")
    assert (summary.rows, summary.swept, summary.tables) == (
        0,
        {"deleted": 1, "archived_unseen": 0, "added_unseen": 0},
        {"tombstones": 1},
    )
    shop.advance(2)
    with pytest.raises(NothingToRead):
        read(shop, tmp_path, "Item", "third")


def test_sweep_of_a_resource_that_is_read_whole_is_none(shop: SimulatorProcess, tmp_path: Path) -> None:
    """Its newest commit is all there is."""
    for key in ("first", "second"):
        assert read(shop, tmp_path, "PaymentType", key).swept == {}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Sale", {"filters": {"completed": True}}, "leave the filters out"),
        ("Sale", {"exclude_columns": ["saleID"]}, "needs 'saleID'"),
        ("ReportsAccountingPaymentsByDay", {}, "cannot be swept"),
        ("ItemImage", {}, "cannot be swept"),
    ],
)
def test_sweep_that_could_not_tell_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    """Before a request is sent; the error says why."""
    with pytest.raises(InvalidArgument, match=f"detect_deletes: .*{message}"):
        check_sweepable(Job.of(name, **options))


def test_b1_sweep_of_sales_does_not_trust_the_archived_parameter(shop: SimulatorProcess, tmp_path: Path) -> None:
    """The live API ignores it on Sale: what it lists as archived is every sale."""
    shop.live("B1")
    read(shop, tmp_path, "Sale", "first")
    shop.mutate("delete", resource="Sale", key=7)
    shop.advance(600)
    assert read(shop, tmp_path, "Sale", "second").swept == {"deleted": 1, "archived_unseen": 0, "added_unseen": 0}


def drips(shop: SimulatorProcess, folder: Path, name: str, key: str) -> tuple[float, dict[str, int]]:
    """Return what a sweep costs besides the read of its window, and what it found."""
    shop.advance(600)
    plain = read(shop, folder, name, f"{key} plain", every=None)
    shop.advance(2)  # there is a window to read again
    swept = read(shop, folder, name, key, every=NOW)
    return swept.drips - plain.drips, dict(swept.swept)


@pytest.mark.parametrize("live", ["none", "B1"])
def test_b1_sweep_of_unchanged_sales_costs_what_counting_costs(
    live: str, shop: SimulatorProcess, tmp_path: Path
) -> None:
    """Sale ignores ``archived`` and lists every sale as archived: none is read again for that, sweep after sweep."""
    shop.live(live)
    read(shop, tmp_path, "Sale", "first")
    for key in ("second", "third"):
        spent, swept = drips(shop, tmp_path, "Sale", key)
        assert swept == {"deleted": 0, "archived_unseen": 0, "added_unseen": 0}
        # The account, the pages of 330 keys, one page of archived sales.
        assert spent <= 1 + 4 + 1


def test_b8_deletion_is_found_though_the_live_api_says_nothing(shop: SimulatorProcess, tmp_path: Path) -> None:
    """With the live API's lists of sales, archived or not."""
    shop.live("all")
    read(shop, tmp_path, "Sale", "first")
    shop.mutate("delete", resource="Sale", key=7)
    assert drips(shop, tmp_path, "Sale", "second")[1]["deleted"] == 1


@pytest.mark.parametrize("live", ["none", "all"])
def test_b10_deleted_customer_is_wiped_in_the_dataset(live: str, shop: SimulatorProcess, tmp_path: Path) -> None:
    """Also one that was archived before, and whose change no window shows; each is read again once."""
    shop.live(live)
    shop.mutate("update", resource="Customer", key=5, fields={"archived": True})
    shop.advance(600)
    changed = {row["customerID"]: row["timeStamp"] for row in shop.truth("Customer")}
    read(shop, tmp_path, "Customer", "first", relations=["Contact"])
    for key in (5, 6):
        shop.mutate("delete_customer", customer=key, at=changed[key])
    shop.advance(600)
    assert read(shop, tmp_path, "Customer", "second", relations=["Contact"]).swept["archived_unseen"] == 2
    newest = {row["customerID"]: row for row in sorted(rows_of(tmp_path, "Customer"), key=_extracted)}
    for key in (5, 6):
        assert (newest[key]["archived"], newest[key]["firstName"], newest[key]["lastName"]) == (True, "", "")
    shop.advance(600)
    assert read(shop, tmp_path, "Customer", "third", relations=["Contact"]).swept["archived_unseen"] == 0


def test_record_without_a_change_time_is_in_the_first_read_and_found_by_sweeps(
    shop: SimulatorProcess, tmp_path: Path
) -> None:
    """No window shows it, since the API cannot compare what is not there."""
    shop.mutate("update", resource="Item", key=4, fields={"timeStamp": None})
    shop.advance(600)
    summary = read(shop, tmp_path, "Item", "first")
    assert summary.rows == 120
    assert summary.watermark == summary.window_end
    start = datetime.now(UTC) - timedelta(days=3000)
    explicit = RunFacts(start=start, end=summary.window_end)
    other = tmp_path / "explicit"
    extract(client_of(shop), Storage.at(str(other)), Job.of("Item"), explicit, run_key="one", attempt="1")
    assert {row["itemID"] for row in rows_of(other, "Item")} == set(range(1, 121)) - {4}
    shop.advance(600)
    assert read(shop, other, "Item", "second").swept == {"deleted": 0, "archived_unseen": 0, "added_unseen": 1}
    assert 4 in {row["itemID"] for row in rows_of(other, "Item")}
