"""The authorization server asks to wait: nobody sends before that is over, and no clock makes it longer."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.auth.step import ATTEMPTS_PER_MINUTE, Claim, Outcome
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens import dialects, store
from airflow_provider_lightspeed.tokens.answer import Answer
from airflow_provider_lightspeed.tokens.refresh import Refresher
from airflow_provider_lightspeed.tokens.store import peek
from tests.support.token_steps import CONN, change, row_of

Connect = Callable[..., str]


def refresh() -> Answer:
    row = row_of()
    assert row is not None
    return Refresher().refresh(CONN, Claim(Secret(json.loads(row["extra"])["refresh_token"]).fingerprint()))


def asks_to_wait(simulator: SimulatorProcess, seconds: Any, status: int = 429, count: int | None = 1) -> None:
    """Have the token endpoint answer with ``Retry-After``."""
    headers = {} if seconds is None else {"Retry-After": str(seconds)}
    rule = {"action": "status", "path": "/oauth/token", "status": status, "headers": headers, "count": count}
    simulator.faults(rule)


class DatabaseClock:
    """The database's clock, which can be set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = dialects.database_time
        self.ahead = timedelta(0)
        monkeypatch.setattr(store, "database_time", self)

    def __call__(self, session: Any) -> datetime:
        return self._real(session) + self.ahead

    def move(self, **by: float) -> None:
        """Set it forward or back."""
        self.ahead += timedelta(**by)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> DatabaseClock:
    return DatabaseClock(monkeypatch)


def sent(simulator: SimulatorProcess) -> int:
    return len(simulator.audit("token")["requests"])


@pytest.mark.parametrize("status", [429, 503])
def test_one_answer_that_asks_to_wait_stops_everybody(
    status: int, connection: Connect, simulator: SimulatorProcess, clock: DatabaseClock
) -> None:
    """With 429 and with 503, whose page is a gateway's; a new refresh token does not change it. Then it is over."""
    connection()
    asks_to_wait(simulator, 90, status)
    first = refresh()
    assert (first.outcome, first.retry_after) == (Outcome.UNAVAILABLE, 90)
    faults = sent(simulator)
    for _ in range(ATTEMPTS_PER_MINUTE + 1):
        answer = refresh()
        assert answer.outcome is Outcome.UNAVAILABLE
        assert 60 < answer.retry_after <= 90
    change(extra={"refresh_token": simulator.grant()["refresh_token"]})
    assert refresh().outcome is Outcome.UNAVAILABLE
    clock.move(seconds=89)
    assert refresh().outcome in (Outcome.UNAVAILABLE, Outcome.REFRESHED)  # the machine may be slow
    assert sent(simulator) <= faults + 1
    clock.move(seconds=2)
    assert refresh().outcome in (Outcome.REFRESHED, Outcome.FRESH, Outcome.NO_MATCH)
    assert peek(CONN).ledger.generation == 1


@pytest.mark.parametrize(("asked", "wait"), [(None, 60), (86_400, 3600)])
def test_pause_is_a_minute_if_nothing_is_said_and_an_hour_at_most(
    asked: int | None, wait: int, connection: Connect, simulator: SimulatorProcess
) -> None:
    """A header with another date or number must not stop a shop for days."""
    connection()
    asks_to_wait(simulator, asked)
    assert refresh().retry_after == wait
    assert wait - 30 < refresh().retry_after <= wait


def test_database_clock_set_back_by_two_hours_stops_nothing(
    connection: Connect, simulator: SimulatorProcess, clock: DatabaseClock
) -> None:
    """Whatever was on record: the pause, the attempts, the forced interval. One grant renews all moments."""
    connection()
    asks_to_wait(simulator, 3000)
    refresh()
    clock.move(hours=-2)
    assert refresh().outcome is Outcome.REFRESHED
    pair = peek(CONN).ledger.token
    assert pair is not None
    refused = Claim(pair.access_token.fingerprint(), refused=True)
    assert Refresher().refresh(CONN, refused).retry_after <= 60
    clock.move(hours=-2)
    assert Refresher().refresh(CONN, refused).outcome is Outcome.REFRESHED
    pair = peek(CONN).ledger.token
    assert pair is not None
    refused = Claim(pair.access_token.fingerprint(), refused=True)
    clock.move(hours=4)
    assert Refresher().refresh(CONN, refused).outcome is Outcome.REFRESHED
