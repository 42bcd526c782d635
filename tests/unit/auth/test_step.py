"""The rules of refreshing, as pure decisions. The simulator proves them against the server's rotation elsewhere."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.auth.ledger import Failure, Ledger, Place
from airflow_provider_lightspeed.auth.step import (
    ATTEMPTS_PER_MINUTE,
    Claim,
    Outcome,
    Pause,
    Step,
    candidates,
    next_step,
)
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.settings import ConnectionSettings
from tests.support.fakes import NOON, make_token

SETTINGS = ConnectionSettings("ls", "client", Secret("secret"), refresh_token=Secret("seed"))
HERE = Place("row:1", "postgresql://db/airflow http://airflow")
SEEN_SEED = Claim(Secret("seed").fingerprint())
SEEN_1 = Claim(Secret("access-1").fingerprint())
REFUSED_1 = dataclasses.replace(SEEN_1, refused=True)
STALE = NOON + timedelta(minutes=59, seconds=30)
FIRST = Ledger().granted(SETTINGS, make_token("1"), Secret("seed"), place=HERE, by="test")
#: What the connection says after the first write-back.
WRITTEN = dataclasses.replace(SETTINGS, refresh_token=Secret("refresh-1"))


def decide(
    ledger: Ledger,
    settings: ConnectionSettings = WRITTEN,
    claim: Claim = SEEN_1,
    now: datetime = STALE,
    place: Place = HERE,
    **more: object,
) -> Step:
    return next_step(ledger, settings, claim, place=place, now=now, **more)  # type: ignore[arg-type]


def test_first_refresh_spends_the_seed() -> None:
    """Nothing is stored yet: what a person put into the connection buys the first pair."""
    assert decide(Ledger(), SETTINGS, SEEN_SEED) == Step(candidate=Secret("seed"))


def test_who_holds_nothing_learns_nothing() -> None:
    """A wrong hash gets the same answer whatever the ledger's state is."""
    for ledger in (
        Ledger(),
        FIRST,
        FIRST.failed(WRITTEN, Failure.INVALID_GRANT),
        dataclasses.replace(FIRST, owner="x"),
    ):
        assert decide(ledger, claim=Claim("0" * 64, refused=True, used=True)) == Step(Outcome.NO_MATCH)


def test_captured_claim_is_worthless_after_the_refresh() -> None:
    """Neither the hash of a seed that was spent nor that of an access token that was replaced says anything."""
    second = FIRST.granted(WRITTEN, make_token("2"), Secret("refresh-1"), place=HERE, by="")
    for settings in (SETTINGS, WRITTEN):
        for claim in (SEEN_SEED, SEEN_1, Claim(Secret("refresh-1").fingerprint())):
            assert decide(second, settings, claim).outcome is Outcome.NO_MATCH


def test_latecomer_gets_the_fresh_token_without_a_grant() -> None:
    """Parallel tasks ask at the same moment; one refresh serves all."""
    assert decide(FIRST, now=NOON).outcome is Outcome.FRESH


def test_predecessor_and_siblings_are_tried_once_before_a_person_is_asked() -> None:
    """The newest first; each that proves dead is not sent again."""
    ledger, tried = FIRST.lost(make_token("x")), []
    while (step := decide(ledger)).candidate:
        tried.append(step.candidate)
        ledger = ledger.refused(WRITTEN, step.candidate)
    assert tried == [Secret("refresh-1"), Secret("seed"), Secret("refresh-x")]
    assert step == Step(Outcome.INVALID_GRANT, sticks=True)


def test_predecessor_of_a_used_token_is_dead_for_certain() -> None:
    """The first request of an access token ends the refresh token before it: to send it would be a needless call."""
    used = dataclasses.replace(SEEN_1, used=True)
    assert candidates(FIRST, WRITTEN, used) == (Secret("refresh-1"),)
    assert candidates(FIRST, WRITTEN, SEEN_1) == (Secret("refresh-1"), Secret("seed"))


def test_refused_token_is_replaced_at_most_once_a_minute() -> None:
    """A 401 for another reason than age must not become a storm of grants; the caller is told when to come back."""
    early = decide(FIRST, claim=REFUSED_1, now=NOON + timedelta(seconds=20))
    assert early == Step(Outcome.UNAVAILABLE, retry_after=40.0)
    assert decide(FIRST, claim=REFUSED_1, now=NOON + timedelta(seconds=61)).candidate


def test_same_access_token_is_not_asked_for_again_until_it_expires() -> None:
    """A server of the older rule hands out the same token when asked early; asking on would be needless refreshing."""
    again = FIRST.granted(WRITTEN, make_token("1"), Secret("refresh-1"), place=HERE, by="")
    assert decide(again, now=STALE).outcome is Outcome.FRESH
    assert decide(again, now=NOON + timedelta(hours=1)).candidate


def test_new_seed_goes_first_and_beats_a_fresh_token() -> None:
    """A person reconnected: their grant is the newest."""
    reconnected = dataclasses.replace(WRITTEN, refresh_token=Secret("new seed"))
    assert decide(FIRST, reconnected, now=NOON).candidate == Secret("new seed")


def test_two_seeds_of_a_rolling_deploy_do_not_flip_flop() -> None:
    """Each is adopted once; afterwards both ask for the same ledger."""
    other = dataclasses.replace(SETTINGS, refresh_token=Secret("other seed"))
    ledger = FIRST.granted(other, make_token("2"), Secret("other seed"), place=HERE, by="")
    claim = Claim(Secret("access-2").fingerprint())
    assert [decide(ledger, each, claim, now=NOON).outcome for each in (SETTINGS, other)] == [Outcome.FRESH] * 2


@pytest.mark.parametrize("failure", [Failure.INVALID_CLIENT, Failure.INVALID_GRANT])
def test_failure_sticks_until_credentials_change(failure: Failure) -> None:
    """A dead grant costs one request, not one per task and night; saving the same form again changes nothing."""
    failed = FIRST.refused(WRITTEN, Secret("refresh-1")).refused(WRITTEN, Secret("seed")).failed(WRITTEN, failure)
    for settings in (WRITTEN, SETTINGS):
        assert decide(failed, settings).outcome is Outcome(failure)
    assert decide(failed, dataclasses.replace(WRITTEN, client_secret=Secret("other"))).candidate
    assert decide(failed, dataclasses.replace(WRITTEN, refresh_token=Secret("new"))).candidate == Secret("new")


@pytest.mark.parametrize("change", ["host", "auth_url", "client_id"])
def test_tokens_are_never_sent_to_another_destination(change: str) -> None:
    """A connection that is pointed elsewhere starts without tokens, also those of a lost race."""
    moved = dataclasses.replace(WRITTEN, **{change: "https://other.lightspeedapp.com"})  # type: ignore[arg-type]
    assert decide(FIRST.lost(make_token("x")), moved, now=NOON).outcome is Outcome.NO_GRANT
    reconnected = dataclasses.replace(moved, refresh_token=Secret("new"))
    assert candidates(FIRST.lost(make_token("x")), reconnected, SEEN_1) == (Secret("new"),)


def test_recreated_connection_inherits_nothing() -> None:
    """Not without a token, not beside a new one; only who names a token of it goes on with it (a deploy tool does)."""
    anew = Place("row:9", HERE.owner)
    empty = dataclasses.replace(SETTINGS, refresh_token=Secret(""))
    assert decide(FIRST, empty, place=anew, now=NOON).outcome is Outcome.NO_GRANT
    new = dataclasses.replace(SETTINGS, refresh_token=Secret("new"))
    step = decide(FIRST, new, Claim(Secret("new").fingerprint()), place=anew)
    assert step.candidate == Secret("new")
    assert candidates(FIRST.disowned().refused(new, Secret("new")), new, SEEN_1) == (Secret("new"),)
    assert decide(FIRST, SETTINGS, place=anew, now=NOON).outcome is Outcome.FRESH


@pytest.mark.parametrize(
    ("owner", "foreign"),
    [
        ("postgresql://db/airflow http://airflow", False),
        ("postgresql://db/airflow", False),
        ("postgresql://staging/airflow http://airflow", True),
        ("postgresql://db/airflow http://staging", True),
        ("production", True),
    ],
)
def test_copied_database_makes_no_grant_call(owner: str, foreign: bool) -> None:
    """Until somebody takes over or reconnects; a token that is still good may be read."""
    there = Place(HERE.origin, owner)
    assert (decide(FIRST, place=there).outcome is Outcome.FOREIGN) is foreign
    assert decide(FIRST, place=there, now=NOON).outcome is Outcome.FRESH
    reconnected = dataclasses.replace(WRITTEN, refresh_token=Secret("new"))
    assert decide(FIRST, reconnected, place=there).candidate == Secret("new")


@given(st.floats(-7200, 7200))
def test_staleness_is_judged_by_the_servers_clock(ahead: float) -> None:
    """Whatever this side's clock says: the difference was measured with the last grant."""
    token = make_token("1", issued=NOON + timedelta(seconds=ahead))
    ledger = Ledger().granted(SETTINGS, token, Secret("seed"), place=HERE, by="", ahead=ahead)
    assert decide(ledger, now=NOON + timedelta(minutes=55)).outcome is Outcome.FRESH
    assert decide(ledger, now=NOON + timedelta(minutes=60, seconds=3)).candidate


@given(st.lists(st.floats(0, 300), max_size=30))
def test_attempts_stay_below_the_servers_limit(moments: list[float]) -> None:
    """In no minute are more grants sent than allowed, whatever crashes in between."""
    sent: list[datetime] = []
    for moment in sorted(moments):
        now = STALE + timedelta(seconds=moment)
        step = decide(FIRST, now=now, attempts=sent)
        if step.outcome is Outcome.UNAVAILABLE:
            assert 0 < step.retry_after <= 65
            continue
        sent.append(now)
    minute = timedelta(seconds=65)  # what is sent in this second may arrive in the next
    assert all(sum(a <= b < a + minute for b in sent) <= ATTEMPTS_PER_MINUTE for a in sent)


GONE = FIRST.disconnected(WRITTEN, "ann", NOON)
#: What the connection says after the write-back of a disconnection; one that nobody can write to keeps its seed.
EMPTIED = dataclasses.replace(SETTINGS, refresh_token=Secret(""))


@pytest.mark.parametrize(
    "settings",
    [
        EMPTIED,
        SETTINGS,
        WRITTEN,
        dataclasses.replace(SETTINGS, client_secret=Secret("another")),
        dataclasses.replace(WRITTEN, client_id="another"),
        dataclasses.replace(SETTINGS, host="https://other.lightspeedapp.com"),
    ],
)
@pytest.mark.parametrize("claim", [SEEN_SEED, SEEN_1, Claim(Secret("refresh-1").fingerprint(), refused=True)])
def test_disconnected_ledger_sends_nothing(settings: ConnectionSettings, claim: Claim) -> None:
    """Whatever old token the connection still names, and whatever else changes in it."""
    step = decide(GONE, settings, claim, now=STALE + timedelta(days=40))
    assert step.candidate is None
    assert step.outcome in (Outcome.DISCONNECTED, Outcome.NO_MATCH)


def test_disconnected_task_is_told_so() -> None:
    """Whoever holds the seed that is left learns why there is no token."""
    assert decide(GONE, SETTINGS, SEEN_SEED).outcome is Outcome.DISCONNECTED


def test_new_seed_or_a_consent_ends_a_disconnection() -> None:
    """Both are a person's decision."""
    new = dataclasses.replace(SETTINGS, refresh_token=Secret("new"))
    assert decide(GONE, new, Claim(Secret("new").fingerprint())).candidate == Secret("new")
    again = GONE.connected(EMPTIED, make_token("2"), place=HERE, by="bob")
    assert decide(again, claim=Claim(Secret("access-2").fingerprint())).candidate == Secret("refresh-2")


HOUR = 3600.0


@given(asked=st.integers(1, 36_000), moments=st.lists(st.integers(0, 7200), max_size=20))
def test_nobody_sends_before_the_servers_pause_is_over(asked: int, moments: list[int]) -> None:
    """Whoever asks, however often, and also with a new token; what counts is an hour at most."""
    pause = Pause(STALE, asked)
    reconnected = dataclasses.replace(WRITTEN, refresh_token=Secret("new"))
    for moment in moments:
        for settings in (WRITTEN, reconnected):
            step = decide(FIRST, settings, now=STALE + timedelta(seconds=moment), pause=pause)
            rest = min(asked, HOUR) - moment
            assert bool(step.candidate) is (rest <= 0)
            assert step.retry_after == pytest.approx(max(rest, 0.0))


def test_pause_keeps_nobody_from_a_token_that_is_good() -> None:
    """Only sending is put off."""
    assert decide(FIRST, now=NOON, pause=Pause(NOON, 600.0)).outcome is Outcome.FRESH


def named_wait(step: Step) -> float:
    assert step.candidate or step.outcome is Outcome.UNAVAILABLE
    return step.retry_after


moments_ago = st.floats(0, 3 * HOUR)
jumps = st.floats(-10 * HOUR, 10 * HOUR) | st.floats(-90, 90)


@given(ages=st.lists(moments_ago, max_size=8), jump=jumps, refreshed=moments_ago, issued=moments_ago)
def test_no_jump_of_the_clock_is_waited_for_longer_than_a_minute(
    ages: list[float], jump: float, refreshed: float, issued: float
) -> None:
    """Attempts, the forced interval, the token's own dates: written before the database's clock was set, read after."""
    now = NOON + timedelta(days=1)

    def before(age: float) -> datetime:
        return now - timedelta(seconds=age)

    token = dataclasses.replace(make_token("1"), issued_at=before(issued), expires_at=before(issued - HOUR))
    ledger = dataclasses.replace(FIRST, token=token, refreshed_at=before(refreshed))
    attempts = sorted(before(age) for age in ages)
    there = now + timedelta(seconds=jump)
    usual = named_wait(decide(ledger, claim=REFUSED_1, now=now, attempts=attempts))
    after = named_wait(decide(ledger, claim=REFUSED_1, now=there, attempts=attempts))
    assert after <= usual + 60


@given(age=moments_ago, asked=st.floats(1, HOUR), jump=jumps)
def test_pause_of_a_clock_that_was_set_back_is_waited_for_a_minute_at_most(
    age: float, asked: float, jump: float
) -> None:
    """A pause dated ahead is over. Dated in the past, it is told from no other, and never longer than it was asked."""
    now = STALE + timedelta(days=1)
    pause = Pause(now - timedelta(seconds=age), asked)
    usual = named_wait(decide(FIRST, now=now, pause=pause))
    after = named_wait(decide(FIRST, now=now + timedelta(seconds=jump), pause=pause))
    is_ahead = age + jump < -5
    assert after <= (60 if is_ahead else min(asked, usual + max(0.0, -jump)) + 0.001)


@given(jump=jumps)
def test_whoever_does_as_told_is_let_through_within_a_minute_of_a_jump(jump: float) -> None:
    """Not only the next wait is short, but all of them: four grants were just sent when the clock is set."""
    old = dataclasses.replace(FIRST, refreshed_at=NOON - timedelta(days=1))
    sent = [STALE - timedelta(seconds=10 * number) for number in range(ATTEMPTS_PER_MINUTE)]
    waited, now = 0.0, STALE + timedelta(seconds=jump)
    for _ in range(ATTEMPTS_PER_MINUTE):
        wait = named_wait(decide(old, claim=REFUSED_1, now=now, attempts=sent))
        waited += wait
        now += timedelta(seconds=wait)
    assert decide(old, claim=REFUSED_1, now=now, attempts=sent).candidate
    usual = 65 - 30
    assert waited <= usual + 60


def test_database_clock_set_back_by_two_hours_delays_no_refresh() -> None:
    """The stored token is refused, its dates lie ahead, and so do the attempts: the next grant is sent at once."""
    issued = STALE + timedelta(hours=2)
    ledger = dataclasses.replace(FIRST, token=make_token("1", issued=issued), refreshed_at=issued)
    sent = [issued - timedelta(seconds=number) for number in range(8)]
    assert decide(ledger, claim=REFUSED_1, now=STALE, attempts=sent, pause=Pause(issued, HOUR)).candidate
