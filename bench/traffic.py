"""Programs that share an account's rate limit, in virtual time: the simulator's exact limiters, and no wire.

An hour of traffic takes a second, so that many processes, long reads and strangers of all manners can be tried.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from airflow_provider_lightspeed.client.pacing import Pacer
from airflow_provider_lightspeed.client.rate_headers import RateHeaders
from airflow_provider_lightspeed.client.rate_limit import SPREAD
from airflow_provider_lightspeed.simulator.limits import LimitKind, RateLimits, bucket_size, drip_rate

#: Seconds from a program to the server; the rest of a response time is the server's.
ONE_WAY = 0.001

#: Called with: served, headers, seconds of Retry-After if refused.
Done = Callable[[bool, RateHeaders, int | None], None]


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as the server saw it."""

    at: float
    who: str
    cost: float
    refused: LimitKind | None


class Account:
    """One account and client, a clock that jumps from event to event, and a record of all requests.

    :param registers: they set size and drip of the bucket.
    """

    def __init__(self, registers: int, *, seed: int = 1) -> None:
        self.size, self.drip = bucket_size(registers), drip_rate(registers)
        self.random = random.Random(seed)  # noqa: S311 - made-up traffic
        self.now = 1_000 + self.random.random()
        self.sent: list[Sent] = []
        self._limits = RateLimits(registers)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, moment: float, event: Callable[[], None]) -> None:
        """Have something happen at a moment."""
        heapq.heappush(self._events, (moment, next(self._order), event))

    def run(self, until: Callable[[], bool], *, longest: float = 20_000) -> None:
        """Let time pass.

        :param longest: virtual seconds after which it ends in any case.
        """
        end = self.now + longest
        while self._events and not until() and self.now < end:
            self.now, _, event = heapq.heappop(self._events)
            event()

    def request(self, who: str, cost: float, latency: float, done: Done) -> None:
        """Send a request; ``done`` is called when its reply is there."""
        self.at(self.now + ONE_WAY * (1 + self.random.random()), lambda: self._arrive(who, cost, latency, done))

    def _arrive(self, who: str, cost: float, latency: float, done: Done) -> None:
        verdict = self._limits.check("account", "client", self.now)
        if verdict.refused is None:
            verdict = self._limits.charge("account", "client", cost, self.now)
        self.sent.append(Sent(self.now, who, cost, verdict.refused))
        headers = RateHeaders(
            verdict.level, verdict.size, verdict.drip, None, verdict.burst, verdict.burst_limit, verdict.refused
        )
        self.at(self.now + latency, lambda: done(verdict.refused is None, headers, verdict.retry_after))


@dataclass
class Extract:
    """One of our processes: a number of pages, in up to so many chains, paced by a :class:`Pacer`.

    :param latency: response times, in seconds, drawn at random.
    :param start: seconds after the account's.
    """

    account: Account
    name: str
    pages: int
    cost: float = 1.4
    latency: Sequence[float] = (0.25,)
    chains: int = 1
    start: float = 0.0
    started: float | None = None
    finished: float | None = None
    _in_flight: int = 0
    _served: int = 0
    _due: float | None = None
    _pacer: Pacer = field(init=False)

    def __post_init__(self) -> None:
        """Be part of the traffic."""
        self.account.at(self.account.now + self.start, self._begin)

    @property
    def seconds(self) -> float:
        """How long it took."""
        assert self.started is not None
        return (self.finished or self.account.now) - self.started

    def _begin(self) -> None:
        account = self.account
        self.started = account.now
        patience = 0.8 + 0.6 * account.random.random()
        self._pacer = Pacer(account.now, delay=SPREAD * account.random.random(), patience=patience)
        self._step()

    def _step(self) -> None:
        # The first pages come one by one, as in a real read: nobody knows yet how long it is.
        most = self.chains if self._served >= 5 else 1
        while self._in_flight < most and self.pages > 0:
            now = self.account.now
            wait = self._pacer.wait(self.cost, now)
            if wait > 1e-6:
                if self._due is None or self._due <= now or self._due > now + wait:
                    self._due = now + wait
                    self.account.at(self._due, partial(self._wake, self._due))
                return
            self._send()

    def _wake(self, due: float) -> None:
        if self._due == due:
            self._step()

    def _send(self) -> None:
        account, pacer = self.account, self._pacer
        ticket = pacer.book(self.cost, account.now)
        self._in_flight, self.pages = self._in_flight + 1, self.pages - 1

        def done(served: bool, headers: RateHeaders, retry_after: int | None) -> None:
            self._in_flight -= 1
            if served:
                self._served += 1
                pacer.observe(ticket, headers, account.now)
            else:
                self.pages += 1
                pacer.refused(ticket, headers, float(retry_after or 1), account.now)
            if self.pages == 0 and self._in_flight == 0:
                self.finished = account.now
            self._step()

        account.request(
            self.name, self.cost, account.random.choice(self.latency) * account.random.uniform(0.95, 1.05), done
        )


def steady(account: Account, name: str, rate: float, *, cost: float = 1.4, is_regular: bool = True) -> None:
    """Add a stranger who sends so many requests per second whatever the answer."""

    def send() -> None:
        account.request(name, cost, 0.25, lambda *_: None)
        gap = 1 / rate if is_regular else account.random.expovariate(rate)
        account.at(account.now + gap, send)

    account.at(account.now + account.random.random() / rate, send)


def greedy(account: Account, name: str = "greedy", *, cost: float = 1.4, latency: float = 0.25) -> None:
    """Add a stranger who sends the next request at each reply, refused or not."""

    def send() -> None:
        account.request(name, cost, latency, lambda *_: send())

    account.at(account.now, send)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of some extracts that shared an account.

    :param wall_to_bound: their time by the lower bound: what all poured in, less the last request and the bucket's size,
        by the drip.
    :param slowest_to_fastest: of the extracts.
    :param share: of the drip that was ours.
    """

    wall_to_bound: float
    bucket_429: int
    burst_429: int
    slowest_to_fastest: float
    share: float
    seconds: float


def run(account: Account, extracts: Sequence[Extract]) -> Result:
    """Let the extracts run to their end."""
    account.run(lambda: all(found.finished for found in extracts))
    names = {found.name for found in extracts}
    start = min(found.started or account.now for found in extracts)
    end = max(found.finished or account.now for found in extracts)
    within = [sent for sent in account.sent if start <= sent.at <= end]
    poured = sum(sent.cost for sent in within if sent.refused is None)
    ours = [sent for sent in within if sent.who in names]
    bound = (poured - extracts[0].cost - account.size) / account.drip
    times = [found.seconds for found in extracts]
    return Result(
        wall_to_bound=(end - start) / bound,
        bucket_429=sum(sent.refused is LimitKind.BUCKET for sent in ours),
        burst_429=sum(sent.refused is LimitKind.BURST for sent in ours),
        slowest_to_fastest=max(times) / min(times),
        share=sum(sent.cost for sent in ours if sent.refused is None) / (account.drip * (end - start)),
        seconds=end - start,
    )
