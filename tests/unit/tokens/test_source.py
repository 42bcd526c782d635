"""Which token a task goes on with after the API refused one. The path to the database: tests/integration/tokens."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace

import pytest

from airflow_provider_lightspeed.auth.codec import dump
from airflow_provider_lightspeed.auth.ledger import Ledger, short
from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.auth.token import Token
from airflow_provider_lightspeed.compat import AirflowNotFoundException
from airflow_provider_lightspeed.exceptions import LightspeedRetriableError, ReconnectRequired
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.settings import ConnectionSettings
from airflow_provider_lightspeed.tokens.answer import Answer
from airflow_provider_lightspeed.tokens.asker import Asker
from airflow_provider_lightspeed.tokens.companion import ledger_id
from airflow_provider_lightspeed.tokens.source import LedgerTokenSource, TaskDesk, View
from tests.support.fakes import NOON, FakeClock, make_token

SETTINGS = ConnectionSettings("shop", "client", Secret("s"))


class FakeDesk:
    """A ledger whose token others may renew."""

    conn_id = "shop"

    def __init__(self, token: Token) -> None:
        self.ledger = Ledger(token=token, generation=1)
        self.claims: list[Claim] = []
        self.answer: Answer | None = None

    def look(self) -> View:
        return View(self.ledger, SETTINGS, ours=True)

    def renew(self, name: str) -> None:
        self.ledger = Ledger(token=make_token(name), generation=self.ledger.generation + 1)

    def ask(self, claim: Claim) -> Answer:
        self.claims.append(claim)
        if self.answer:
            return self.answer
        self.renew(f"asked-{len(self.claims)}")
        return Answer(Outcome.REFRESHED, generation=self.ledger.generation, expires_in=3000)


def source_of(desk: FakeDesk) -> LedgerTokenSource:
    return LedgerTokenSource(desk, FakeClock(), mask=lambda _: None, chance=lambda: 0.0)


def text(token: Token) -> str:
    return token.access_token.reveal()


def test_a4_newer_token_of_a_peer_is_adopted_before_any_refresh() -> None:
    """A rotation elsewhere ends a token before its time; its successor is stored already."""
    desk = FakeDesk(make_token("1"))
    source = source_of(desk)
    held = source.token()
    desk.renew("of-a-peer")
    assert text(source.refused(held)) == "access-of-a-peer"
    assert text(source.token()) == "access-of-a-peer"
    assert desk.claims == []


def test_a4_refused_token_is_renewed_though_the_clock_calls_it_fresh() -> None:
    """Once; a thread that held the same token gets the new one."""
    desk = FakeDesk(make_token("1"))
    source = source_of(desk)
    held = source.token()
    assert text(source.refused(held)) == "access-asked-1"
    assert text(source.refused(held)) == "access-asked-1"
    assert [claim.refused for claim in desk.claims] == [True]


def test_a4_token_that_stays_refused_needs_a_person() -> None:
    """The refreshing side calls it fresh, and there is no other."""
    desk = FakeDesk(make_token("1", issued=NOON + timedelta(minutes=1)))
    source = source_of(desk)
    held = source.token()
    desk.answer = Answer(Outcome.FRESH, generation=1, expires_in=3000)
    with pytest.raises(ReconnectRequired, match="refuses an access token"):
        source.refused(held)


class Stand:
    """Airflow's own connection call, and an API server that answers what it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ledger: str, *, at: str = "shop", seed: str) -> None:
        self.asked: list[Claim] = []
        fields = {"login": "client", "password": "s", "host": None, "port": None}
        here = SimpleNamespace(conn_id="shop", extra=json.dumps({"refresh_token": seed}), **fields)
        companion = SimpleNamespace(extra=ledger)

        def read(conn_id: str) -> object:
            if conn_id == ledger_id(at):
                return companion
            if conn_id.lower() == "shop":
                return here
            raise AirflowNotFoundException(conn_id)

        monkeypatch.setattr("airflow_provider_lightspeed.tokens.source.read_connection", read)

    def desk(self, *answers: Answer, conn_id: str = "shop") -> TaskDesk:
        """Return a task's desk; the API server gives these answers, one after the other."""
        desk = TaskDesk(conn_id, Asker())
        given = iter(answers)

        def ask(_: str, claim: Claim, __: Asker) -> Answer:
            self.asked.append(claim)
            return next(given)

        desk._trigger = SimpleNamespace(ask=ask)
        return desk


def stored_ledger(**changes: object) -> Ledger:
    destination = ("https://api.lightspeedapp.com", "https://cloud.lightspeedapp.com", "client")
    fields = {"token": make_token("1"), "generation": 1, "destination": destination, "origin": "external"} | changes
    return Ledger(**fields)  # type: ignore[arg-type]


def test_task_whose_environment_is_ahead_uses_the_fresh_token_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API server does not have the new refresh token yet, and calls the ledger's access token fresh."""
    stand = Stand(monkeypatch, json.dumps(dump(stored_ledger())), seed="newer")
    clock = FakeClock()
    desk = stand.desk(Answer(Outcome.FRESH, generation=1, expires_in=3000))
    token = LedgerTokenSource(desk, clock, mask=lambda _: None, chance=lambda: 0.0).token()
    assert text(token) == "access-1"
    assert clock.sleeps == []
    assert [claim.seen for claim in stand.asked] == [make_token("1").access_token.fingerprint()]


def test_task_does_not_use_a_token_of_another_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the API server says: the connection that the task reads points elsewhere."""
    moved = stored_ledger(destination=("https://api.lightspeedapp.com", "https://cloud.lightspeedapp.com", "other"))
    desk = Stand(monkeypatch, json.dumps(dump(moved)), seed="newer").desk(
        *[Answer(Outcome.FRESH, generation=1, expires_in=3000, retry_after=60.0)] * 9
    )
    with pytest.raises(LightspeedRetriableError):
        LedgerTokenSource(desk, FakeClock(), mask=lambda _: None, chance=lambda: 0.0).token()


@pytest.mark.parametrize("at", ["SHOP", "shop"])
def test_task_finds_the_ledger_of_another_spelling(monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """The exact one first, then the one in lower case, which environment variables go by."""
    known = stored_ledger(seeds=(short(Secret("seed")),))
    desk = Stand(monkeypatch, json.dumps(dump(known)), at=at, seed="seed").desk(conn_id="SHOP")
    assert desk.look().ledger == known


@pytest.mark.parametrize("extra", ["[1]", "null", "no JSON", '{"version": 1}', "[" * 100_000])
def test_task_asks_with_the_connections_token_if_the_ledger_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, extra: str
) -> None:
    """The API server puts it back for whoever holds that."""
    stand = Stand(monkeypatch, extra, seed="seed")
    view = stand.desk().look()
    assert (view.ledger, view.ours) == (Ledger(), False)
    assert view.fault
