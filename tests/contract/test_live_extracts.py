"""Extracts hold exactly what the account holds also where the live API contradicts its documentation."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lightspeed.arrow.types import shape_of
from airflow_provider_lightspeed.exceptions import RelationUnavailable
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.relations import ENOUGH, ESSENTIAL
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.summary import Summary
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.resources.catalog import resource, resource_names
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.fakes import client_of
from tests.support.interference import SharedTime
from tests.support.tables import joined, plain
from tests.support.truth import assert_equal, rows_of

#: Without A12, whose tries wait, and A5: the test's token outlives it.
LIVE = "all,-A12,-A5"


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(
        sales=230, items=40, customers=30, days=20, registers=2, no_limits=True, grant=True, live=LIVE,
        token_life=10_000_000,
    ) as running:  # fmt: skip
        running.advance(600)
        yield running


@pytest.fixture(autouse=True)
def switched(simulator: SimulatorProcess) -> Iterator[None]:
    yield
    simulator.live(LIVE)


def run(simulator: SimulatorProcess, folder: Path, name: str, key: str = "run", **options: Any) -> Summary:
    client = client_of(simulator, clock=SharedTime(simulator))
    if name == "CatalogSearch":
        options["filters"] = {"description": "~,%"}
    job = Job.of(name, **options)
    start = datetime(2020, 1, 1, tzinfo=UTC) if job.resource.strategy.value == "period" else None
    facts = RunFacts(start=start, end=client.server_now() + timedelta(minutes=1) if start else None)
    return extract(client, Storage.at(str(folder)), job, facts, run_key=key, attempt="1", most_chains=1)


def whole(simulator: SimulatorProcess, folder: Path, name: str, relations: list[str]) -> list[dict[str, Any]]:
    """Extract a resource in both layouts; return the rows, which are the same in both."""
    shape = shape_of(resource(name), relations)
    run(simulator, folder / "nested", name, relations=relations, mode="full")
    summary = run(simulator, folder / "tables", name, relations=relations, mode="full", relation_layout="tables")
    rows = plain(shape, rows_of(folder / "nested", name))
    tables = {table: rows_of(folder / "tables", name, table) for table in ("", *summary.tables)}
    assert plain(shape, tables[""] if resource(name).primary_key is None else joined(shape, tables)) == rows
    return rows


@pytest.mark.parametrize("name", resource_names())
def test_live_extract_equals_the_truth_field_by_field(name: str, simulator: SimulatorProcess, tmp_path: Path) -> None:
    """With all switches on: record by record, no more and no less."""
    summary = run(simulator, tmp_path, name)
    rows = rows_of(tmp_path, name)
    assert summary.rows == len(rows)
    assert_equal(name, rows, simulator.truth(name))


def _with_relations() -> list[Any]:
    quick = ("Sale", "Order", "CreditAccount")
    found = [
        name
        for name in resource_names()
        if resource(name).relations and not name.startswith("DisplayTemplate") and not resource(name).parents
    ]
    return [pytest.param(name, marks=[] if name in quick else pytest.mark.slow) for name in found]


def _relations(name: str) -> list[str]:
    return [key for key, facts in resource(name).relations.items() if not facts.single_only]


@pytest.mark.parametrize("name", _with_relations())
def test_live_relations_are_whole_in_both_layouts(name: str, simulator: SimulatorProcess, tmp_path: Path) -> None:
    """All relations at once are too many (C1): read in pieces, they hold what comes at once where they are not."""
    relations = _relations(name)
    live = whole(simulator, tmp_path / "live", name, relations)
    simulator.live(f"{LIVE},-C1")
    assert whole(simulator, tmp_path / "at once", name, relations) == live


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Sale", "Item", "Order", "Customer"])
@pytest.mark.parametrize("switch", ["C2", "C3", "C1"])
def test_each_relation_refused_dropped_or_exploding_loses_nothing_in_silence(
    name: str, switch: str, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    """One relation at a time: the others are whole; the one is named, or ends the run by its name."""
    simulator.live("none")
    relations = [key for key in _relations(name) if "." not in key]
    truth = whole(simulator, tmp_path / "truth", name, relations)
    for relation in relations:
        simulator.live(f"{switch}={'1' if switch == 'C1' else f'{name}.{relation}'}")
        folder = tmp_path / relation
        if switch == "C3" and relation in ESSENTIAL:
            with pytest.raises(RelationUnavailable, match=relation):
                run(simulator, folder, name, relations=relations, mode="full")
            assert not list(folder.glob(f"{name}/*.parquet"))
            continue
        summary = run(simulator, folder, name, relations=relations, mode="full")
        rows = plain(shape_of(resource(name), relations), rows_of(folder, name))
        if switch == "C1":
            assert rows == truth
            break
        column = resource(name).relations[relation].container_key
        is_named = relation in (*summary.relations_refused, *summary.relations_missing)
        assert is_named or switch != "C2", relation
        is_lost = any(row.get(column) != other.get(column) for row, other in zip(rows, truth, strict=True))
        # A few records that should have it prove nothing, nor does the absence of a note, which no key announces.
        owners = sum(other.get(column) is not None for other in truth)
        if owners >= ENOUGH and relation != "SaleNotes":
            assert is_named or not is_lost or resource(name).relations[relation].is_sparse, relation
        for row, other in zip(rows, truth, strict=True):
            assert {key: value for key, value in row.items() if key != column} == {
                key: value for key, value in other.items() if key != column
            }
