"""A shop, its dataset and runs in the order that a test says, one within another: the shortest form of what a week finds."""

from __future__ import annotations

import random
from datetime import timedelta
from functools import partial
from typing import Any

from airflow_provider_lightspeed.client.rest import RSeriesClient
from airflow_provider_lightspeed.client.transport import Reply, Request
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from tests.support.busy_week.check import Checker
from tests.support.busy_week.history import History
from tests.support.busy_week.rules import Rule
from tests.support.busy_week.shop import RESOURCES
from tests.support.busy_week.timeline import Killed, Process, Timeline, WorkerClock
from tests.support.busy_week.week import START
from tests.support.busy_week.wire import InProcess, Weather, Wire, WornStorage


class Scene:
    """One shop and one place for its datasets.

    :param storage: an empty place.
    :param sales: that there are from the beginning.
    """

    def __init__(self, storage: Storage, *, sales: int = 60) -> None:
        self.timeline = Timeline(START)
        self._shop = InProcess(self.timeline, 1, sales=sales, items=20, customers=20)
        self._storage = storage
        self._history = History(RESOURCES)
        for name in RESOURCES:
            self._history.begin(name, self._shop.rows(name))
        self._seen = 0
        self._tries: dict[str, int] = {}
        self._checker = Checker(self._history, storage, {})
        self.later(hours=1)

    def later(self, *, hours: float = 0.0, minutes: float = 0.0, seconds: float = 0.0) -> None:
        """Let time pass."""
        self.timeline.now += timedelta(hours=hours, minutes=minutes, seconds=seconds).total_seconds()

    def do(self, action: str, late: float = 0.0, **arguments: Any) -> Any:
        """Change the shop now; it shows so many seconds later."""
        at = self.timeline.moment().replace(microsecond=0)
        if late:
            arguments["visible_from"] = (at + timedelta(seconds=late)).isoformat()
        done = self._shop.mutate(action, at=at.isoformat(), **arguments)
        changes = self._shop.changes(after=self._seen)
        self._seen = changes[-1]["number"]
        self._history.take(changes, action)
        return done

    def touch(self, name: str, key: int, **fields: Any) -> None:
        """Write fields of a record."""
        self.do("update", resource=name, key=key, fields=fields)

    def first(self, name: str, **values: Any) -> int:
        """Return the key of the first record with these values."""
        rows = self._history.rows[name].items()
        return next(key for key, row in rows if all(row[field] == value for field, value in values.items()))

    def begin(
        self,
        name: str,
        key: str,
        *,
        mode: str = "incremental",
        facts: RunFacts | None = None,
        until: int | str | None = None,
        latency: float = 0.4,
        sweep_every: timedelta | None = None,
    ) -> Process:
        """Begin an extract, or the next try of one.

        :param until: it stands still before its n-th request, of which the first asks for the account, or before it
            writes a file whose name contains this; default it runs to its end.
        :param latency: of its requests, at most; what takes more than a few seconds is stored for the next try.
        """
        self._tries[key] = attempt = self._tries.get(key, 0) + 1
        job = Job.of(name, mode=mode, relations=("SaleLines", "SalePayments") if name == "Sale" else ())

        def work(process: Process) -> None:
            clock = WorkerClock(process, lambda _: 0.0)
            wire = Wire(self._shop, process, Weather(latency=latency, hiccups=0.0), random.Random(1))  # noqa: S311
            transport = _Held(wire, process, until if isinstance(until, int) else None)
            client = RSeriesClient(host=self._shop.host, tokens=self._shop.tokens, transport=transport, clock=clock)
            storage = _HeldStorage(self._storage, process, until if isinstance(until, str) else None)
            extract(
                client, storage, job, facts or RunFacts(), run_key=key, attempt=str(attempt), clock=clock, most_chains=1,
                sweep_every=sweep_every,
            )  # fmt: skip

        process = Process(self.timeline, work, partial(self._ended, name))
        process.start()
        self.timeline.run(self.timeline.now)
        return process

    def finish(self, run: Process) -> None:
        """Let a run that stands still go on to its end."""
        run.go_on()
        self.timeline.run(self.timeline.now)

    def kill(self, run: Process) -> None:
        """End a run that stands still: from now on nothing of it reaches anybody."""
        run.kill()
        self.timeline.run(self.timeline.now)

    def read(self, name: str, key: str, **options: Any) -> None:
        """Run an extract to its end."""
        self.begin(name, key, **options)

    def _ended(self, name: str, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, Killed):
            raise error
        self._checker.look(name, self.timeline.now, thoroughly=True)

    def look(self, name: str) -> set[Rule]:
        """Check a dataset as it stands; return the rules that were broken so far."""
        self._checker.look(name, self.timeline.now, thoroughly=True)
        return {violation.rule for violation in self._checker.violations}

    def wrong(self) -> list[str]:
        """Return the accounts of all that is wrong."""
        return [self._checker.account(violation) for violation in self._checker.violations]

    def current(self, name: str) -> set[int]:
        """Return the keys that are current."""
        return self._checker.keys(name)


class _Held:
    """A transport that stands still before its n-th request."""

    def __init__(self, wire: Wire, process: Process, until: int | None) -> None:
        self._wire = wire
        self._process = process
        self._until = until
        self._sent = 0

    def send(self, request: Request) -> Reply:
        """Send, once it may."""
        self._sent += 1
        if self._sent == self._until:
            self._process.hold()
        return self._wire.send(request)


class _HeldStorage(WornStorage):
    """Storage that stands still before a certain file is written."""

    def __init__(self, storage: Storage, process: Process, until: str | None) -> None:
        super().__init__(storage, process)
        self._hold = process.hold
        self._until = until

    def write(self, name: str, content: bytes) -> None:
        """Write, once it may."""
        self._stand_still(name)
        super().write(name, content)

    def create(self, name: str, content: bytes) -> bool:
        """Create, once it may."""
        self._stand_still(name)
        return super().create(name, content)

    def _stand_still(self, name: str) -> None:
        if self._until is not None and self._until in name:
            self._until = None
            self._hold()
