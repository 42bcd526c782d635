"""The pool of database connections is empty, before a grant or after it: nothing is sent, or nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("airflow")

from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft
from sqlalchemy.pool import QueuePool

from airflow_provider_lightspeed.auth.flow import OAuthReply, OAuthRequest
from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.exceptions import LightspeedRetriableError
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens import attempts
from airflow_provider_lightspeed.tokens.connect import Consents
from airflow_provider_lightspeed.tokens.refresh import Refresher, default_exchange, take_over
from airflow_provider_lightspeed.tokens.store import LockedLedger, peek
from tests.support.fakes import FakeClock, make_token
from tests.support.token_steps import CONN, leave, ledger, redeem, row_of, set_out

Connect = Callable[..., str]
SIZE = 4


class Pool:
    """Airflow's own engine, with few connections and little patience."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._taken: list[Any] = []

    def drain(self, left: int = 0) -> None:
        """Take all connections that are free, as a busy API server does, but for some."""
        while True:
            try:
                self._taken.append(self._engine.connect())
            except NoConnectionLeft:
                break
        for _ in range(left):
            self._taken.pop().close()

    def refill(self) -> None:
        """Give them back."""
        while self._taken:
            self._taken.pop().close()


@pytest.fixture
def pool(connection: Connect, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    from airflow import settings

    connection()
    assert settings.engine is not None
    engine = create_engine(
        settings.engine.url,
        poolclass=QueuePool,
        pool_size=SIZE,
        max_overflow=0,
        pool_timeout=0.05,
        connect_args={"check_same_thread": False, "timeout": 30},
    )
    with monkeypatch.context() as patched:
        patched.setattr(settings, "engine", engine)
        made = Pool(engine)
        yield made
        made.refill()
    engine.dispose()


@pytest.fixture
def seed(pool: Pool) -> Claim:
    row = row_of()
    assert row is not None
    return Claim(Secret(json.loads(row["extra"])["refresh_token"]).fingerprint())


def after_the_answer(deed: Callable[[], Any]) -> Callable[[OAuthRequest], OAuthReply]:
    """Return an exchange that does something once an answer has come."""
    exchange = default_exchange()

    def send(request: OAuthRequest) -> OAuthReply:
        reply = exchange(request)
        deed()
        return reply

    return send


def grants(simulator: SimulatorProcess) -> list[int]:
    return [entry["status"] for entry in simulator.audit("token")["requests"]]


def test_pool_exhausted_between_grant_and_commit_loses_no_pair(
    pool: Pool, seed: Claim, simulator: SimulatorProcess
) -> None:
    """The connections that save and verify the pair were taken before the grant was sent."""
    clock = FakeClock()
    answer = Refresher(after_the_answer(pool.drain), clock).refresh(CONN, seed)
    pool.refill()
    assert answer.outcome is Outcome.REFRESHED
    pair, row = ledger().token, row_of()
    assert pair is not None
    assert row is not None
    assert json.loads(row["extra"])["refresh_token"] == pair.refresh_token.reveal()
    assert grants(simulator) == [200]
    assert clock.sleeps == []


@pytest.mark.parametrize("left", [0, 1])
def test_pool_exhausted_before_the_grant_sends_nothing(
    left: int, pool: Pool, seed: Claim, simulator: SimulatorProcess
) -> None:
    """With no connection, and with one that is enough to read but not to save: the caller is told to come back."""
    pool.drain(left)
    answer = Refresher().refresh(CONN, seed)
    pool.refill()
    assert answer.outcome is Outcome.BUSY
    assert grants(simulator) == []
    assert Refresher().refresh(CONN, seed).outcome is Outcome.REFRESHED


def test_pair_in_hand_waits_for_a_database_that_comes_back(
    pool: Pool, seed: Claim, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session dies with the commit, and for a while the pool has no other connection."""
    save, broken = LockedLedger.save, [1]

    def stumbling(self: LockedLedger, *args: Any, **named: Any) -> bool:
        if broken:
            broken.clear()
            self.close()
            pool.drain()
            raise OperationalError("COMMIT", {}, Exception("server closed the connection"))
        return save(self, *args, **named)

    class Recovering(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if len(self.sleeps) == 3:
                pool.refill()

    monkeypatch.setattr(LockedLedger, "save", stumbling)
    clock = Recovering()
    assert Refresher(clock=clock).refresh(CONN, seed).outcome is Outcome.REFRESHED
    assert len(clock.sleeps) == 3
    assert grants(simulator) == [200]
    assert ledger().generation == 1


def test_pair_of_a_lost_race_is_noted_although_the_pool_is_exhausted(
    pool: Pool, seed: Claim, simulator: SimulatorProcess
) -> None:
    """The lock was lost, another process has committed, and no further connection is free to look what."""

    def lose() -> None:
        found, other = peek(CONN), LockedLedger(CONN)
        assert found.stored is not None
        other.open()
        other.read()
        winner = found.ledger.granted(
            found.stored.settings,
            make_token("winner"),
            found.stored.settings.refresh_token,
            place=found.stored.place,
            by="another",
        )
        assert other.save(winner, found.stored, expected=0)
        other.close()
        pool.drain()

    answer = Refresher(after_the_answer(lose), FakeClock()).refresh(CONN, seed)
    pool.refill()
    assert answer.outcome is Outcome.BUSY
    found = ledger()
    assert found.token is not None
    assert found.token.refresh_token == Secret("refresh-winner")
    assert len(found.siblings) == 1
    assert grants(simulator) == [200]


def test_consent_whose_code_was_exchanged_asks_nothing_of_the_database(pool: Pool) -> None:
    """The code is used up: the pair must come back to whoever keeps it."""
    departure = set_out()
    redirected = leave(departure)
    flow = Consents(Refresher(after_the_answer(pool.drain)))
    attempt = flow.redeem(departure.attempt, departure.state, redirected)
    pool.refill()
    assert attempt.token is not None
    assert Consents().adopt(attempt) == attempt.token
    assert ledger().token == attempt.token


def test_people_are_told_that_the_database_failed(pool: Pool) -> None:
    """In an error of this package, which names no table and shows no statement; nothing is lost."""
    Consents().adopt(redeem(set_out()))
    before, waits = ledger(), redeem(set_out())
    pool.drain()
    for action in (
        lambda: peek(CONN),
        lambda: take_over(CONN, "Ann"),
        lambda: Consents().depart(CONN, ("employee:all",), user="1", by="Ann"),
        lambda: Consents().adopt(waits),
        lambda: Consents().disconnect(CONN, "Ann"),
        lambda: attempts.keep(Secret("state"), waits),
        lambda: attempts.take(Secret("state"), "1"),
        lambda: attempts.look(Secret("state"), "1"),
        lambda: attempts.forget(Secret("state")),
    ):
        with pytest.raises(LightspeedRetriableError, match="the metadata database failed"):
            action()
    pool.refill()
    assert ledger() == before
    Consents().adopt(waits)
    assert ledger().token == waits.token
