"""A read that breaks off, is killed or gives its slot back goes on where it ended: the truth, and no page paid for twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pyarrow.parquet as pq
import pytest

from airflow_provider_lightspeed.client.query import PAGE_SIZE
from airflow_provider_lightspeed.client.rest import RSeriesClient
from airflow_provider_lightspeed.exceptions import ServerFault, StorageError
from airflow_provider_lightspeed.extract import attempt as attempt_module
from airflow_provider_lightspeed.extract import chain as chain_module
from airflow_provider_lightspeed.extract.commit import owner_of
from airflow_provider_lightspeed.extract.journal import KEEP
from airflow_provider_lightspeed.extract.pause import Paused, PausePolicy
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.summary import Summary
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.resources.catalog import resource
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.fakes import client_of
from tests.support.interference import Deed, Interloper, SharedTime
from tests.support.truth import Record, assert_equal, rows_of, scalar_fields

ROOT = Path(__file__).parents[2]
#: Longer than all that the tests let pass.
LONG_LIFE = 10_000_000
SALES = r"/Sale\.json"
#: Pages of the sales of ``shop``.
PAGES = 8


@pytest.fixture(scope="module")
def open_shop() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(
        sales=PAGES * PAGE_SIZE - 30,
        items=30,
        customers=30,
        registers=2,
        no_limits=True,
        grant=True,
        token_life=LONG_LIFE,
    ) as running:
        running.advance(600)  # the history ends where a window's end may lie: the settle time is over
        assert len({sale["shopID"] for sale in running.truth("Sale")}) > 1
        yield running


@pytest.fixture
def shop(open_shop: SimulatorProcess) -> Iterator[SimulatorProcess]:
    open_shop.clear_faults()
    open_shop.clear_audit()
    yield open_shop
    open_shop.clear_faults()


@pytest.fixture
def stored_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store every page: simulated reads are over before a real one stores anything."""
    for module in (chain_module, attempt_module):
        monkeypatch.setattr(module, "STORE_EVERY", 0.0)


def run(
    simulator: SimulatorProcess,
    folder: Path,
    name: str = "Sale",
    *,
    client: RSeriesClient | None = None,
    facts: RunFacts | None = None,
    attempt: str = "1",
    most_chains: int = 1,
    pause: PausePolicy | None = None,
    **options: Any,
) -> Summary:
    """Run one try of always the same run."""
    client = client or client_of(simulator, clock=SharedTime(simulator), attempts=2)
    facts, storage = facts or RunFacts(), Storage.at(str(folder))
    return extract(
        client,
        storage,
        Job.of(name, **options),
        facts,
        run_key="run",
        attempt=attempt,
        most_chains=most_chains,
        pause=pause,
    )


def break_off(simulator: SimulatorProcess, folder: Path, name: str = "Sale", *, page: int = 5, **options: Any) -> None:
    """Run a first try that gets no answer to the n-th page, and forget what was asked."""
    path = SALES if name == "Sale" else rf"/{resource(name).path.rsplit('/', 1)[-1]}\.json"
    simulator.faults({"action": "status", "path": path, "nth": page, "count": None})
    with pytest.raises(ServerFault):
        run(simulator, folder, name, **options)
    simulator.clear_faults()


def served(simulator: SimulatorProcess, part: str = "/Sale.json") -> list[dict[str, Any]]:
    """Return the pages that were served of a list, those that only ask for its last key left out."""
    requests = simulator.audit("api")["requests"]
    found = [each for each in requests if part in each["path"] and each["status"] == 200]
    return [each for each in found if not parse_qs(urlsplit(each["path"]).query).get("sort", [""])[0].startswith("-")]


def assert_served_once(pages: list[dict[str, Any]], rows: int) -> None:
    """No page was sent twice: neither by its address nor by its rows."""
    assert {path: count for path, count in Counter(each["path"] for each in pages).items() if count > 1} == {}
    assert sum(each["rows"] for each in pages) == rows


def journal(folder: Path, name: str = "Sale") -> list[Path]:
    """Return what is stored of the run that has not been committed."""
    return sorted((folder / "_staging" / name / owner_of("run") / "journal").glob("*"))


def keys_in_order(folder: Path, name: str, key: str) -> list[int]:
    """Return the keys of a dataset as a reader gets them who takes file by file."""
    manifest = orjson.loads((folder / name / "_manifest.json").read_bytes())
    return [
        found
        for file in manifest["files"]
        for found in pq.read_table(folder / name / file["path"], columns=[key])[key].to_pylist()
    ]


# -- killed ---------------------------------------------------------------------------------------------------------

#: Of the read that is killed.
MANY_PAGES = 300


@pytest.fixture(scope="module")
def large_shop() -> Iterator[tuple[SimulatorProcess, list[Record]]]:
    """A shop of many pages, and its sales."""
    with SimulatorProcess(
        sales=MANY_PAGES * PAGE_SIZE, items=30, customers=30, registers=20, latency_ms=5, no_limits=True, grant=True
    ) as running:
        running.advance(600)
        yield running, running.truth("Sale")


def child(simulator: SimulatorProcess, folder: Path, attempt: str, most_chains: int) -> subprocess.Popen[bytes]:
    """Start a process that reads all sales; it stores as often as a real read of so many pages, relative to its time."""
    order = {
        "base_url": simulator.base_url,
        "access_token": simulator.facts["access_token"],
        "account_id": simulator.account_id,
        "folder": str(folder),
        "attempt": attempt,
        "name": "Sale",
        "options": {"mode": "full", "columns": ["saleID", "updateTime", "ticketNumber", "calcTotal", "archived"]},
        "most_chains": most_chains,
        "store_every": 0.03,
    }
    command = [sys.executable, "-m", "tests.support.extract_child", orjson.dumps(order).decode()]
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": paths}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)


@pytest.mark.parametrize(
    ("seed", "chains"),
    [(1, 1), *(pytest.param(*more, marks=pytest.mark.slow) for more in ((2, 1), (3, 1), (4, 8)))],
    ids=str,
)
def test_killed_process_is_finished_by_another_for_the_price_of_one(
    seed: int, chains: int, large_shop: tuple[SimulatorProcess, list[Record]], tmp_path: Path
) -> None:
    """SIGKILL at any moment of a read: both tries together pay 2 % more than the cheapest plan at most.

    Each further chain may lose three pages more: one on its way, one not stored, and a short one before what is.
    """
    simulator, truth = large_shop
    simulator.clear_audit()
    chance = random.Random(seed)  # noqa: S311 - a moment
    moment = chance.randint(10, MANY_PAGES - 30)
    with child(simulator, tmp_path, "1", chains) as killed:
        while simulator.counters().get("api_requests", 0) < moment:
            assert killed.poll() is None
        killed.kill()
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "Sale" / "_manifest.json").exists()
    with child(simulator, tmp_path, "2", chains) as finisher:
        summary = orjson.loads(finisher.communicate(timeout=50)[0])
    assert finisher.returncode == 0
    assert summary["rows"] == len(truth)
    rows = rows_of(tmp_path, "Sale")
    assert [row["saleID"] for row in rows] == sorted(record["saleID"] for record in truth)
    assert {(row["saleID"], row["ticketNumber"], row["archived"], row["updateTime"]) for row in rows} == {
        (each["saleID"], each["ticketNumber"], each["archived"], datetime.fromisoformat(each["updateTime"]))
        for each in truth
    }
    # Beside the pages: the account, whose answer dates the window, and the last key of the list.
    assert simulator.counters()["drips"] <= 1.02 * (MANY_PAGES + 2) + 3 * (chains - 1)
    assert journal(tmp_path) == []


# -- broken off -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("stored_at_once")
@pytest.mark.parametrize("page", [2, 5, PAGES])
def test_read_that_breaks_off_goes_on_without_a_stored_page_again(
    page: int, shop: SimulatorProcess, tmp_path: Path
) -> None:
    """The fifth page is where the last key is asked for; the last one is short."""
    break_off(shop, tmp_path, page=page, relations=["SaleLines"])
    assert [path.name for path in journal(tmp_path)] != []
    run(shop, tmp_path, attempt="2", relations=["SaleLines"])
    truth = shop.truth("Sale")
    assert_equal("Sale", rows_of(tmp_path, "Sale"), truth)
    pages = served(shop)
    assert_served_once(pages, len(truth))
    assert len(pages) == PAGES
    assert keys_in_order(tmp_path, "Sale", "saleID") == sorted(record["saleID"] for record in truth)


@pytest.mark.usefixtures("stored_at_once")
def test_read_that_breaks_off_again_and_again_pays_for_each_page_once(shop: SimulatorProcess, tmp_path: Path) -> None:
    """Each try stores two pages; together they are the read."""
    for attempt in range(1, 4):
        break_off(shop, tmp_path, page=3, attempt=str(attempt))
    run(shop, tmp_path, attempt="4")
    assert_equal("Sale", rows_of(tmp_path, "Sale"), shop.truth("Sale"))
    assert_served_once(served(shop), len(shop.truth("Sale")))


@pytest.mark.usefixtures("stored_at_once")
def test_all_tries_read_the_window_of_the_first(shop: SimulatorProcess, tmp_path: Path) -> None:
    """A retry an hour later does not mix two states: the end is where the first try put it."""
    break_off(shop, tmp_path)
    before = shop.advance(0)
    shop.advance(3_600)
    summary = run(shop, tmp_path, attempt="2")
    assert summary.window_end.timestamp() <= before - 290
    assert_equal("Sale", rows_of(tmp_path, "Sale"), shop.truth("Sale"))


def test_read_of_seconds_stores_nothing(shop: SimulatorProcess, tmp_path: Path) -> None:
    """A file per batch would cost more than reading again."""
    break_off(shop, tmp_path)
    assert journal(tmp_path) == []


# -- afresh ---------------------------------------------------------------------------------------------------------

CHANGES: dict[str, dict[str, Any]] = {
    "filters": {"filters": {"shopID": 1}},
    "columns": {"columns": ["saleID", "ticketNumber"]},
    "relations": {"relations": ["SaleLines"]},
    "mode": {"mode": "incremental"},
}


@pytest.mark.usefixtures("stored_at_once")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_retry_that_asks_for_something_else_starts_afresh(
    change: dict[str, Any], shop: SimulatorProcess, tmp_path: Path
) -> None:
    """What is stored answers another question."""
    break_off(shop, tmp_path, mode="full")
    assert journal(tmp_path) != []
    shop.clear_audit()
    run(shop, tmp_path, attempt="2", **{"mode": "full"} | change)
    truth = [each for each in shop.truth("Sale") if "filters" not in change or each["shopID"] == 1]
    rows = rows_of(tmp_path, "Sale")
    if "columns" in change:
        assert [row["saleID"] for row in rows] == [record["saleID"] for record in truth]
        assert set(change["columns"]) <= rows[0].keys()
        assert rows[0].keys() & {field.name for field in scalar_fields("Sale")} == set(change["columns"])
    else:
        assert_equal("Sale", rows, truth)
    assert_served_once(served(shop), len(truth))


@pytest.mark.usefixtures("stored_at_once")
def test_retry_with_another_explicit_window_starts_afresh(shop: SimulatorProcess, tmp_path: Path) -> None:
    """The rows stored are of the other one."""
    times = sorted(datetime.fromisoformat(record["updateTime"]) for record in shop.truth("Sale"))
    first, second = (RunFacts(start=times[0], end=times[len(times) * part // 8]) for part in (6, 7))
    break_off(shop, tmp_path, page=4, facts=first)
    assert journal(tmp_path) != []
    shop.clear_audit()
    run(shop, tmp_path, attempt="2", facts=second)
    assert second.end
    truth = [each for each in shop.truth("Sale") if datetime.fromisoformat(each["updateTime"]) < second.end]
    assert_equal("Sale", rows_of(tmp_path, "Sale"), truth)
    assert_served_once(served(shop), len(truth))


@pytest.mark.usefixtures("stored_at_once")
@pytest.mark.parametrize(("age", "is_fresh"), [(KEEP - timedelta(hours=1), False), (KEEP + timedelta(hours=1), True)])
def test_retry_more_than_a_day_later_starts_afresh(
    age: timedelta, is_fresh: bool, shop: SimulatorProcess, tmp_path: Path
) -> None:
    """Its pages would be of two different days."""
    client = client_of(shop, clock=(clock := SharedTime(shop)), attempts=2)
    break_off(shop, tmp_path, client=client)
    stored = sum(each["rows"] for each in served(shop))
    shop.clear_audit()
    clock.sleep(age.total_seconds())
    run(shop, tmp_path, attempt="2", client=client)
    truth = shop.truth("Sale")
    assert_equal("Sale", rows_of(tmp_path, "Sale"), truth)
    assert_served_once(served(shop), len(truth) - (0 if is_fresh else stored))


@pytest.mark.usefixtures("stored_at_once")
def test_finished_run_that_is_cleared_reads_afresh(shop: SimulatorProcess, tmp_path: Path) -> None:
    """Its commit took what was stored with it; the result is that of the second read, once."""
    run(shop, tmp_path)
    assert journal(tmp_path) == []
    assert not (tmp_path / "_staging").exists() or not [*(tmp_path / "_staging").rglob("*.arrow")]
    shop.clear_audit()
    run(shop, tmp_path, attempt="2")
    truth = shop.truth("Sale")
    assert_equal("Sale", rows_of(tmp_path, "Sale"), truth)
    assert_served_once(served(shop), len(truth))


# -- side by side ---------------------------------------------------------------------------------------------------


#: Sales that are read in chains.
SIDE_BY_SIDE = 3_200


def dense(simulator: SimulatorProcess) -> None:
    """Leave the keys as they are."""


def sparse(simulator: SimulatorProcess) -> None:
    """Delete every eighth record."""
    for key in range(8, SIDE_BY_SIDE, 8):
        simulator.mutate("delete", resource="Sale", key=key)


def skewed(simulator: SimulatorProcess) -> None:
    """Delete nearly all records of a stretch at the beginning."""
    for key in range(700, 1_100):
        if key % 100:
            simulator.mutate("delete", resource="Sale", key=key)


@pytest.mark.parametrize("shape", [skewed, *(pytest.param(more, marks=pytest.mark.slow) for more in (dense, sparse))])
def test_chains_side_by_side_give_the_same_rows_in_the_same_order_as_one(
    shape: Callable[[SimulatorProcess], None], tmp_path: Path
) -> None:
    """Wherever the records lie; the account drips so fast that one chain cannot keep up."""
    with SimulatorProcess(
        sales=SIDE_BY_SIDE, items=30, customers=30, registers=40, latency_ms=60, no_limits=True, grant=True
    ) as simulator:
        simulator.advance(600)
        shape(simulator)
        truth = simulator.truth("Sale")
        found: dict[int, list[int]] = {}
        for chains in (1, 8):
            simulator.clear_audit()
            folder = tmp_path / str(chains)
            run(simulator, folder, client=client_of(simulator), most_chains=chains, mode="full")
            # Beside the one that asks for the last key, that is.
            assert (max(page["in_flight"] for page in served(simulator)[8:]) > 1) == (chains > 1)
            assert_equal("Sale", rows_of(folder, "Sale"), truth)
            found[chains] = keys_in_order(folder, "Sale", "saleID")
    assert found[8] == found[1] == sorted(record["saleID"] for record in truth)


@pytest.mark.usefixtures("stored_at_once")
def test_chains_that_break_off_together_go_on_together(tmp_path: Path) -> None:
    """An error ends all of them; what each has read is stored."""
    with SimulatorProcess(
        sales=SIDE_BY_SIDE, items=30, customers=30, registers=40, latency_ms=60, no_limits=True, grant=True
    ) as simulator:
        simulator.advance(600)
        for attempt, page in (("1", 15), ("2", 6)):
            simulator.faults({"action": "status", "path": SALES, "nth": page, "count": None})
            with pytest.raises(ServerFault):
                run(simulator, tmp_path, client=client_of(simulator, attempts=1), attempt=attempt, most_chains=8)
            simulator.clear_faults()
        run(simulator, tmp_path, client=client_of(simulator), attempt="3", most_chains=8)
        truth = simulator.truth("Sale")
        assert simulator.counters()["max_in_flight"] > 1
        assert_equal("Sale", rows_of(tmp_path, "Sale"), truth)
        assert keys_in_order(tmp_path, "Sale", "saleID") == sorted(record["saleID"] for record in truth)
        # What crosses a cut is sent twice, about half a page; nothing else is.
        assert sum(each["rows"] for each in served(simulator)) <= len(truth) + 20 * PAGE_SIZE / 2


# -- paused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chains", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_paused_read_goes_on_after_each_pause_to_the_truth(chains: int, tmp_path: Path) -> None:
    """Each time in another process, as it were; the bucket is worked off, and not one request is refused."""
    with SimulatorProcess(
        sales=120 * PAGE_SIZE, items=30, customers=30, grant=True, token_life=LONG_LIFE, latency_ms=1
    ) as simulator:
        simulator.advance(600)
        policy = PausePolicy(start_up=1.0, worth=10.0)
        pauses: list[Paused] = []
        while True:
            client = client_of(simulator, clock=SharedTime(simulator))
            try:
                run(
                    simulator,
                    tmp_path,
                    client=client,
                    pause=policy,
                    attempt=str(len(pauses)),
                    most_chains=chains,
                    mode="full",
                )
            except Paused as paused:
                pauses.append(paused)
                simulator.advance(paused.seconds)
            else:
                break
            assert len(pauses) < 20
        assert pauses
        assert all(paused.seconds >= policy.worth for paused in pauses)
        assert simulator.counters().get("bucket_429", 0) == 0
        truth = simulator.truth("Sale")
        rows = rows_of(tmp_path, "Sale")
        assert [row["saleID"] for row in rows] == sorted(record["saleID"] for record in truth)
        assert_equal("Sale", rows, truth)
        # What crosses a cut is sent to both sides of it.
        pages = served(simulator)
        assert_served_once(pages, sum(each["rows"] for each in pages) if chains > 1 else len(truth))
        assert sum(each["rows"] for each in pages) <= len(truth) + (chains - 1) * PAGE_SIZE
        assert len([*(tmp_path / "Sale").glob("*.parquet")]) == 1


def test_read_that_is_over_before_it_can_pause_just_ends(shop: SimulatorProcess, tmp_path: Path) -> None:
    """The pause was decided while the last pages came in."""

    class Slow(PausePolicy):
        def seconds(self, *_: Any, **__: Any) -> float | None:
            """Decide once everything has been read."""
            for thread in threading.enumerate():
                if thread.name == "lightspeed-chain":
                    thread.join()
            return 60.0

    truth = shop.truth("Sale")
    run(shop, tmp_path, pause=Slow())
    assert_equal("Sale", rows_of(tmp_path, "Sale"), truth)


# -- below parents --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("stored_at_once")
def test_list_below_parents_goes_on_with_the_paths_that_are_missing(tmp_path: Path) -> None:
    """Only the parents are asked for again."""
    with SimulatorProcess(sales=60, items=30, customers=30, no_limits=True, grant=True) as simulator:
        simulator.advance(600)
        break_off(simulator, tmp_path, "SaleSaleLine", page=40)
        first = served(simulator, "/SaleLine.json")
        assert len(first) == 39
        run(simulator, tmp_path, "SaleSaleLine", attempt="2")
        truth = simulator.truth("SaleSaleLine")
        assert_equal("SaleSaleLine", rows_of(tmp_path, "SaleSaleLine"), truth)
        pages = served(simulator, "/SaleLine.json")
        assert_served_once(pages, len(truth))
        assert len(pages) == 60


# -- twice at a time ------------------------------------------------------------------------------------------------


class Zombie:
    """A first try that is thought dead: it stops after a page, and goes on when it is told to."""

    def __init__(self, simulator: SimulatorProcess, folder: Path, name: str, page: int, **options: Any) -> None:
        self.reached, self.awake = threading.Event(), threading.Event()
        self.error: Exception | None = None
        list_name = resource(name).envelope
        self._wire = Interloper(list_name, {page: self._stop})
        self._thread = threading.Thread(target=self._run, args=(simulator, folder, name), kwargs=options, daemon=True)
        self._thread.start()
        assert self.reached.wait(20)

    def _stop(self, records: list[dict[str, Any]]) -> None:
        self.reached.set()
        assert self.awake.wait(20)

    def _run(self, simulator: SimulatorProcess, folder: Path, name: str, **options: Any) -> None:
        client = client_of(simulator, transport=self._wire, attempts=1)
        try:
            run(simulator, folder, name, client=client, **options)
        except Exception as error:  # noqa: BLE001 - looked at by the test
            self.error = error

    def let_go(self) -> None:
        """Wake it up and see it end."""
        self.awake.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.mark.usefixtures("stored_at_once")
@pytest.mark.parametrize("name", ["Sale", "ItemImage"])
@pytest.mark.parametrize("is_first", [True, False], ids=["ends first", "ends last"])
def test_two_tries_at_the_same_time_end_with_the_truth(
    name: str, is_first: bool, shop: SimulatorProcess, tmp_path: Path
) -> None:
    """Whichever commits, and whatever the other one stored meanwhile; a try that loses says so.

    Two tries that both commit have not seen each other, so both count: a key has the same row twice, until a try that
    has seen them replaces both.
    """
    other: Interloper | None = None
    zombie = Zombie(shop, tmp_path, name, 4)
    if is_first:
        wake: Deed = lambda _: zombie.let_go()  # noqa: E731 - a deed among others
        other = Interloper(resource(name).envelope, {2: wake})
    try:
        run(shop, tmp_path, name, client=client_of(shop, transport=other), attempt="2")
    except StorageError:
        assert zombie.error is None, "one of them commits"
        run(shop, tmp_path, name, attempt="3")
    zombie.let_go()
    assert zombie.error is None or isinstance(zombie.error, StorageError)
    newest = {row[resource(name).primary_key or ""]: row for row in rows_of(tmp_path, name)}
    assert_equal(name, [*newest.values()], shop.truth(name))
    run(shop, tmp_path, name, attempt="4")
    assert_equal(name, rows_of(tmp_path, name), shop.truth(name))


@pytest.mark.usefixtures("stored_at_once")
@pytest.mark.parametrize("name", ["Sale", "ItemImage"])
def test_what_two_tries_stored_of_the_same_stretch_counts_once(
    name: str, shop: SimulatorProcess, tmp_path: Path
) -> None:
    """Both read on from the same place, both die; the third takes each row from one of them."""
    page = 5
    zombie = Zombie(shop, tmp_path, name, page)
    path = rf"/{resource(name).path.rsplit('/', 1)[-1]}\.json"
    shop.faults({"action": "status", "path": path, "nth": 3, "count": None})
    with pytest.raises(ServerFault):
        run(shop, tmp_path, name, attempt="2")
    shop.clear_faults()
    shop.faults({"action": "status", "path": path, "nth": 2, "count": None})
    zombie.let_go()
    assert isinstance(zombie.error, (ServerFault, StorageError))
    shop.clear_faults()
    run(shop, tmp_path, name, attempt="3")
    assert_equal(name, rows_of(tmp_path, name), shop.truth(name))


@pytest.mark.usefixtures("stored_at_once")
def test_what_a_try_for_another_query_stores_meanwhile_is_not_taken(shop: SimulatorProcess, tmp_path: Path) -> None:
    """The task was changed while its first try was still at it: the rows that this one stores later belong to no other."""
    zombie = Zombie(shop, tmp_path, "Sale", 2, mode="full", filters={"shopID": 1})
    break_off(shop, tmp_path, page=2, attempt="2", mode="full")
    before = journal(tmp_path)
    shop.faults({"action": "status", "path": SALES, "nth": 2, "count": None})
    zombie.let_go()
    assert isinstance(zombie.error, (ServerFault, StorageError))
    assert len(journal(tmp_path)) > len(before)
    shop.clear_faults()
    run(shop, tmp_path, attempt="3", mode="full")
    assert_equal("Sale", rows_of(tmp_path, "Sale"), shop.truth("Sale"))
