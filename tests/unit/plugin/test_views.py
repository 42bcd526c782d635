"""What the page makes of a status: words, tones, and what others have written into asset events."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.auth.ledger import Account
from airflow_provider_lightspeed.auth.scopes import READ_ONLY, SCOPES
from airflow_provider_lightspeed.plugin.views import Card, newest_bucket, scope_choices
from airflow_provider_lightspeed.tokens.status import Status
from tests.support.fakes import NOON

SEEN = Account("Shop", 10.0, 60.0, 1.0, NOON)
EVENT = {"bucket_level": 20.0, "bucket_size": 90.0, "bucket_drip": 1.5, "bucket_seen_at": "2026-03-10T12:05:00+00:00"}


@pytest.mark.parametrize(
    ("token", "attention", "tone", "word"),
    [
        ("none", (), "off", "Not connected"),
        ("none", ("no refresh token: connect",), "off", "Not connected"),
        ("fresh", (), "good", "Connected"),
        ("stale", (), "good", "Connected"),
        ("expired", (), "calm", "Connected, idle"),
        ("fresh", ("the grant lapses in 3 days: refresh",), "bad", "Needs attention"),
    ],
)
def test_state_is_told_by_a_word_and_painted_alike(
    token: str, attention: tuple[str, ...], tone: str, word: str
) -> None:
    """Nobody has to tell colours apart."""
    status = Status("shop", source="metadata database", token=token, attention=attention)
    card = Card.of(status, may_edit=True, now=NOON)
    assert (card.tone, card.word, card.is_connected) == (tone, word, token != "none")


def test_connection_that_cannot_be_read_is_a_bad_card() -> None:
    """It is not told as one that only waits for its consent."""
    card = Card.of(Status("shop", attention=("extra: it is no JSON object",)), may_edit=True, now=NOON)
    assert (card.tone, card.word) == ("bad", "Needs attention")


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (timedelta(days=20), "in 20 days (30 Mar 2026) unless refreshed"),
        (timedelta(days=1), "in 1 day (11 Mar 2026) unless refreshed - refresh it"),
        (timedelta(hours=2), "in 0 days (10 Mar 2026) unless refreshed - refresh it"),
        (timedelta(seconds=-1), "lapsed on 10 Mar 2026"),
    ],
)
def test_lapse_is_told_in_days(left: timedelta, words: str) -> None:
    """And asks for a refresh when it comes close."""
    assert Card.of(Status("shop", lapses_at=NOON + left), may_edit=True, now=NOON).lapses == words
    assert Card.of(Status("shop"), may_edit=True, now=NOON).lapses == "-"


@pytest.mark.parametrize(
    ("since", "words"),
    [(-5, "just now"), (59, "just now"), (60, "1 minute ago"), (7_200, "2 hours ago"), (90_000, "1 day ago")],
)
def test_age_is_told_in_the_largest_unit(since: float, words: str) -> None:
    """A clock that is ahead shows no negative age."""
    status = Status("shop", refreshed_at=NOON - timedelta(seconds=since))
    assert Card.of(status, may_edit=False, now=NOON).refreshed == words


def test_bucket_is_told_with_its_age_or_not_at_all() -> None:
    """Half of it says nothing."""
    assert Card.of(Status("shop", bucket=SEEN), may_edit=True, now=NOON).bucket == "10.0 of 60, drips 1/s (just now)"
    assert Card.of(Status("shop", bucket=Account("Shop", 1.0)), may_edit=True, now=NOON).bucket == "not seen yet"


def test_later_look_at_the_bucket_wins() -> None:
    """An extract's asset event or a person's test, whichever came last."""
    status = Status("shop", bucket=SEEN)
    assert newest_bucket(status, EVENT).bucket.level == 20.0
    assert newest_bucket(Status("shop"), EVENT).bucket.size == 90.0
    assert newest_bucket(status, EVENT | {"bucket_seen_at": "2026-03-10T11:59:00+00:00"}) is status
    assert newest_bucket(status, None) is status


@pytest.mark.parametrize(
    "change",
    [
        {"bucket_seen_at": "yesterday"},
        {"bucket_seen_at": 5},
        {"bucket_seen_at": None},
        {"bucket_seen_at": "2026-03-10T12:05:00"},
        {"bucket_seen_at": "9999-12-31T23:59:59-23:00"},
        {"bucket_seen_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()},
        {"bucket_level": "<script>"},
        {"bucket_level": None},
        {"bucket_level": []},
        {"bucket_size": math.nan},
        {"bucket_drip": math.inf},
        {"bucket_drip": "1e999"},
        {"bucket_size": 10**400},
    ],
)
def test_asset_event_of_somebody_else_breaks_no_page(change: dict[str, Any]) -> None:
    """Whoever may create asset events writes what they like into them."""
    status = Status("shop", bucket=SEEN)
    Card.of(newest_bucket(status, EVENT | change), may_edit=True, now=NOON)
    incomplete = {key: value for key, value in EVENT.items() if key not in change}
    assert newest_bucket(status, incomplete) is status


@pytest.mark.parametrize("event", [{}, [], "text", 5])
def test_asset_event_without_facts_changes_nothing(event: Any) -> None:
    """Extra of an event is whatever JSON somebody sent."""
    status = Status("shop", bucket=SEEN)
    assert newest_bucket(status, event) is status


def test_scopes_that_only_read_are_chosen_unless_others_were() -> None:
    """What was typed into a connection by hand and is none is left out."""
    first = scope_choices(())
    assert [choice.name for choice in first] == list(SCOPES)
    assert {choice.name for choice in first if choice.is_chosen} == set(READ_ONLY)
    chosen = scope_choices(("employee:all", "<script>"))
    assert [choice.name for choice in chosen if choice.is_chosen] == ["employee:all"]
    assert {choice.name for choice in chosen if choice.is_read_only} == set(READ_ONLY)
