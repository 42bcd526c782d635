"""Publishing never takes back what is known of a key: windows run again, full reads beside daily ones, fields that drift."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lightspeed.client.transport import Transport
from airflow_provider_lightspeed.exceptions import SchemaDrift
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.summary import Summary
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.fakes import client_of
from tests.support.interference import Interloper, Rewriter, SharedTime
from tests.support.tables import Rows
from tests.support.truth import rows_of


def read(
    shop: SimulatorProcess,
    folder: Path,
    name: str,
    key: str,
    interloper: Transport | None = None,
    facts: RunFacts = RunFacts(),  # noqa: B008 - frozen
    **options: Any,
) -> Summary:
    client = client_of(shop, transport=interloper, clock=SharedTime(shop))
    job, storage = Job.of(name, **options), Storage.at(str(folder))
    return extract(client, storage, job, facts, run_key=key, attempt=str(shop.advance(1)), most_chains=1)


def up_to_now(shop: SimulatorProcess) -> RunFacts:
    """Return a window of all years: unlike a first read, it asks for what lies in it."""
    return RunFacts(start=datetime(2000, 1, 1, tzinfo=UTC), end=datetime.fromisoformat(now(shop)))


def now(shop: SimulatorProcess) -> str:
    return datetime.fromtimestamp(int(shop.advance(0)), UTC).isoformat()


def touch(shop: SimulatorProcess, key: int, text: str, name: str = "Sale", field: str = "ticketNumber") -> None:
    shop.mutate("update", resource=name, key=key, fields={field: text}, at=now(shop))


def newest(rows: Rows, key: str, value: int) -> dict[str, Any]:
    """Return the row that is current by the read contract."""
    mine = [row for row in rows if row[key] == value]
    return max(mine, key=lambda row: (row.get("updateTime") or row.get("timeStamp"), row["_extracted_at"]))


@pytest.mark.parametrize("naming", ["source", "snake_case"])
@pytest.mark.parametrize("layout", ["nested", "tables"])
def test_window_read_again_keeps_the_rows_that_have_moved_on(
    layout: str, naming: str, shop: SimulatorProcess, tmp_path: Path
) -> None:
    """They are taken over as they stood, with all that hangs on them; no row is there twice."""
    options: dict[str, Any] = {
        "relation_layout": layout,
        "column_naming": naming,
        "relations": ["SaleLines", "SaleLines.Item"],
    }
    key = "saleID" if naming == "source" else "sale_id"
    window = up_to_now(shop)
    read(shop, tmp_path, "Sale", "first", facts=window, **options)
    before = rows_of(tmp_path, "Sale")
    lines = rows_of(tmp_path, "Sale", "SaleLines") if layout == "tables" else []
    shop.advance(3600)
    for sale in (5, 6, 300):
        touch(shop, sale, "moved on")
    shop.advance(600)
    read(shop, tmp_path, "Sale", "first", facts=window, **options)
    after = rows_of(tmp_path, "Sale")
    assert sorted(row[key] for row in after) == sorted(row[key] for row in before)
    for sale in (5, 6, 300):
        (old,) = [row for row in before if row[key] == sale]
        assert [row for row in after if row[key] == sale] == [old]
    if layout == "tables":
        again = rows_of(tmp_path, "Sale", "SaleLines")
        assert sorted((row["_root_key"], row["_path"]) for row in again) == sorted(
            (row["_root_key"], row["_path"]) for row in lines
        )
        assert [row for row in again if row["_root_key"] == 5] == [row for row in lines if row["_root_key"] == 5]
    read(shop, tmp_path, "Sale", "second", **options)
    field = "ticketNumber" if naming == "source" else "ticket_number"
    rows = [row | {"updateTime": row.get("updateTime", row.get("update_time"))} for row in rows_of(tmp_path, "Sale")]
    assert newest(rows, key, 5)[field] == "moved on"


def test_payments_of_sales_that_have_moved_on_are_kept_with_their_parents(
    shop: SimulatorProcess, tmp_path: Path
) -> None:
    """They hang on their sale: where it is read again without one, that one is gone; where it has moved on, all stay."""
    window = up_to_now(shop)
    read(shop, tmp_path, "SalePayment", "first", facts=window)
    payments = {row["salePaymentID"]: row for row in rows_of(tmp_path, "SalePayment")}
    assert {row["saleID"] for row in rows_of(tmp_path, "SalePayment", "Sale")} == {
        row["saleID"] for row in shop.truth("Sale")
    }
    gone, moved = payments[10], payments[20]
    shop.mutate("delete", resource="SalePayment", key=10)
    shop.advance(3600)
    touch(shop, moved["saleID"], "moved on")
    shop.advance(600)
    read(shop, tmp_path, "SalePayment", "first", facts=window)
    after = rows_of(tmp_path, "SalePayment")
    assert {row["salePaymentID"] for row in after} == payments.keys() - {10}
    parents = {row["saleID"]: row["_extracted_at"] for row in rows_of(tmp_path, "SalePayment", "Sale")}
    assert parents[gone["saleID"]] > gone["_extracted_at"]
    assert parents[moved["saleID"]] == moved["_extracted_at"]


def test_full_read_leaves_what_was_committed_beyond_its_end(shop: SimulatorProcess, tmp_path: Path) -> None:
    """It began before the daily run and is committed after it: the watermark is the daily run's, and so are its rows."""
    read(shop, tmp_path, "Sale", "first")

    def daily(_: Rows) -> None:
        shop.advance(3600)
        touch(shop, 5, "of today")
        shop.mutate("sell", count=2, at=now(shop))
        shop.advance(600)
        read(shop, tmp_path, "Sale", "daily")

    interloper = Interloper("Sale", at(3, daily))
    read(shop, tmp_path, "Sale", "weekly", interloper, mode="full")
    rows = rows_of(tmp_path, "Sale")
    assert {row["saleID"] for row in shop.truth("Sale")} == {row["saleID"] for row in rows}
    assert newest(rows, "saleID", 5)["ticketNumber"] == "of today"


def at(page: int, deed: Callable[[Rows], None]) -> dict[int, Callable[[Rows], None]]:
    """Return what an interloper does: one thing, after that page."""
    return {page: deed}


def loyal(record: dict[str, Any]) -> dict[str, Any]:
    """A field that the catalog does not know."""
    return record | {"loyalty": "gold"} if record["shopID"] == "1" else record


def test_unknown_field_is_kept_dropped_or_refused(shop: SimulatorProcess, tmp_path: Path) -> None:
    """By the policy; all three name it."""
    new = Rewriter("Shop", "Shop", loyal)
    kept = read(shop, tmp_path / "evolve", "Shop", "a", new)
    dropped = read(shop, tmp_path / "discard", "Shop", "a", new, schema_drift="discard")
    with pytest.raises(SchemaDrift, match=r"'freeze'.*does not know: loyalty"):
        read(shop, tmp_path / "freeze", "Shop", "a", new, schema_drift="freeze")
    assert kept.drift == dropped.drift == {"unknown": {"loyalty": 1}}
    assert [row["_extra"] for row in rows_of(tmp_path / "evolve", "Shop") if row["_extra"]] == ['{"loyalty":"gold"}']
    assert [row["_extra"] for row in rows_of(tmp_path / "discard", "Shop") if row["_extra"]] == []
    assert not (tmp_path / "freeze" / "Shop" / "_manifest.json").exists()


def test_value_of_another_type_is_drift_and_a_rounded_one_is_none(shop: SimulatorProcess, tmp_path: Path) -> None:
    """It is kept with its raw text under every policy but freeze."""

    def change(record: dict[str, Any]) -> dict[str, Any]:
        wrong = {"total": "N/A"} if record["saleID"] == "7" else {}
        return record | {"calcTotal": "0.12345678901234"} | wrong

    summary = read(shop, tmp_path / "discard", "Sale", "a", Rewriter("Sale", "Sale", change), schema_drift="discard")
    assert summary.drift == {"changed": {"total: not a number": 1}}
    with pytest.raises(SchemaDrift, match=r"do not fit: total: not a number"):
        read(shop, tmp_path / "freeze", "Sale", "a", Rewriter("Sale", "Sale", change), schema_drift="freeze")
    (row,) = [row for row in rows_of(tmp_path / "discard", "Sale") if row["saleID"] == 7]
    assert '"total":"N/A"' in row["_extra"]


def test_field_that_vanishes_is_drift_where_enough_rows_are_without_it(shop: SimulatorProcess, tmp_path: Path) -> None:
    """Against the run before; a few rows prove nothing, as fields without a value may be left out."""
    vanished = Rewriter("Sale", "Sale", lambda record: {k: v for k, v in record.items() if k != "ticketNumber"})
    read(shop, tmp_path, "Sale", "first")
    shop.advance(3600)
    touch(shop, 5, "x")
    shop.advance(600)
    assert read(shop, tmp_path, "Sale", "second", vanished).drift == {}
    shop.advance(3600)
    for sale in range(1, 120):
        touch(shop, sale, "y")
    shop.advance(600)
    with pytest.raises(SchemaDrift, match=r"no longer do: ticketNumber"):
        read(shop, tmp_path, "Sale", "third", vanished, schema_drift="freeze")
    assert read(shop, tmp_path, "Sale", "third", vanished).drift == {"vanished": ["ticketNumber"]}
