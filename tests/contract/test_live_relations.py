"""What the live API does with relations against its documentation: the rows are the same, or it is said what they lack."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lightspeed.exceptions import AccessDenied, RelationUnavailable, ResourceUnavailable, ServerFault
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.summary import Summary
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.resources.catalog import resource
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.fakes import client_of
from tests.support.interference import SharedTime
from tests.support.truth import rows_of

#: All relations of a sale, which no live account loads at once.
ALL = tuple(resource("Sale").relations)


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(
        sales=330, items=60, customers=60, days=20, no_limits=True, grant=True, token_life=10_000_000
    ) as running:
        running.advance(600)
        yield running


@pytest.fixture(autouse=True)
def documented(simulator: SimulatorProcess) -> Iterator[None]:
    yield
    simulator.live("none")
    simulator.clear_faults()


def run(simulator: SimulatorProcess, folder: Path, name: str = "Sale", key: str = "run", **options: Any) -> Summary:
    client = client_of(simulator, clock=SharedTime(simulator), random=lambda: 0.5)
    job = Job.of(name, **options)
    return extract(client, Storage.at(str(folder)), job, RunFacts(), run_key=key, attempt="1")


def plain(folder: Path, name: str = "Sale") -> str:
    """Return a dataset's rows without the time that they were read at."""
    rows = rows_of(folder, name)
    for row in rows:
        for column in ("_extracted_at", "_window_start", "_window_end"):
            row.pop(column, None)
    return json.dumps(rows, default=str, sort_keys=True)


def requests_of(simulator: SimulatorProcess, name: str = "Sale") -> list[dict[str, Any]]:
    return [each for each in simulator.audit("api")["requests"] if f"/{name}.json" in str(each)]


@pytest.mark.parametrize("most", [8, 3, 1])
def test_c1_too_many_relations_are_read_in_pieces_with_the_same_rows(
    most: int, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    """Half a page first, then fewer relations at a time, for the same keys, joined by the key."""
    run(simulator, tmp_path / "documented", relations=ALL)
    simulator.live(f"C1={most}")
    if most == 1:  # a relation below another one cannot come without it
        with pytest.raises(ServerFault):
            run(simulator, tmp_path / "deep", relations=ALL)
        relations = tuple(name for name in ALL if "." not in name)
        run(simulator, tmp_path / "plain", relations=relations, key="live")
        simulator.live("none")
        run(simulator, tmp_path / "same", relations=relations)
        assert plain(tmp_path / "plain") == plain(tmp_path / "same")
        return
    run(simulator, tmp_path / "live", relations=ALL)
    assert plain(tmp_path / "live") == plain(tmp_path / "documented")


def test_c1_the_next_run_asks_in_pieces_from_the_start(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """A failed request is charged like any other; what was learned is in the commit."""
    simulator.live("C1=8")
    first = run(simulator, tmp_path, relations=ALL, key="monday")
    simulator.advance(3600)
    simulator.mutate("sell", count=2)
    simulator.advance(600)
    simulator.clear_audit()
    second = run(simulator, tmp_path, relations=ALL, key="tuesday")
    assert first.retries
    assert second.rows >= 2
    assert second.retries == 0


def test_c2_refused_relation_is_dropped_said_and_remembered(
    simulator: SimulatorProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Exactly that one; the next run does not ask for it."""
    simulator.live("C2=Sale.SalePayments.PaymentType")
    relations = ["SaleLines", "SalePayments.PaymentType"]
    with caplog.at_level(logging.WARNING):
        summary = run(simulator, tmp_path, relations=relations, key="monday")
    assert summary.relations_refused == ("SalePayments.PaymentType",)
    assert summary.as_xcom()["relations_refused"] == ["SalePayments.PaymentType"]
    assert caplog.text.count("refuses the relation SalePayments.PaymentType") == 1
    rows = rows_of(tmp_path, "Sale")
    assert len(rows) == summary.rows
    payments = [payment for row in rows for payment in row["SalePayments"]]
    assert payments
    assert {payment["PaymentType"] for payment in payments} == {None}
    simulator.advance(3600)
    simulator.mutate("sell", count=1)
    simulator.advance(600)
    before = simulator.counters()
    again = run(simulator, tmp_path, relations=relations, key="tuesday")
    assert again.relations_refused == ("SalePayments.PaymentType",)
    assert again.rows
    assert again.requests <= 2  # the account's clock, one page
    assert before


def test_c2_refused_relation_fails_where_that_is_asked_for(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """Nothing is committed."""
    simulator.live("C2=Sale.SaleLines")
    with pytest.raises(RelationUnavailable, match="refuses the relations SaleLines"):
        run(simulator, tmp_path, relations=["SaleLines"], on_missing_relation="fail")
    assert not list(tmp_path.glob("Sale/*.parquet"))


@pytest.mark.parametrize("layout", ["nested", "tables"])
def test_c2_relation_that_worked_before_is_an_error_and_its_records_stay(
    layout: str, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    """Sales that were read anew without their lines would retire the lines that earlier commits hold."""
    options: dict[str, Any] = {"relations": ["SaleLines"], "relation_layout": layout}
    run(simulator, tmp_path, key="monday", **options)
    before = plain(tmp_path)
    simulator.live("C2=Sale.SaleLines")
    simulator.advance(3600)
    simulator.mutate("sell", count=1)
    simulator.advance(600)
    for mode in ("incremental", "full"):
        with pytest.raises(RelationUnavailable, match="earlier runs could load"):
            run(simulator, tmp_path, key=mode, mode=mode, **options)
    assert plain(tmp_path) == before
    simulator.live("none")
    assert run(simulator, tmp_path, key="wednesday", **options).rows


def test_c3_relation_that_no_record_shows_is_said(
    simulator: SimulatorProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After it was asked for alone, once; or it fails the run, by policy."""
    simulator.live("C3=Customer.Contact")
    with caplog.at_level(logging.WARNING):
        summary = run(simulator, tmp_path, "Customer", relations=["Contact"])
    assert summary.relations_missing == ("Contact",)
    assert "Contact was asked for, also alone, and none of" in caplog.text
    with pytest.raises(RelationUnavailable, match="Contact"):
        run(simulator, tmp_path / "strict", "Customer", relations=["Contact"], on_missing_relation="fail")
    assert not list((tmp_path / "strict").glob("Customer/*.parquet"))


def test_c3_sales_without_any_lines_are_never_a_result(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """Nearly every sale has lines. A run without any commits nothing, so no warehouse drops the lines that it has."""
    options: dict[str, Any] = {"relations": ["SaleLines"], "mode": "full"}
    run(simulator, tmp_path, **options)
    before = plain(tmp_path)
    simulator.live("C3=Sale.SaleLines")
    with pytest.raises(RelationUnavailable, match="SaleLines"):
        run(simulator, tmp_path, key="second", **options)
    assert plain(tmp_path) == before


def test_c3_record_that_a_key_names_and_earlier_runs_showed_is_never_missing(
    simulator: SimulatorProcess, tmp_path: Path
) -> None:
    """The key says that each customer has a contact, and earlier runs had it: without any, nothing is committed."""
    options: dict[str, Any] = {"relations": ["Contact"], "mode": "full"}
    run(simulator, tmp_path, "Customer", **options)
    simulator.live("C3=Customer.Contact")
    with pytest.raises(RelationUnavailable, match="Contact"):
        run(simulator, tmp_path, "Customer", key="second", **options)


def test_c3_without_a_relation_the_records_of_it_cannot_be_read(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """Payments are read through their sales: no payments at all are no result, whatever the policy."""
    for switch in ("C3=Sale.SalePayments", "C2=Sale.SalePayments"):
        simulator.live(switch)
        with pytest.raises(RelationUnavailable, match="SalePayments"):
            run(simulator, tmp_path, "SalePayment")
    assert not list(tmp_path.glob("SalePayment/*.parquet"))


def test_c6_relations_that_are_sparse_by_nature_are_no_fault(
    simulator: SimulatorProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Absent is normal; nothing is asked for a second time."""
    simulator.live("C6")
    with caplog.at_level(logging.WARNING):
        summary = run(simulator, tmp_path, "Item", relations=["ItemComponents", "ItemECommerce", "ItemShops"])
    assert not summary.relations_missing
    assert "asked for" not in caplog.text


@pytest.mark.parametrize("switch", ["B6=live", "B6=documented", "none", "B6=live,D6"])
def test_b6_change_time_is_read_in_either_spelling(switch: str, simulator: SimulatorProcess, tmp_path: Path) -> None:
    """An incremental read whose filter is refused takes the other spelling, for the rest of the run."""
    simulator.live("none")
    run(simulator, tmp_path, key="monday")
    simulator.live(switch)
    simulator.advance(3600)
    sold = simulator.mutate("sell", count=3)
    simulator.advance(600)
    assert sold
    summary = run(simulator, tmp_path, key="tuesday")
    assert summary.rows >= 3
    moved = resource("Sale").entity.find("updatetime").name
    assert all(row[moved] for row in rows_of(tmp_path, "Sale"))


def test_c11_shipments_are_read_in_small_pages(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """And with a longer time-out, which the transport is told."""
    run(simulator, tmp_path, "Shipment")
    assert resource("Shipment").page_size == 50
    assert resource("Shipment").timeout == 300
    assert all("limit=50" in json.dumps(each) for each in requests_of(simulator, "Shipment"))


def test_a2_missing_right_names_resource_and_scope(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """It costs no refresh, and is skipped only if that is asked for."""
    simulator.live("A2=Customer")
    with pytest.raises(AccessDenied, match=r"Customer: .*employee") as caught:
        run(simulator, tmp_path, "Customer")
    assert not isinstance(caught.value, ResourceUnavailable)
    assert caught.value.resource == "Customer"
    with pytest.raises(ResourceUnavailable, match="Customer"):
        run(simulator, tmp_path, "Customer", on_unavailable="skip")


def test_a3_resource_that_worked_before_is_never_skipped(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """Else a lost right looks like a quiet week."""
    run(simulator, tmp_path, "Customer", key="monday")
    simulator.live("A2=Customer")
    simulator.advance(3600)
    with pytest.raises(AccessDenied, match="could be read until") as caught:
        run(simulator, tmp_path, "Customer", key="tuesday", on_unavailable="skip")
    assert not isinstance(caught.value, ResourceUnavailable)
