"""Connecting against the simulator: what comes back from Lightspeed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.auth.codec import load
from airflow_provider_lightspeed.auth.ledger import Ledger
from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.exceptions import (
    AccessDenied,
    InvalidArgument,
    InvalidClient,
    LightspeedError,
    ReconnectRequired,
)
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens.connect import Consents
from airflow_provider_lightspeed.tokens.refresh import Refresher
from airflow_provider_lightspeed.tokens.status import status
from airflow_provider_lightspeed.tokens.store import ledger_id, peek
from tests.support.token_steps import CONN, alive, connect, leave, ledger, redeem, set_out, works

Connect = Callable[..., str]
Stored = Callable[[str], dict[str, Any]]


def test_first_connect_stores_pair_account_and_scopes(unconnected: Connect, stored: Stored) -> None:
    """In the ledger, and what people look at in the connection itself."""
    unconnected()
    connect()
    extra = stored(CONN)
    held = load(stored(ledger_id(CONN)))
    assert held.token is not None
    assert extra["refresh_token"] == held.token.refresh_token.reveal()
    assert (extra["account_id"], extra["scope"]) == ("12345", "employee:all")
    assert (held.generation, held.refreshed_by) == (1, "Ann")
    assert works()[0]


def test_departure_names_state_and_challenge_and_no_secret(unconnected: Connect, simulator: SimulatorProcess) -> None:
    """The address goes through a browser."""
    unconnected()
    departure = set_out()
    verifier = departure.attempt.verifier.reveal()
    assert "code_challenge_method=S256" in departure.url
    assert departure.state.reveal() in departure.url
    assert "redirect_uri" not in departure.url
    for secret in (verifier, simulator.client_secret):
        assert secret not in departure.url
    for secret in (verifier, departure.state.reveal()):
        assert secret not in repr(departure)


def test_reconnect_replaces_a_dead_grant(connection: Connect, simulator: SimulatorProcess) -> None:
    """The failure is gone, and the next refresh spends the new grant."""
    connection()
    simulator.revoke()
    seed = Claim(peek(CONN).stored.settings.refresh_token.fingerprint())  # type: ignore[union-attr]
    assert Refresher().refresh(CONN, seed).outcome is Outcome.INVALID_GRANT
    connect()
    assert ledger().failure is None
    assert works()[0]


def test_another_account_is_noticed_before_anything_is_replaced(unconnected: Connect, stored: Stored) -> None:
    """A person decides; until then the connection reads what it read."""
    unconnected()
    connect()
    departure = set_out()
    attempt = redeem(departure, leave(departure, account="777"))
    assert Consents().replaces(attempt) == "12345"
    assert stored(CONN)["account_id"] == "12345"
    Consents().adopt(attempt)
    assert stored(CONN)["account_id"] == "777"
    assert status(CONN).account_id == "777"
    assert status(CONN).account_name == ""


def test_same_account_and_first_account_need_no_decision(unconnected: Connect) -> None:
    """Nothing is replaced by another."""
    unconnected()
    attempt = redeem(set_out())
    assert Consents().replaces(attempt) is None
    Consents().adopt(attempt)
    assert Consents().replaces(redeem(set_out())) is None


def test_account_typed_into_the_connection_counts_as_the_one_before(unconnected: Connect) -> None:
    """It says what the DAGs read, also before the first connect and after a disconnection."""
    unconnected(extra={"account_id": "99"})
    assert Consents().replaces(redeem(set_out())) == "99"


def test_declined_account_leaves_everything_and_its_grant_is_revoked(
    unconnected: Connect, simulator: SimulatorProcess, stored: Stored
) -> None:
    """Stay with the account before: no grant is left lying about."""
    unconnected()
    connect()
    before = stored(ledger_id(CONN))
    departure = set_out()
    attempt = redeem(departure, leave(departure, account="777"))
    Consents().discard(attempt)
    assert stored(ledger_id(CONN)) == before
    assert [grant["account_id"] for grant in alive(simulator)] == ["12345"]
    assert works()[0]


def test_code_lives_a_minute(unconnected: Connect, simulator: SimulatorProcess) -> None:
    """Whoever pastes it later is told to start again."""
    unconnected()
    departure = set_out()
    redirected = leave(departure)
    simulator.advance(61)
    with pytest.raises(ReconnectRequired, match="60 seconds"):
        redeem(departure, redirected)
    assert ledger() == Ledger()


def test_code_is_good_once(unconnected: Connect) -> None:
    """Replayed, it buys nothing, and what the first one bought stays."""
    unconnected()
    departure = set_out()
    redirected = leave(departure)
    Consents().adopt(redeem(departure, redirected))
    with pytest.raises(ReconnectRequired, match="good once"):
        redeem(departure, redirected)
    assert works()[0]


def test_code_of_another_consent_is_useless_without_its_verifier(unconnected: Connect) -> None:
    """Slipping an attacker's code into somebody's redirect is what PKCE prevents."""
    unconnected()
    mine, theirs = set_out(), set_out()
    code = leave(theirs).partition("code=")[2].partition("&")[0]
    with pytest.raises(LightspeedError):
        redeem(mine, f"https://x.example/?code={code}&state={mine.state.reveal()}")
    assert ledger() == Ledger()


def test_wrong_client_secret_is_named(unconnected: Connect) -> None:
    """And nothing sticks: the next consent may succeed."""
    unconnected(password="wrong")
    with pytest.raises(InvalidClient, match="client secret"):
        redeem(set_out())
    assert ledger().failure is None


def test_denied_consent_says_so(unconnected: Connect) -> None:
    """It is the merchant's decision, not a fault."""
    unconnected()
    departure = set_out()
    with pytest.raises(AccessDenied, match="refused"):
        redeem(departure, leave(departure, "deny"))


@pytest.mark.parametrize("state", ["", "another", "\u00e9", "x" * 9_999])
def test_redirect_of_another_attempt_is_not_exchanged(
    unconnected: Connect, simulator: SimulatorProcess, state: str
) -> None:
    """Its state differs; the code is not even sent."""
    unconnected()
    departure = set_out()
    with pytest.raises(InvalidArgument, match="another attempt"):
        redeem(departure, f"https://x.example/?code=c&state={state}")
    assert simulator.audit("token")["requests"] == []


@pytest.mark.parametrize(
    "pasted", ["", "code", "https://[", "http://x/?state=s", "javascript:alert(1)", "\x00", "?" * 9]
)
def test_anything_may_be_pasted(unconnected: Connect, simulator: SimulatorProcess, pasted: str) -> None:
    """It is refused with words, and nothing is sent."""
    unconnected()
    departure = set_out()
    with pytest.raises(InvalidArgument):
        redeem(departure, pasted)
    assert simulator.audit("token")["requests"] == []
