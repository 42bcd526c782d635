"""Which token a task goes on with after the API refused one. The path to the database: tests/integration/tokens."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_provider_lightspeed.auth.ledger import Ledger
from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.auth.token import Token
from airflow_provider_lightspeed.exceptions import ReconnectRequired
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.settings import ConnectionSettings
from airflow_provider_lightspeed.tokens.answer import Answer
from airflow_provider_lightspeed.tokens.source import LedgerTokenSource, View
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
