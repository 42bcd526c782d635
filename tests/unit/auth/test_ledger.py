"""The ledger's rules, as pure decisions. The simulator proves them against the server's rotation elsewhere."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.auth.ledger import (
    ATTEMPTS_PER_MINUTE,
    Failure,
    Ledger,
    Outcome,
    dump,
    load,
    next_step,
)
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.settings import ConnectionSettings
from tests.fakes import NOON, make_token

SETTINGS = ConnectionSettings("ls", "client", Secret("secret"), refresh_token=Secret("seed"))
SEEN_SEED = Secret("seed").fingerprint()
SEEN_1 = Secret("access-1").fingerprint()
STALE = NOON + timedelta(minutes=59, seconds=30)
FIRST = Ledger().granted(SETTINGS, make_token("1"), Secret("seed"), "test")
#: What the connection says after the first write-back.
WRITTEN = dataclasses.replace(SETTINGS, refresh_token=Secret("refresh-1"))


def test_first_refresh_spends_the_seed() -> None:
    """Nothing is stored yet: what a person put into the connection buys the first pair."""
    step = next_step(Ledger(), SETTINGS, seen=SEEN_SEED, refused=False, now=NOON)
    assert (step.outcome, step.candidates) == (None, (Secret("seed"),))


def test_who_holds_nothing_learns_nothing() -> None:
    """A wrong hash gets the same answer whatever the ledger's state is."""
    failed = FIRST.failed(WRITTEN, Failure.INVALID_GRANT)
    for ledger in (Ledger(), FIRST, failed):
        step = next_step(ledger, WRITTEN, seen="0" * 64, refused=True, now=STALE)
        assert step.outcome is Outcome.NO_MATCH


def test_latecomer_gets_the_fresh_token_without_a_grant() -> None:
    """Parallel tasks ask at the same moment; one refresh serves all."""
    assert next_step(FIRST, WRITTEN, seen=SEEN_1, refused=False, now=NOON).outcome is Outcome.FRESH


def test_stale_token_is_replaced_by_its_refresh_token_then_the_one_before() -> None:
    """If the newest was never delivered to the server's satisfaction, its predecessor still is good."""
    step = next_step(FIRST, WRITTEN, seen=SEEN_1, refused=False, now=STALE)
    assert step.candidates == (Secret("refresh-1"), Secret("seed"))


def test_refused_token_is_replaced_at_most_once_a_minute() -> None:
    """A 401 for another reason than age must not become a storm of grants."""
    early = next_step(FIRST, WRITTEN, seen=SEEN_1, refused=True, now=NOON + timedelta(seconds=30))
    later = next_step(FIRST, WRITTEN, seen=SEEN_1, refused=True, now=NOON + timedelta(seconds=61))
    assert early.outcome is Outcome.FRESH
    assert later.outcome is None


def test_new_seed_goes_first_and_beats_a_fresh_token() -> None:
    """A person reconnected: their grant is the newest."""
    reconnected = dataclasses.replace(WRITTEN, refresh_token=Secret("new seed"))
    step = next_step(FIRST, reconnected, seen=Secret("new seed").fingerprint(), refused=False, now=NOON)
    assert step.candidates[0] == Secret("new seed")


def test_old_seed_is_no_news() -> None:
    """Restoring a connection from an old export must not bring a spent token back."""
    second = FIRST.granted(WRITTEN, make_token("2"), Secret("refresh-1"), "test")
    for old in ("seed", "refresh-1", "refresh-2"):
        assert not second.is_news(Secret(old))
    restored = dataclasses.replace(WRITTEN, refresh_token=Secret("seed"))
    step = next_step(second, restored, seen=Secret("access-2").fingerprint(), refused=False, now=NOON)
    assert step.outcome is Outcome.FRESH


def test_failure_sticks_until_credentials_change() -> None:
    """A dead grant costs one request, not one per task and night."""
    failed = FIRST.failed(WRITTEN, Failure.INVALID_GRANT)
    assert next_step(failed, WRITTEN, seen=SEEN_1, refused=True, now=STALE).outcome is Outcome.INVALID_GRANT
    mended = dataclasses.replace(WRITTEN, client_secret=Secret("other"))
    assert next_step(failed, mended, seen=SEEN_1, refused=True, now=STALE).outcome is None


def test_tokens_are_never_sent_to_another_destination() -> None:
    """A connection that is pointed elsewhere starts without tokens; its own seed must be new."""
    moved = dataclasses.replace(WRITTEN, auth_url="https://other.lightspeedapp.com")
    assert next_step(FIRST, moved, seen=SEEN_1, refused=False, now=NOON).outcome is Outcome.NO_GRANT


@given(st.lists(st.floats(0, 300), max_size=30))
def test_attempts_stay_below_the_servers_limit(moments: list[float]) -> None:
    """In no minute are more grants sent than allowed, whatever crashes in between."""
    ledger, sent = FIRST, []
    for moment in sorted(moments):
        now = STALE + timedelta(seconds=moment)
        step = next_step(ledger, WRITTEN, seen=SEEN_1, refused=False, now=now)
        if step.outcome is Outcome.UNAVAILABLE:
            assert 0 < step.retry_after <= 60
            continue
        ledger = ledger.attempted(now)
        sent.append(moment)
    assert all(sum(a <= b < a + 60 for b in sent) <= ATTEMPTS_PER_MINUTE for a in sent)


def test_same_access_token_keeps_the_predecessor() -> None:
    """The older rule hands out the same pair again; it must not become its own predecessor."""
    again = FIRST.granted(WRITTEN, make_token("1"), Secret("refresh-1"), "test")
    assert again.predecessor == Secret("seed")


@given(
    st.integers(0, 10**9),
    st.booleans(),
    st.sampled_from([None, *Failure]),
    st.lists(st.text("0123456789abcdef", min_size=16, max_size=16), max_size=5, unique=True),
)
def test_stored_ledger_comes_back_the_same(
    generation: int, with_token: bool, failure: Failure | None, seeds: list[str]
) -> None:
    """Through JSON, as it lies in the database."""
    ledger = Ledger(
        generation=generation,
        token=make_token() if with_token else None,
        predecessor=Secret("before") if with_token else None,
        seeds=tuple(seeds),
        attempts=(NOON,),
        failure=failure,
        failed_with="abc",
        destination=SETTINGS.destination,
        refreshed_by="dag.task",
    )
    assert load(json.loads(json.dumps(dump(ledger)))) == ledger
    assert load({}) == Ledger()
