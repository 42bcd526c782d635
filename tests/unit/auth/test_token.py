"""When a token is stale, and what its claims may look like."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.auth.token import TokenState, claims
from airflow_provider_lightspeed.redact import Secret
from tests.support.fakes import NOON, make_token


@pytest.mark.parametrize(("life", "margin"), [(3600, 60), (1800, 60), (600, 30), (20, 1)])
def test_margin_is_a_minute_or_a_twentieth_of_a_short_life(life: float, margin: float) -> None:
    """A margin longer than the life would make every token stale at birth."""
    token = make_token(life=life)
    assert token.margin() == timedelta(seconds=margin)
    assert token.state(token.expires_at - timedelta(seconds=margin + 0.001)) is TokenState.FRESH
    assert token.state(token.expires_at - timedelta(seconds=margin)) is TokenState.STALE
    assert token.state(token.expires_at) is TokenState.EXPIRED


@given(st.floats(0.001, 1e6), st.floats(0, 2e6))
def test_states_follow_one_another(life: float, after: float) -> None:
    """Fresh, then stale, then expired; never back."""
    order = [TokenState.FRESH, TokenState.STALE, TokenState.EXPIRED]
    token = make_token(life=life)
    now = token.state(NOON + timedelta(seconds=after))
    assert order.index(token.state(NOON + timedelta(seconds=after + 1))) >= order.index(now)


@given(st.text(max_size=60))
def test_claims_of_anything_that_is_no_jwt_are_empty(text: str) -> None:
    """Claims are labels; a token without them is as good."""
    assert claims(Secret(f"{text}.{text}.{text}")) in ({}, claims(Secret(f"{text}.{text}.{text}")))
    assert claims(Secret("opaque")) == {}


def test_token_shows_no_secret() -> None:
    """In a log line or a traceback."""
    assert "access-1" not in repr(make_token())
    assert "refresh-1" not in str(make_token())
