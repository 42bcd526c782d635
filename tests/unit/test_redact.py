"""Secrets do not print, do not pickle, and are scrubbed from text."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.redact import Secret, excerpt, scrub

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0xxxx.abcdefgh-_"
values = st.text("abcdefghijklmnop0123456789", min_size=8, max_size=40)


@given(values)
def test_secret_shows_itself_to_nobody(value: str) -> None:
    """Text, repr, format; pickling and JSON refuse."""
    secret = Secret(value)
    assert value not in f"{secret} {secret!r} {secret:>50} {[secret]}"
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)


@given(values)
def test_secrets_compare_by_value(value: str) -> None:
    """So that two tokens can be told apart without being shown."""
    assert Secret(value) == Secret(value)
    assert Secret(value) != Secret(value + "x")
    assert Secret(value) != value
    assert not Secret("")


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer {}",
        "refresh_token={}&x=1",
        '{{"access_token": "{}", "x": 1}}',
        "client_secret: '{}'",
        "https://x.example/?code={}&state=ok",
        "the token was {}",
    ],
)
def test_tokens_are_scrubbed_wherever_they_stand(text: str) -> None:
    """In headers, queries, JSON and prose."""
    assert JWT not in scrub(text.format(JWT))
    assert "***" in scrub(text.format(JWT))


def test_given_secrets_and_long_bodies_are_cut() -> None:
    """An error message is a line, not a page."""
    assert scrub("a plain-secret b", [Secret("plain-secret")]) == "a *** b"
    assert len(excerpt(b"x" * 5000)) < 400
