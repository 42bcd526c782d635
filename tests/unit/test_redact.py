"""Secrets do not print, do not pickle, and are scrubbed from text."""

from __future__ import annotations

import inspect
import json
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.redact import Secret, describe_fault, excerpt, scrub, sealed

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


def test_sealed_function_lets_no_frame_out() -> None:
    """Neither its own, nor those of what led to its error; they are named in notes, without their locals."""

    def inner(token: str) -> None:
        json.loads(token)

    @sealed
    def outer(token: str) -> None:
        try:
            inner(token)
        except ValueError as error:
            raise RuntimeError("broken") from error

    with pytest.raises(RuntimeError, match="broken") as caught:
        outer("a token")
    names = [frame.frame.f_code.co_name for frame in traceback_of(caught.value)]
    assert names == ["test_sealed_function_lets_no_frame_out", "call"]
    cause = caught.value.__cause__
    assert cause is not None
    assert traceback_of(cause) == []
    assert all(name in "".join(cause.__notes__) for name in ("outer", "inner", "decoder.py"))
    assert "a token" not in "".join(cause.__notes__)


def traceback_of(error: BaseException) -> list[inspect.FrameInfo]:
    return inspect.getinnerframes(error.__traceback__) if error.__traceback__ else []


def test_sealed_function_is_else_what_it_was() -> None:
    """Name, docstring, result."""
    assert sealed(excerpt)("body") == "body"
    assert (sealed(excerpt).__name__, sealed(excerpt).__doc__) == (excerpt.__name__, excerpt.__doc__)


def test_fault_of_a_sealed_function_is_still_described() -> None:
    """By the places that were cut off."""

    def fail() -> None:
        json.loads("")

    with pytest.raises(ValueError) as caught:
        sealed(fail)()
    assert re.match(
        r"JSONDecodeError \(json/decoder.py:\d+ raw_decode < .*test_redact.py:\d+ fail", describe_fault(caught.value)
    )
