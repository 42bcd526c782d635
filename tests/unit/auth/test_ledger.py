"""What each event makes of a ledger."""

from __future__ import annotations

import dataclasses

from airflow_provider_lightspeed.auth.ledger import (
    REMEMBERED_ROTATED,
    Account,
    Failure,
    Ledger,
    Place,
)
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.settings import ConnectionSettings
from tests.support.fakes import NOON, make_token

SETTINGS = ConnectionSettings("ls", "client", Secret("secret"), refresh_token=Secret("seed"))
HERE = Place("row:1", "postgresql://db/airflow")
FIRST = Ledger().granted(SETTINGS, make_token("1"), Secret("seed"), place=HERE, by="test")
WRITTEN = dataclasses.replace(SETTINGS, refresh_token=Secret("refresh-1"))


def test_old_seed_is_no_news() -> None:
    """Restoring a connection from an old export must not bring a spent token back."""
    second = FIRST.granted(WRITTEN, make_token("2"), Secret("refresh-1"), place=HERE, by="test")
    for old in ("seed", "refresh-1", "refresh-2"):
        assert not second.is_news(Secret(old))


def test_seeds_are_remembered_apart_from_rotated_tokens() -> None:
    """A deploy tool may re-apply the original connection for years; two months of rotations do not push it out."""
    ledger = FIRST
    for number in range(REMEMBERED_ROTATED + 50):
        name = str(number + 2)
        ledger = ledger.granted(WRITTEN, make_token(name), ledger.token.refresh_token, place=HERE, by="")  # type: ignore[union-attr]
    assert not ledger.is_news(Secret("seed"))
    assert len(ledger.rotated) == REMEMBERED_ROTATED


def test_same_access_token_keeps_the_predecessor_and_gets_no_new_life() -> None:
    """The older rule hands out the same pair again; it must not become its own predecessor."""
    again = FIRST.granted(WRITTEN, make_token("1"), Secret("refresh-1"), place=HERE, by="test")
    assert again.predecessor == Secret("seed")
    assert again.unchanged


def test_pair_of_a_lost_race_is_kept_with_the_winner() -> None:
    """Nobody knows which of two pairs the server keeps; both are tried before a person is asked."""
    noted = FIRST.lost(make_token("x"))
    assert noted.siblings == (Secret("refresh-x"),)
    assert noted.generation == FIRST.generation
    assert FIRST.lost(make_token("1")) == FIRST


def test_dead_seed_is_adopted_a_seed_with_a_wrong_secret_is_not() -> None:
    """After the secret is corrected, the seed is still good."""
    assert not Ledger().failed(SETTINGS, Failure.INVALID_GRANT).is_news(SETTINGS.refresh_token)
    assert Ledger().failed(SETTINGS, Failure.INVALID_CLIENT).is_news(SETTINGS.refresh_token)


def test_grant_lapses_thirty_days_after_its_last_use() -> None:
    """By the server's clock."""
    assert (FIRST.lapses_at - NOON).days == 30  # type: ignore[operator]
    assert Ledger().lapses_at is None


def test_nothing_secret_shows_in_a_ledger() -> None:
    """Not even in a debugger."""
    full = dataclasses.replace(FIRST, siblings=(Secret("sibling-token"),))
    for text in (repr(full), str(full), f"{full}"):
        assert not any(secret in text for secret in ("access-1", "refresh-1", "sibling-token", "'seed'"))


def test_consent_owes_nothing_to_the_grant_before() -> None:
    """No predecessor is tried, no failure sticks, no other account's name is shown."""
    old = dataclasses.replace(
        FIRST.failed(WRITTEN, Failure.INVALID_GRANT), account=Account("Old shop", 1.0, 60.0, 1.0, NOON), unchanged=True
    )
    after = old.connected(WRITTEN, make_token("2", account="8"), place=HERE, by="ann")
    assert (after.generation, after.refreshed_by, after.failure, after.failed_with) == (2, "ann", None, "")
    assert (after.predecessor, after.siblings, after.dead, after.unchanged) == (None, (), (), False)
    assert after.account == Account()
    assert old.connected(WRITTEN, make_token("2"), place=HERE, by="ann").account == old.account


def test_tokens_of_the_grant_before_are_no_news_after_a_consent() -> None:
    """An old export brings none of them back."""
    after = FIRST.connected(WRITTEN, make_token("2"), place=HERE, by="ann")
    assert not any(after.is_news(Secret(old)) for old in ("seed", "refresh-1", "refresh-2"))


def test_disconnected_ledger_holds_no_token_and_forgets_no_seed() -> None:
    """Nothing is left to spend, and nothing that was held looks like a new grant."""
    full = dataclasses.replace(FIRST, siblings=(Secret("sibling"),), dead=("0" * 16,))
    after = full.disconnected(WRITTEN, "ann", NOON)
    assert (after.token, after.predecessor, after.siblings, after.dead) == (None, None, (), ())
    assert (after.generation, after.failure, after.refreshed_by) == (2, Failure.DISCONNECTED, "ann")
    assert after.lapses_at is None
    assert not any(after.is_news(Secret(old)) for old in ("seed", "refresh-1"))


def test_only_a_new_seed_ends_a_disconnection() -> None:
    """Neither another client secret nor another host does: what is stored is revoked."""
    after = FIRST.disconnected(WRITTEN, "ann", NOON)
    for change in ({"client_secret": Secret("other")}, {"host": "https://x.lightspeedapp.com"}, {"client_id": "other"}):
        assert after.is_disconnected(dataclasses.replace(WRITTEN, **change))
    assert not after.is_disconnected(dataclasses.replace(WRITTEN, refresh_token=Secret("new")))
    assert not FIRST.failed(WRITTEN, Failure.INVALID_GRANT).is_disconnected(WRITTEN)


def test_two_connections_share_a_grant_if_both_ever_held_one_token() -> None:
    """Also when one has been refreshed many times since."""
    other = Ledger().granted(SETTINGS, make_token("9"), Secret("seed"), place=Place("row:2", ""), by="")
    other = other.granted(WRITTEN, make_token("10"), Secret("refresh-9"), place=Place("row:2", ""), by="")
    stranger = Ledger().granted(
        dataclasses.replace(SETTINGS, refresh_token=Secret("mine")), make_token("7"), Secret("mine"), place=HERE, by=""
    )
    assert FIRST.shares_grant_with(other)
    assert other.shares_grant_with(FIRST)
    assert not FIRST.shares_grant_with(stranger)
    assert not Ledger().shares_grant_with(Ledger())


def test_a8_new_grant_without_a_new_refresh_token_has_no_predecessor() -> None:
    """A person has put in another grant: what its predecessor's place held is of the one before, and of another account."""
    typed = dataclasses.replace(SETTINGS, refresh_token=Secret("refresh-2"))
    after = FIRST.granted(typed, make_token("2"), Secret("refresh-2"), place=HERE, by="test")
    assert (after.token, after.predecessor) == (make_token("2"), None)
    again = FIRST.granted(WRITTEN, make_token("1"), Secret("refresh-1"), place=HERE, by="test")
    assert again.predecessor == Secret("seed")
