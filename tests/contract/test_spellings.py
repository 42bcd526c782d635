"""A field with two spellings (B6): a server that knows only one of them is read all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_lightspeed.exceptions import RequestRefused
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.storage import Storage
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.fakes import client_of
from tests.support.interference import SharedTime
from tests.support.truth import rows_of


def read(shop: SimulatorProcess, folder: Path, key: str, **options: object) -> list[int]:
    job = Job.of("Sale", **options)  # type: ignore[arg-type]
    extract(client_of(shop, clock=SharedTime(shop)), Storage.at(str(folder)), job, RunFacts(), run_key=key, attempt="1")
    return [row["saleID"] for row in rows_of(folder, "Sale")]


@pytest.mark.parametrize("name", ["live", "documented"])
def test_b6_window_of_sales_is_read_whatever_their_change_time_is_called(
    name: str, shop: SimulatorProcess, tmp_path: Path
) -> None:
    """The live name is tried first, and the other one after a refusal that names it."""
    shop.live(f"B6={name}")
    before = len(read(shop, tmp_path, "first"))
    shop.mutate("sell", count=3)
    shop.advance(900)
    after = read(shop, tmp_path, "second")
    assert set(after) == {row["saleID"] for row in shop.truth("Sale")}
    assert len(after) > before


@pytest.mark.parametrize("spelling", ["updateTime", "updatetime"])
def test_b6_filter_takes_either_spelling(spelling: str, shop: SimulatorProcess, tmp_path: Path) -> None:
    """Each on a server that knows the other one only."""
    shop.live("B6=documented" if spelling == "updateTime" else "B6=live")
    times = sorted(row["updateTime"] for row in shop.truth("Sale"))
    found = read(shop, tmp_path, "one", mode="full", filters={spelling: f">=,{times[-9]}"})
    assert len(found) == sum(time >= times[-9] for time in times)


def test_other_refusals_are_not_repeated(shop: SimulatorProcess, tmp_path: Path) -> None:
    """A 400 for another reason ends the read with the words of the server."""
    shop.live("B6=live")
    with pytest.raises(RequestRefused, match="Invalid value for updateTime"):
        read(shop, tmp_path, "one", mode="full", filters={"updateTime": ">,no time"})
