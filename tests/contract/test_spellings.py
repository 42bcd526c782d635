"""A field with two spellings (B6): a server that knows only one of them is read all the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from airflow_provider_lightspeed.client.transport import Reply, Request, RequestsTransport, Transport
from airflow_provider_lightspeed.exceptions import ProtocolViolation, RequestRefused
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.fakes import client_of
from tests.support.interference import SharedTime
from tests.support.truth import rows_of


class Deaf:
    """Passes requests on without the parameters of some names: what a server does not know, it ignores (D6)."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self._transport = RequestsTransport()

    def send(self, request: Request) -> Reply:
        """Send what the server would heed."""
        url = urlsplit(request.url)
        heeded = "&".join(each for each in url.query.split("&") if each.partition("=")[0] not in self._names)
        return self._transport.send(replace(request, url=urlunsplit(url._replace(query=heeded))))


def read(
    shop: SimulatorProcess, folder: Path, key: str, transport: Transport | None = None, **options: object
) -> list[int]:
    job = Job.of("Sale", **options)  # type: ignore[arg-type]
    client = client_of(shop, transport, clock=SharedTime(shop))
    extract(client, Storage.at(str(folder)), job, RunFacts(), run_key=key, attempt="1")
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


@pytest.mark.parametrize("relations", [[], ["SaleLines"]])
def test_d6_window_that_one_spelling_is_ignored_of_is_read_by_the_other(
    relations: list[str], shop: SimulatorProcess, tmp_path: Path
) -> None:
    """No refusal says so; rows outside the window do. They are not in the result."""
    before = read(shop, tmp_path, "first", relations=relations)
    sold = shop.mutate("sell", count=3)
    shop.advance(900)
    after = read(shop, tmp_path, "second", Deaf("updateTime"), relations=relations)
    assert len(before) > len(sold)
    assert set(after) == {row["saleID"] for row in shop.truth("Sale")}
    assert len(after) < 2 * len(before)


def test_d6_filter_that_is_ignored_in_either_spelling_ends_the_read(shop: SimulatorProcess, tmp_path: Path) -> None:
    """Each is tried once; nothing is committed."""
    before = read(shop, tmp_path, "first")
    shop.advance(900)
    with pytest.raises(ProtocolViolation, match="the server did not apply the filter; nothing was committed"):
        read(shop, tmp_path, "second", Deaf("updateTime", "updatetime"))
    assert [row["saleID"] for row in rows_of(tmp_path, "Sale")] == before


def test_d6_filter_of_a_user_is_read_by_the_other_spelling(shop: SimulatorProcess, tmp_path: Path) -> None:
    """As the window is."""
    times = sorted(row["updateTime"] for row in shop.truth("Sale"))
    found = read(shop, tmp_path, "one", Deaf("updateTime"), mode="full", filters={"updateTime": f">=,{times[-9]}"})
    assert len(found) == sum(time >= times[-9] for time in times)
