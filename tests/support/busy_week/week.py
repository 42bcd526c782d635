"""A week of a busy shop and of the runs that extract it, in virtual time, with every current view held against the truth.

``python -m soak.week --seed 7`` runs one and prints what is wrong.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from airflow_provider_lightspeed.client.rest import RSeriesClient
from airflow_provider_lightspeed.exceptions import LightspeedRetriableError, StorageError, SweepAborted
from airflow_provider_lightspeed.extract.commit import owner_of
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.window import NothingToRead, RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from tests.support.busy_week.check import Checker, Violation
from tests.support.busy_week.fate import fate_of, small_world, told
from tests.support.busy_week.history import History
from tests.support.busy_week.rules import Rule
from tests.support.busy_week.shop import RESOURCES, Business
from tests.support.busy_week.timeline import Killed, Process, Timeline, WorkerClock
from tests.support.busy_week.wire import InProcess, Simulation, Weather, Wire, WornStorage

#: A Monday, before any machine's present: files are never older than virtual time says.
START: Final = datetime(2024, 3, 4, tzinfo=UTC)
HOUR: Final = 3_600.0
DAY: Final = 24 * HOUR
#: Seconds that workers' clocks are wrong.
SKEW: Final = 180.0
#: How often deleted records are looked for, of the resources of which they are.
SWEEP: Final = timedelta(hours=15)
RELATIONS: Final = {"Sale": ("SaleLines", "SalePayments")}
#: All live behaviours that meet an extract, with one relation per request (C1) and many faults that pass (A12).
LIVE: Final = "all,C1=1,A12=40"


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens in a week.

    :param days: that the shop is open.
    :param pace: mean seconds between two of its deeds in opening hours.
    :param sales: before it begins.
    :param resources: that are extracted.
    :param clears: whether runs that have committed are run again.
    :param fulls: whether everything is read anew now and then, beside other runs.
    :param sweeps: whether deleted records are looked for.
    :param zombies: whether a try may go on after it was taken for dead and tried again.
    :param live: the behaviours of the live API that are switched on, as :meth:`Live.parse` reads them.
    """

    days: float = 7.0
    pace: float = 90.0
    sales: int = 150
    items: int = 40
    customers: int = 40
    resources: tuple[str, ...] = RESOURCES
    clears: bool = True
    fulls: bool = True
    sweeps: bool = True
    zombies: bool = True
    live: str = "none"


@dataclass
class Run:
    """A run of a task, in one try or several."""

    key: str
    job: Job
    facts: RunFacts
    tries: int = 0

    @property
    def name(self) -> str:
        """The resource."""
        return self.job.resource.name


@dataclass
class Report:
    """What came of a week."""

    seed: int
    ended: Counter[str] = field(default_factory=Counter)
    deeds: int = 0
    checks: int = 0
    seconds: float = 0.0
    violations: list[Violation] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)


class Week:
    """One simulated week.

    :param storage: an empty place for the datasets.
    :param simulation: makes the account on a timeline that begins at ``START``; default in this process.
    """

    def __init__(
        self,
        seed: int,
        storage: Storage,
        plan: Plan | None = None,
        simulation: Callable[[Timeline], Simulation] | None = None,
    ) -> None:
        self._seed = seed
        self._plan = plan or Plan()
        self._storage = storage
        self._timeline = Timeline(START)
        self._rng = random.Random(f"{seed} runs")  # noqa: S311 - made up from a seed
        self._numbers = Counter[str]()
        self._labels: dict[str, str] = {}
        self.report = Report(seed)
        sizes = {"sales": self._plan.sales, "items": self._plan.items, "customers": self._plan.customers}
        self._simulation = (
            simulation(self._timeline) if simulation else InProcess(self._timeline, seed, live=self._plan.live, **sizes)
        )
        self._history = History(RESOURCES)
        for name in RESOURCES:
            self._history.begin(name, self._simulation.rows(name))
        self._business = Business(self._simulation, self._history, self._timeline, seed, pace=self._plan.pace)
        self.checker = Checker(self._history, storage, self._labels)
        self._sweeps = {name for name in RESOURCES if self._plan.sweeps and self._rng.random() < 0.6}
        self._layout = self._rng.choice(("nested", "tables"))
        self._has_intervals = {name: self._rng.random() < 0.3 for name in RESOURCES}

    def run(self) -> Report:
        """Let the days pass, and a last run of each resource after them."""
        began = time.monotonic()
        end = self._timeline.now + self._plan.days * DAY
        self._timeline.run(self._timeline.now + 15 * 60)
        self._business.open_up()
        for name in self._plan.resources:
            self._schedule(name)
        with small_world():
            self._timeline.run(end)
            self._business.close()
            self._is_over = True
            self._timeline.run(end + DAY)
            for name in self._plan.resources:
                self._begin(Run(f"{name} last", self._job(name), RunFacts()), calm=True)
            self._timeline.run(end + DAY + HOUR)
            for name in self._plan.resources:
                self.checker.look(name, self._timeline.now, thoroughly=True)
        report = self.report
        report.deeds, report.checks, report.violations = (
            self._business.done,
            self.checker.checks,
            self.checker.violations,
        )
        report.accounts = [f"seed {self._seed}: {self.checker.account(each)}" for each in report.violations]
        report.seconds = time.monotonic() - began
        return report

    _is_over = False

    # -- when runs begin --------------------------------------------------------------------------------------------

    def _schedule(self, name: str) -> None:
        rng = self._rng
        self._every(name, lambda: rng.uniform(1, 6) * HOUR, self._scheduled)
        self._every(name, lambda: rng.expovariate(1 / DAY), self._manual)
        self._every(name, lambda: rng.expovariate(1 / (2 * DAY)), self._backfill)
        self._every(name, lambda: rng.expovariate(1 / (2 * DAY)), self._explicit)
        if self._plan.fulls:
            self._every(name, lambda: rng.expovariate(1 / DAY), self._full)
        self._last = dict.fromkeys(self._plan.resources, self._timeline.moment())

    def _every(self, name: str, gap: Any, begin: Any) -> None:
        def again() -> None:
            if not self._is_over:
                begin(name)
                self._timeline.after(gap(), again)

        self._timeline.after(gap() * self._rng.random(), again)

    def _scheduled(self, name: str) -> None:
        now = self._timeline.moment()
        since, self._last[name] = self._last[name], now
        if self._rng.random() < 0.1:
            return  # the scheduler was down: a gap
        interval = (since, now) if self._has_intervals[name] else self._rng.choice([None, (now, now)])
        self._begin(self._new(name, "scheduled", RunFacts("scheduled", interval=interval)))

    def _manual(self, name: str) -> None:
        for _ in range(self._rng.choice((1, 1, 2))):
            self._begin(self._new(name, "manual", RunFacts(self._rng.choice(("manual", "asset")))))

    def _backfill(self, name: str) -> None:
        hours = self._rng.uniform(1, 72)
        start = self._timeline.moment(-hours * HOUR)
        stop = start + timedelta(hours=self._rng.uniform(1, 24))
        self._begin(self._new(name, "backfill", RunFacts("backfill", interval=(start, stop))))
        if self._rng.random() < 0.7:
            self._timeline.after(self._rng.uniform(0, 60), partial(self._scheduled, name))

    def _explicit(self, name: str) -> None:
        start = self._timeline.moment(-self._rng.uniform(1, 48) * HOUR)
        stop = self._rng.choice([None, start + timedelta(hours=self._rng.uniform(1, 24))])
        self._begin(self._new(name, "explicit", RunFacts("manual", start=start, end=stop)))

    def _full(self, name: str) -> None:
        self._begin(self._new(name, "full", RunFacts(), mode="full"))
        for _ in range(self._rng.choice((1, 2))):
            self._timeline.after(self._rng.uniform(0, 3 * HOUR), partial(self._manual, name))

    def _job(self, name: str, mode: str = "incremental") -> Job:
        return Job.of(name, mode=mode, relations=RELATIONS.get(name, ()), relation_layout=self._layout)

    def _new(self, name: str, kind: str, facts: RunFacts, mode: str = "incremental") -> Run:
        self._numbers[name] += 1
        return Run(f"{name} {kind} {self._numbers[name]}", self._job(name, mode), facts)

    # -- what becomes of them ---------------------------------------------------------------------------------------

    def _begin(self, run: Run, *, calm: bool = False) -> None:
        """Start the next try of a run."""
        run.tries += 1
        owner = owner_of(run.key)
        self._labels[owner] = run.key
        rng = random.Random(f"{self._seed} {run.key} {run.tries}")  # noqa: S311 - made up from a seed
        weather, lives = (Weather(), None) if calm else fate_of(rng, is_slow=run.job.mode == "full")
        attempt = str(run.tries)

        def work(process: Process) -> None:
            clock = WorkerClock(process, self._skew(run.key))
            client = RSeriesClient(
                host=self._simulation.host,
                tokens=self._simulation.tokens,
                transport=Wire(self._simulation, process, weather, rng),
                clock=clock,
                random=rng.random,
                attempts=4,
            )
            storage = WornStorage(self._storage, process)
            sweep_every = SWEEP if run.name in self._sweeps else None
            extract(
                client, storage, run.job, run.facts, run_key=run.key, attempt=attempt, clock=clock, most_chains=1,
                sweep_every=sweep_every,
            )  # fmt: skip

        Process(self._timeline, work, partial(self._ended, run, attempt, rng), lives=lives).start()
        if self._plan.zombies and not calm and rng.random() < 0.03:
            self._timeline.after(rng.uniform(1, 600), partial(self._begin, run))

    def _skew(self, key: str) -> Any:
        """A worker's clock is wrong by another amount each half hour."""

        def skew(now: float) -> float:
            return random.Random(f"{self._seed} {key} {now // 1800}").choice((-SKEW, 0.0, SKEW))  # noqa: S311

        return skew

    def _ended(self, run: Run, attempt: str, rng: random.Random, error: BaseException | None) -> None:
        """Check what the try left, and decide whether there is another one."""
        now = self._timeline.now
        outcome = "published" if error is None else type(error).__name__
        self.report.ended[outcome] += 1
        if error is None and not self.checker.holds(run.name, owner_of(run.key), attempt):
            self._violated(Rule.UNCOUNTED, run, f"try {attempt} of {run.key} is not in the manifest")
        expected = Killed | NothingToRead | LightspeedRetriableError | SweepAborted
        if self._plan.zombies:
            expected |= StorageError  # another try has taken over
        if error is not None and not isinstance(error, expected):
            self._violated(Rule.CRASHED, run, f"try {attempt} of {run.key}: {told(error)}")
        self.checker.look(run.name, now)
        if self._is_over or run.tries > 6:
            return
        if error is None:
            # Killed before it could say that it has committed; or cleared by a person, hours or days later.
            if self._plan.clears and rng.random() < 0.04:
                self._timeline.after(rng.uniform(10, 600), partial(self._begin, run))
            elif self._plan.clears and rng.random() < 0.07:
                self._timeline.after(
                    rng.choice((0.2, 3, 20, 48)) * rng.uniform(0.5, 1.5) * HOUR, partial(self._begin, run)
                )
        elif not isinstance(error, NothingToRead) and rng.random() < 0.85:
            late = rng.random() < 0.25
            self._timeline.after(rng.uniform(1, 10) * HOUR if late else rng.uniform(1, 900), partial(self._begin, run))

    def _violated(self, rule: Rule, run: Run, detail: str) -> None:
        self.checker.violate(Violation(rule, run.name, None, self._timeline.now, detail))
