"""The pace: near the whole drip alone, equal shares in company, and no refusal that could be avoided.

Against the documented limiters, exact, in virtual time: hours of traffic in seconds (``bench.traffic``).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_lightspeed.client.pacing import BURST_WINDOW, Pacer, Ticket
from airflow_provider_lightspeed.client.rate_headers import RateHeaders
from airflow_provider_lightspeed.simulator.limits import LimitKind
from bench.traffic import Account, Extract, Result, greedy, run, steady

seeds = pytest.mark.parametrize("seed", [1, 2, 3])

# -- among others ---------------------------------------------------------------------------------------------------


def extracts(account: Account, count: int, pages: int, chains: int = 1) -> list[Extract]:
    """Return processes that begin at the same time."""
    return [Extract(account, f"extract {number}", pages, chains=chains) for number in range(count)]


def traffic(registers: int, seed: int, make: Callable[[Account], list[Extract]]) -> tuple[Result, Account]:
    """Let some extracts run to their end; return what came of them."""
    account = Account(registers, seed=seed)
    return run(account, make(account)), account


@seeds
@pytest.mark.parametrize(("registers", "pages", "chains"), [(1, 300, 1), (40, 2_000, 8)])
def test_alone_the_whole_drip_is_used_and_nothing_is_refused(
    registers: int, pages: int, chains: int, seed: int
) -> None:
    """Within 2 % of the fastest that the limits allow."""
    result, _ = traffic(registers, seed, lambda account: extracts(account, 1, pages, chains=chains))
    assert result.wall_to_bound <= 1.02
    assert (result.bucket_429, result.burst_429) == (0, 0)


@seeds
@pytest.mark.parametrize("count", [2, 8])
@pytest.mark.parametrize(("registers", "pages", "chains"), [(1, 200, 1), (40, 500, 4)])
def test_equal_processes_get_equal_shares_without_a_word(
    registers: int, pages: int, chains: int, count: int, seed: int
) -> None:
    """No bucket is overfilled; a burst may be, once for each that starts, before anybody knows of the others."""
    result, _ = traffic(registers, seed, lambda account: extracts(account, count, pages, chains=chains))
    assert result.bucket_429 == 0
    assert result.burst_429 <= count
    assert result.slowest_to_fastest <= 1.25
    assert result.wall_to_bound <= 1.1


@seeds
@pytest.mark.parametrize("is_regular", [True, False])
def test_strangers_keep_their_rate_and_ours_is_the_rest(seed: int, is_regular: bool) -> None:
    """Two of them, at a tenth of a request per second each; not one request of ours is refused.

    Nor of theirs, unless they come in a crowd: the reserve is one request.
    """

    def make(account: Account) -> list[Extract]:
        for number in (1, 2):
            steady(account, f"stranger {number}", 0.1, is_regular=is_regular)
        return extracts(account, 1, 300)

    result, account = traffic(1, seed, make)
    assert (result.bucket_429, result.burst_429) == (0, 0)
    assert not (is_regular and [sent for sent in account.sent if sent.refused])
    assert result.wall_to_bound <= 1.1


@seeds
def test_beside_one_that_retries_at_every_refusal_a_quarter_of_the_drip_is_ours(seed: int) -> None:
    """Half a fair share, for a refusal per ten seconds at most."""

    def make(account: Account) -> list[Extract]:
        greedy(account)
        return extracts(account, 1, 120)

    result, _ = traffic(1, seed, make)
    assert result.share >= 0.25
    assert result.bucket_429 <= result.seconds / 10
    assert result.burst_429 <= 1


@seeds
def test_process_that_comes_later_gets_its_share_from_those_that_are_there(seed: int) -> None:
    """The bucket is full when it starts: it reads that from its first reply."""
    account = Account(1, seed=seed)
    first, later = Extract(account, "first", 400), Extract(account, "later", 100, start=200.0)
    result = run(account, [first, later])
    assert result.bucket_429 == 0
    assert later.seconds <= 1.5 * 2 * 100 * later.cost / account.drip


# -- whatever happens -----------------------------------------------------------------------------------------------

prices = st.just(0.0) | st.floats(0.1, 40)
amounts = st.none() | st.floats(0.001, 2_000) | st.sampled_from([0.0, 1e6])
replies = st.builds(
    RateHeaders,
    level=amounts,
    size=amounts,
    drip=amounts,
    cost=amounts,
    burst_level=amounts,
    burst_limit=amounts,
    limiter=st.none() | st.sampled_from([*LimitKind, "another"]),
)
steps = st.lists(
    st.tuples(
        st.sampled_from(["book", "observe", "refused", "lost"]),
        st.floats(0, 60) | st.floats(0, 0.01) | st.sampled_from([0.0, 1e4]),
        prices,
        replies,
        st.floats(0, 900),
    ),
    max_size=25,
)


class Life:
    """A pacer to which things happen; replies may come in any order."""

    def __init__(self, seed: int) -> None:
        self.now = 1_000.0
        self.pacer = Pacer(self.now)
        self.chance = random.Random(seed)  # noqa: S311 - an order
        self.on_their_way: list[Ticket] = []

    def step(self, kind: str, passed: float, cost: float, headers: RateHeaders, retry_after: float) -> None:
        """Let time pass, then something happen."""
        self.now += passed
        if kind == "book" or not self.on_their_way:
            self.on_their_way.append(self.pacer.book(cost, self.now))
            return
        ticket = self.on_their_way.pop(self.chance.randrange(len(self.on_their_way)))
        if kind == "observe":
            self.pacer.observe(ticket, headers, self.now)
        elif kind == "refused":
            self.pacer.refused(ticket, headers, retry_after, self.now)
        else:
            self.pacer.lost(ticket)


@given(steps, st.integers(0, 2**32), prices, st.floats(0, 100))
@settings(max_examples=100)
def test_wait_is_a_time_whatever_the_replies_say(
    happens: list[tuple[str, float, float, RateHeaders, float]], seed: int, cost: float, later: float
) -> None:
    """Never negative, never none, never for ever; and the level never falls below zero."""
    life = Life(seed)
    for step in happens:
        life.step(*step)
        for now in (life.now, life.now + later):
            wait = life.pacer.wait(cost, now)
            assert wait >= 0
            assert math.isfinite(wait)
            assert life.pacer.bucket(now).level >= 0
            assert life.pacer.strangers >= 0


@given(steps, steps, st.integers(0, 2**32), prices, st.floats(0, 900), replies, st.floats(0, 1))
def test_after_a_refusal_nothing_is_sent_before_the_time_it_names(
    before: list[tuple[str, float, float, RateHeaders, float]],
    after: list[tuple[str, float, float, RateHeaders, float]],
    seed: int,
    cost: float,
    retry_after: float,
    headers: RateHeaders,
    part: float,
) -> None:
    """At least a second, whatever other replies say meanwhile: they were on their way already."""
    life = Life(seed)
    for step in before:
        life.step(*step)
    life.step("book", 0.0, cost, headers, 0.0)
    life.pacer.refused(life.on_their_way.pop(), headers, retry_after, life.now)
    until = life.now + max(BURST_WINDOW, retry_after)
    for kind, passed, price, others, asked in after:
        if kind == "book" or life.now + passed >= until or not life.on_their_way:
            continue
        life.step(kind, passed, price, others, asked)
    now = life.now + part * (until - life.now)
    assert life.pacer.wait(cost, now) >= until - now - 1e-6


def test_first_reply_is_waited_for_before_the_second_request() -> None:
    """It says whose the bucket is."""
    pacer = Pacer(0.0)
    assert pacer.wait(1.4, 0.0) == 0
    ticket = pacer.book(1.4, 0.0)
    assert pacer.wait(1.4, 0.1) > 0
    pacer.observe(ticket, RateHeaders(level=1.4, size=90, drip=1, burst_level=1, burst_limit=20), 0.2)
    assert pacer.wait(1.4, 0.2) == 0
