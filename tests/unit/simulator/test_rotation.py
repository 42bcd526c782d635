"""The life and death of token pairs under every rotation profile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_lightspeed.simulator.errors import OAuthError
from airflow_provider_lightspeed.simulator.oauth import AuthorizationServer
from airflow_provider_lightspeed.simulator.rotation import OldAccess, Pair, Rotation, RotationRules, Siblings

Make = Callable[..., AuthorizationServer]
SCOPE = ("employee:all",)
HOUR = 3600.0


def first_pair(server: AuthorizationServer, now: float = 0.0) -> Pair:
    """Return the root pair of a new grant."""
    return server.issue("app", "12345", SCOPE, now)


def refresh(server: AuthorizationServer, token: str, now: float) -> dict[str, Any]:
    """Spend a refresh token."""
    params = {"client_id": "app", "client_secret": "secret", "grant_type": "refresh_token", "refresh_token": token}
    return server.token(params, now)


def refused(server: AuthorizationServer, token: str, now: float) -> OAuthError:
    """Spend a refresh token that must be refused and return the refusal."""
    with pytest.raises(OAuthError) as caught:
        refresh(server, token, now)
    return caught.value


def test_spent_refresh_token_stays_good_until_the_new_access_token_is_used(oauth: Make) -> None:
    """Changelog 2026.01.15: an answer that was lost can be asked for again; the first use ends that."""
    server = oauth()
    old = first_pair(server).refresh_token
    refresh(server, old, 1.0)
    second = refresh(server, old, 2.0)
    server.authenticate(second["access_token"], 3.0)
    assert refused(server, old, 4.0).error == "invalid_grant"
    assert server.counts["dead_refresh_tokens"] == 1
    assert refresh(server, second["refresh_token"], 5.0)["refresh_token"] != second["refresh_token"]


def test_use_of_a_descendant_ends_every_refresh_token_before_it(oauth: Make) -> None:
    """A pair that was refreshed without ever being used leaves no live ancestor behind."""
    server = oauth()
    root = first_pair(server).refresh_token
    middle = refresh(server, root, 1.0)["refresh_token"]
    last = refresh(server, middle, 2.0)
    server.authenticate(last["access_token"], 3.0)
    for dead in (root, middle):
        assert refused(server, dead, 4.0).hint == "Token has been revoked"


def test_introspection_is_no_use_of_a_token(oauth: Make) -> None:
    """Only an API request ends the old refresh token."""
    server = oauth()
    root = first_pair(server).refresh_token
    new = refresh(server, root, 1.0)
    with pytest.raises(Exception, match="Not enough segments"):  # the stub's tokens are not JWTs
        server.introspect(new["access_token"], 2.0)
    assert refresh(server, root, 3.0)


@pytest.mark.parametrize(
    ("siblings", "first_lives", "second_lives"),
    [
        (Siblings.LIVE, True, True),
        (Siblings.REUSE_KILLS, True, True),
        (Siblings.DIE, True, False),
        (Siblings.LAST, False, True),
    ],
)
def test_siblings_survive_as_the_profile_says(
    oauth: Make, siblings: Siblings, first_lives: bool, second_lives: bool
) -> None:
    """Two pairs from one refresh token, the first one used: which of them work is what the profile names."""
    server = oauth(rotation=RotationRules(siblings=siblings))
    root = first_pair(server).refresh_token
    pairs = [refresh(server, root, 1.0), refresh(server, root, 2.0)]
    survivors = []
    for pair in pairs:
        try:
            server.authenticate(pair["access_token"], 3.0)
            refresh(server, pair["refresh_token"], 3.0)
            survivors.append(True)
        except OAuthError:
            survivors.append(False)
    assert survivors == [first_lives, second_lives]


def test_reuse_of_a_dead_token_kills_the_grant_under_reuse_kills(oauth: Make) -> None:
    """RFC 9700: a dead refresh token that comes back is a sign of theft, so everything ends."""
    server = oauth(rotation=RotationRules(siblings=Siblings.REUSE_KILLS))
    root = first_pair(server).refresh_token
    new = refresh(server, root, 1.0)
    server.authenticate(new["access_token"], 2.0)
    refused(server, root, 3.0)
    refused(server, new["refresh_token"], 4.0)
    with pytest.raises(OAuthError) as caught:
        server.authenticate(new["access_token"], 5.0)
    assert caught.value.hint == "Access token has been revoked"


def test_immediate_rotation_ends_the_old_refresh_token_at_once(oauth: Make) -> None:
    """A lost answer is a lost grant under the classic rule."""
    server = oauth(rotation=RotationRules(Rotation.IMMEDIATE))
    root = first_pair(server).refresh_token
    refresh(server, root, 1.0)
    assert refused(server, root, 2.0).error == "invalid_grant"


def test_same_token_profile_repeats_the_pair_while_it_is_valid(oauth: Make) -> None:
    """Servers before 2024 returned the same access token when asked early; afterwards there is a new one."""
    server = oauth(rotation=RotationRules(Rotation.SAME_TOKEN))
    pair = first_pair(server)
    early = refresh(server, pair.refresh_token, 600.0)
    assert (early["access_token"], early["refresh_token"]) == (pair.access_token, pair.refresh_token)
    assert early["expires_in"] == 3000
    assert refresh(server, pair.refresh_token, HOUR)["access_token"] != pair.access_token


@pytest.mark.parametrize("profile", list(OldAccess))
def test_old_access_token_lives_or_dies_with_the_first_use_of_the_new_one(oauth: Make, profile: OldAccess) -> None:
    """The documentation does not say; both worlds can be played."""
    server = oauth(rotation=RotationRules(old_access=profile))
    pair = first_pair(server)
    new = refresh(server, pair.refresh_token, 1.0)
    server.authenticate(pair.access_token, 2.0)
    server.authenticate(new["access_token"], 3.0)
    if profile is OldAccess.LIVE:
        server.authenticate(pair.access_token, 4.0)
    else:
        with pytest.raises(OAuthError):
            server.authenticate(pair.access_token, 4.0)


def test_sixth_refresh_within_a_minute_is_limited(oauth: Make) -> None:
    """At most 5 attempts per minute and connection; Retry-After says when the oldest one is a minute old."""
    server = oauth()
    root = first_pair(server).refresh_token
    for second in range(5):
        refresh(server, root, float(second))
    limited = refused(server, root, 10.0)
    assert (limited.status, limited.retry_after) == (429, 50)
    assert refresh(server, root, 60.0)


def test_refresh_token_unused_for_thirty_days_dies_and_use_renews_it(oauth: Make) -> None:
    """Page "Refresh token": used at least every 30 days, the connection lives on."""
    server = oauth()
    month = 30 * 86_400.0
    idle = first_pair(server).refresh_token
    assert refused(server, idle, month).hint == "Token has expired"
    busy = first_pair(server).refresh_token
    refresh(server, busy, month - 1)
    assert refresh(server, busy, 2 * month - 2)


def test_refresh_of_a_fresh_access_token_is_counted_as_needless(oauth: Make) -> None:
    """Excessive refreshing gets a client blocked, so the audit must show it."""
    server = oauth()
    pair = first_pair(server)
    refresh(server, pair.refresh_token, 100.0)
    assert server.counts["needless_refreshes"] == 1
    refresh(server, pair.refresh_token, HOUR - 30)
    assert server.counts["needless_refreshes"] == 1
