"""A shop goes on selling while it is read: what exists before, during and after a read is in it exactly once."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lightspeed.client.query import PAGE_SIZE
from airflow_provider_lightspeed.exceptions import ServerFault
from airflow_provider_lightspeed.extract.plan import TRAILING_KEYS, Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.resources.catalog import resource
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.fakes import client_of
from tests.support.interference import Interloper, SharedTime, every
from tests.support.truth import Record, Shown, assert_equal, rows_of, shown_row, shown_truth

#: Replies after which something happens; every list has more.
PAGES = 3
#: A text of each list that a change may write to.
TEXTS = {"Sale": "ticketNumber", "Item": "description", "Customer": "firstName"}


@pytest.fixture(scope="module")
def shop() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(
        sales=560, items=430, customers=430, days=30, no_limits=True, grant=True, token_life=10_000_000
    ) as running:
        running.advance(600)
        yield running


class Business:
    """Changes one list of a shop at random, and remembers every state that its records have been in.

    :param name: the list.
    """

    def __init__(self, shop: SimulatorProcess, name: str, seed: int) -> None:
        shop.advance(600)  # what earlier tests changed lies before the end of a window
        self._shop = shop
        self._random = random.Random(f"{name} {seed}")  # noqa: S311 - made up from a seed
        self.name = name
        self.key = resource(name).primary_key or ""
        self.before = {record[self.key]: record for record in shop.truth(name)}
        self.states: dict[int, set[Shown]] = defaultdict(set)
        self.changed: set[int] = set()
        self.deleted: set[int] = set()
        for record in self.before.values():
            self._remember(record)

    def _remember(self, record: Record) -> None:
        self.states[record[self.key]].add(shown_truth(self.name, record))

    def _update(self, key: int, **fields: Any) -> None:
        self.changed.add(key)
        self._remember(self._shop.mutate("update", resource=self.name, key=key, fields=fields, at=self._now()))

    def _now(self) -> str:
        return datetime.fromtimestamp(int(self._shop.advance(0)), UTC).isoformat()

    def change(self, key: int) -> None:
        """Write another text."""
        self._update(key, **{TEXTS[self.name]: f"changed {self._random.random()}"})

    def archive(self, key: int) -> None:
        """Archive a record; one that is archived comes back."""
        self._update(key, archived=not self.before[key].get("archived", False))

    def delete(self, key: int) -> None:
        """Delete a record for good."""
        self.deleted.add(key)
        self._shop.mutate("delete", resource=self.name, key=key)

    def create(self, key: int = 0) -> None:
        """Sell something, which makes a sale with all that belongs to it."""
        self._shop.mutate("sell", count=self._random.randint(1, 3), at=self._now())

    def goes_on(self, page: list[Record]) -> None:
        """Do this and that: anywhere in the list, and always at the page's end, where the cursor stands."""
        at_the_end = int(page[-1][self.key])
        deeds: list[Callable[[int], None]] = [self.change, self.archive, self.delete]
        self._do(self._random.choice(deeds), at_the_end)
        self._do(self._random.choice(deeds), at_the_end + 1)
        for key in self._random.sample(sorted(self.before), 6):
            self._do(self._random.choice(deeds), key)
        self.create()

    def _do(self, deed: Callable[[int], None], key: int) -> None:
        if key in self.before and key not in self.deleted:
            deed(key)

    def loses_records(self, page: list[Record]) -> None:
        """Delete records anywhere, and the last one of the page."""
        for key in (int(page[-1][self.key]), *self._random.sample(sorted(self.before), 6)):
            self._do(self.delete, key)
        self.create()

    def after(self) -> dict[int, Record]:
        """Return the records as they are now; new ones are remembered."""
        truth = {record[self.key]: record for record in self._shop.truth(self.name)}
        for record in truth.values():
            self._remember(record)
        return truth

    def assert_read(self, rows: list[Record], must: set[int]) -> None:
        """All that must be there is, nothing is twice, and every row is a state that its record has been in."""
        found = Counter(row[self.key] for row in rows)
        assert {key: count for key, count in found.items() if count > 1} == {}
        assert must - found.keys() == set()
        assert [row[self.key] for row in rows if shown_row(self.name, row) not in self.states[row[self.key]]] == []

    def assert_merged(self, rows: list[Record]) -> None:
        """By key and modification time, the newest rows are the truth; deleted records may be left of it."""
        newest: dict[int, Record] = {}
        for row in rows:
            known = newest.setdefault(row[self.key], row)
            newest[row[self.key]] = max(row, known, key=lambda each: each.get("updateTime") or each["createTime"])
        truth = self.after()
        assert newest.keys() - truth.keys() <= self.deleted
        assert_equal(self.name, [row for key, row in newest.items() if key in truth], list(truth.values()))


def read_later(shop: SimulatorProcess, folder: Path, name: str) -> list[Record]:
    """Extract what has changed since, when it lies before the end of a window."""
    shop.advance(600)
    return read(shop, folder, name, key="later")


def read(
    shop: SimulatorProcess, folder: Path, name: str, interloper: Interloper | None = None, **options: Any
) -> list[Record]:
    """Extract a resource and return the rows of the whole dataset."""
    client = client_of(shop, transport=interloper, clock=SharedTime(shop), attempts=options.pop("attempts", 6))
    key, attempt = options.pop("key", "run"), options.pop("attempt", "1")
    extract(client, Storage.at(str(folder)), Job.of(name, **options), RunFacts(), run_key=key, attempt=attempt)
    assert interloper is None or interloper.deeds == {}
    return rows_of(folder, name)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["Sale", "Item", "Customer"])
def test_whole_read_of_a_list_that_changes_loses_no_row_and_doubles_none(
    name: str, seed: int, shop: SimulatorProcess, tmp_path: Path
) -> None:
    """After each page records are changed, archived, brought back, deleted and created, also where the cursor stands."""
    business = Business(shop, name, seed)
    rows = read(shop, tmp_path, name, Interloper(name, every(PAGES, business.goes_on)), mode="full")
    after = business.after()
    stayed = business.before.keys() & after.keys()
    business.assert_read(rows, stayed)
    archived = {key for key in stayed - business.changed if after[key]["archived"]}
    assert archived
    assert archived <= {row[business.key] for row in rows if row["archived"]}


@pytest.mark.parametrize("seed", [4, pytest.param(5, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_windows_of_a_list_that_changes_merge_to_the_truth(
    mode: str, seed: int, shop: SimulatorProcess, tmp_path: Path
) -> None:
    """What moves out of a window while it is read is in the next one: the newest row of each key is the truth."""
    business = Business(shop, "Sale", seed)
    interloper = Interloper("Sale", every(PAGES, business.goes_on))
    rows = read(shop, tmp_path, "Sale", interloper, key="first", mode=mode)
    stayed = business.before.keys() & business.after().keys()
    business.assert_read(rows, stayed - (business.changed if mode == "incremental" else set()))
    business.assert_merged(read_later(shop, tmp_path, "Sale"))


@pytest.mark.parametrize("seed", [6, pytest.param(7, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_changes_between_two_tries_of_a_run_lose_no_row_and_double_none(
    mode: str, seed: int, shop: SimulatorProcess, tmp_path: Path
) -> None:
    """The first try dies on its fourth page, the second comes a quarter of an hour and many changes later."""
    business = Business(shop, "Sale", seed)
    shop.faults({"action": "status", "path": r"/Sale\.json", "nth": 4, "count": None})
    try:
        with pytest.raises(ServerFault):
            read(shop, tmp_path, "Sale", attempts=2, key="first", mode=mode)
    finally:
        shop.clear_faults()
    for last in (PAGE_SIZE, 2 * PAGE_SIZE, 3 * PAGE_SIZE, 4 * PAGE_SIZE):
        business.goes_on([{"saleID": last}])
    shop.advance(900)
    rows = read(shop, tmp_path, "Sale", key="first", attempt="2", mode=mode)
    stayed = business.before.keys() & business.after().keys()
    business.assert_read(rows, stayed - (business.changed if mode == "incremental" else set()))
    business.assert_merged(read_later(shop, tmp_path, "Sale"))


@pytest.mark.parametrize("seed", [8, pytest.param(9, marks=pytest.mark.slow)])
def test_payments_of_sales_that_change_lose_no_row_and_double_none(
    seed: int, shop: SimulatorProcess, tmp_path: Path
) -> None:
    """They are read through their sales: a sale that moves takes its payments to the next window."""
    business = Business(shop, "Sale", seed)
    interloper = Interloper("Sale", every(PAGES, business.goes_on))
    rows = read(shop, tmp_path, "SalePayment", interloper, key="first")
    sales, payments = business.after(), shop.truth("SalePayment")
    stayed = (business.before.keys() & sales.keys()) - business.changed
    found = Counter(row["salePaymentID"] for row in rows)
    assert set(found.values()) == {1}
    assert {each["salePaymentID"] for each in payments if each["saleID"] in stayed} <= found.keys()
    merged = {row["salePaymentID"]: row for row in read_later(shop, tmp_path, "SalePayment") if row["saleID"] in sales}
    assert_equal("SalePayment", [*merged.values()], [each for each in payments if each["saleID"] in sales])


@pytest.mark.parametrize("seed", [10, pytest.param(11, marks=pytest.mark.slow)])
def test_log_that_grows_and_loses_entries_loses_no_other_and_doubles_none(
    seed: int, shop: SimulatorProcess, tmp_path: Path
) -> None:
    """Entries are only ever added, in the order of their keys, and somebody clears up; also between two runs."""
    business = Business(shop, "InventoryLog", seed)
    assert len(business.before) > TRAILING_KEYS
    interloper = Interloper("InventoryLog", every(PAGES, business.loses_records))
    rows = read(shop, tmp_path, "InventoryLog", interloper, key="first")
    business.assert_read(rows, business.before.keys() & business.after().keys())
    business.loses_records(rows)
    business.assert_merged(read_later(shop, tmp_path, "InventoryLog"))


@pytest.mark.parametrize("seed", [12, pytest.param(13, marks=pytest.mark.slow)])
def test_changes_and_faults_at_once_lose_no_row_and_double_none(
    seed: int, shop: SimulatorProcess, tmp_path: Path
) -> None:
    """A page that is asked for twice may have changed between the two."""
    business = Business(shop, "Sale", seed)
    faults: list[dict[str, Any]] = [
        {"action": action, "probability": 0.15, "after": True} for action in ("reset", "html", "try_later")
    ]
    shop.faults(*({"path": r"/Sale\.json", "count": None} | fault for fault in faults))
    try:
        interloper = Interloper("Sale", every(PAGES, business.goes_on))
        rows = read(shop, tmp_path, "Sale", interloper, key="first", mode="full", attempts=30)
    finally:
        shop.clear_faults()
    business.assert_read(rows, business.before.keys() & business.after().keys())
    business.assert_merged(read_later(shop, tmp_path, "Sale"))
