"""Two ways lead to a to-one relation; the cheaper one is taken, and both yield the same rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.fakes import client_of
from tests.support.truth import rows_of

#: Three records each, on every page for 0.2 drips.
RELATIONS = ["TaxCategory", "TaxClass"]


@pytest.fixture(scope="module")
def shop() -> Iterator[SimulatorProcess]:
    """A shop with lines on some seventy pages."""
    with SimulatorProcess(sales=3_500, items=40, customers=30, days=20, registers=40, grant=True) as running:
        running.advance(600)
        yield running


def read(shop: SimulatorProcess, folder: Path, relations: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Extract all lines; return the rows in a comparable form, and the paths that were asked for."""
    shop.clear_audit()
    job = Job.of("SaleLine", mode="full", relations=relations)
    extract(client_of(shop), Storage.at(str(folder)), job, RunFacts(), run_key="one", attempt="1", most_chains=1)
    rows = [
        {name: value for name, value in row.items() if not name.startswith(("_extracted", "_window"))}
        for row in rows_of(folder, "SaleLine")
    ]
    return rows, [entry["path"] for entry in shop.audit("api")["requests"]]


def loaded(shop: SimulatorProcess, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Extract with the relations loaded on every page."""
    monkeypatch.setattr("airflow_provider_lightspeed.extract.lookups.WORTH_CHANGING", 1e9)
    rows, paths = read(shop, folder, RELATIONS)
    monkeypatch.undo()
    assert not [path for path in paths if "TaxC" in path and "SaleLine" not in path]
    return rows


def test_few_related_records_are_read_from_their_own_list(
    shop: SimulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row by row the same as with the relations loaded, for fewer drips."""
    expected = loaded(shop, tmp_path / "loaded", monkeypatch)
    dear = shop.counters()["drips"]
    rows, paths = read(shop, tmp_path / "own", RELATIONS)
    assert [row["saleLineID"] for row in rows] == [row["saleLineID"] for row in expected]
    assert rows == expected
    assert any(row["TaxCategory"] for row in rows)
    assert Counter("load_relations" in path for path in paths if "/SaleLine.json" in path)[False] > 50
    assert shop.counters()["drips"] < 0.85 * dear


def test_list_that_differs_from_what_was_loaded_is_not_used(
    shop: SimulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first pages are held against it: one record that is not the same, and the relation goes on being loaded."""
    expected = loaded(shop, tmp_path / "loaded", monkeypatch)
    before = shop.truth("TaxClass")[0]
    # The list leaves the record out that the lines refer to.
    shop.faults(
        {
            "action": "html",
            "path": r"/TaxClass\.json\?(?!.*sort)",
            "body": '{"@attributes": {"next": "", "previous": ""}}',
            "content_type": "application/json",
            "count": None,
        }
    )
    try:
        rows, paths = read(shop, tmp_path / "own", ["TaxCategory", "TaxClass"])
    finally:
        shop.clear_faults()
    assert before["taxClassID"]
    assert rows == expected
    assert [path for path in paths if "/SaleLine.json" in path and "TaxClass" in path][6:]


def test_list_that_may_not_be_read_is_not_needed(
    shop: SimulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scope may cover the relation and not its list: then the relation is loaded as before."""
    expected = loaded(shop, tmp_path / "loaded", monkeypatch)
    shop.faults({"action": "status", "status": 403, "path": r"/TaxC[a-z]+\.json", "count": None})
    try:
        rows, _ = read(shop, tmp_path / "own", RELATIONS)
    finally:
        shop.clear_faults()
    assert rows == expected
