"""Answers of the token endpoint that the documentation does not have, through the whole refresher: docs/live.md."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.auth.ledger import Ledger
from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens.refresh import Refresher
from airflow_provider_lightspeed.tokens.store import locked_ledger
from tests.support.token_steps import CONN, alive, change, ledger, row_of, works

Connect = Callable[..., str]


@pytest.fixture(params=["refresh_token", "both"])
def short(
    request: pytest.FixtureRequest, connection: Connect, simulator: SimulatorProcess
) -> Iterator[SimulatorProcess]:
    """A simulator whose answers to a refresh lack the refresh token, or the life too; and a connection."""
    connection()
    try:
        simulator.live(f"A8={request.param}")
        yield simulator
    finally:
        simulator.live("none")


def refresh(held: Secret, *, refused: bool = False) -> Outcome:
    return Refresher().refresh(CONN, Claim(held.fingerprint(), refused=refused)).outcome


def in_row() -> Secret:
    row = row_of()
    assert row is not None
    return Secret(json.loads(row["extra"])["refresh_token"])


def put(**changes: object) -> Ledger:
    """Store another state of the ledger."""
    with locked_ledger(CONN) as locked:
        found = locked.read()
        assert found.stored is not None
        changed = dataclasses.replace(found.ledger, **changes)  # type: ignore[arg-type]
        assert locked.save(changed, found.stored, expected=found.ledger.generation)
    return changed


def is_good(simulator: SimulatorProcess, held: Secret) -> bool:
    """Tell whether what is stored is the pair of this refresh token, alive, and in the row."""
    pair = ledger().token
    assert pair is not None
    is_alive = any(held.fingerprint() in grant["live_refresh_tokens"] for grant in alive(simulator))
    return is_alive and pair.refresh_token == held == in_row() and pair.lifetime.total_seconds() > 1000


def test_a8_first_refresh_keeps_the_token_that_was_put_in(short: SimulatorProcess) -> None:
    """It was spent, and is still the one."""
    seed = in_row()
    assert refresh(seed) is Outcome.REFRESHED
    assert is_good(short, seed)
    assert works()[0]


def test_a8_later_refreshes_keep_it_too(short: SimulatorProcess) -> None:
    """And it never becomes its own predecessor."""
    seed = in_row()
    refresh(seed)
    for _ in range(2):
        pair = ledger().token
        assert pair is not None
        put(token=dataclasses.replace(pair, expires_at=pair.issued_at))
        assert refresh(pair.access_token) is Outcome.REFRESHED
    assert is_good(short, seed)
    assert (ledger().predecessor, ledger().generation) == (None, 3)


def test_a8_new_token_put_in_by_hand_is_kept(short: SimulatorProcess) -> None:
    """News beside a ledger that has a pair of another grant, nothing of which is left to be tried."""
    refresh(in_row())
    new = Secret(short.grant()["refresh_token"])
    change(extra={"refresh_token": new.reveal()})
    assert refresh(new) is Outcome.REFRESHED
    assert is_good(short, new)
    assert (ledger().predecessor, ledger().siblings) == (None, ())


@pytest.mark.parametrize("place", ["predecessor", "siblings"])
def test_a8_last_resort_that_works_is_kept(short: SimulatorProcess, place: str) -> None:
    """The current token is dead, and the predecessor, or the pair of a lost race, buys an answer without a new one."""
    seed = in_row()
    refresh(seed)
    pair = ledger().token
    assert pair is not None
    dead = dataclasses.replace(pair, refresh_token=Secret("dead"), expires_at=pair.issued_at)
    is_predecessor = place == "predecessor"
    put(token=dead, predecessor=seed if is_predecessor else None, siblings=() if is_predecessor else (seed,))
    assert refresh(pair.access_token) is Outcome.REFRESHED
    assert is_good(short, seed)


def test_a5_answer_without_a_life_counts_half_an_hour(connection: Connect, simulator: SimulatorProcess) -> None:
    """The pair is stored, and is due again after half an hour less its margin."""
    connection()
    try:
        simulator.live("A8=expires_in")
        answer = Refresher().refresh(CONN, Claim(in_row().fingerprint()))
    finally:
        simulator.live("none")
    assert answer.outcome is Outcome.REFRESHED
    assert 1700 < answer.expires_in <= 1740
