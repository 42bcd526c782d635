"""The decision table, row by row, and the back-off."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.client.decision import BACKOFF_CAP, Action, backoff, decide
from airflow_provider_lightspeed.client.transport import Reply
from airflow_provider_lightspeed.exceptions import (
    AccessDenied,
    LightspeedError,
    LightspeedRateError,
    RequestRefused,
    ServerFault,
    Unreachable,
)

GOOD = b'{"@attributes": {}, "Sale": []}'
HTML = b"<html><body>502 Bad Gateway</body></html>"


def message(text: str) -> bytes:
    return orjson.dumps({"httpCode": "400", "httpMessage": "Bad Request", "message": text, "errorClass": "X"})


@pytest.mark.parametrize(
    ("status", "body", "action", "error"),
    [
        (200, GOOD, Action.DELIVER, None),
        (200, GOOD[:-5], Action.RETRY, ServerFault),
        (200, HTML, Action.RETRY, ServerFault),
        (200, b"[]", Action.RETRY, ServerFault),
        (200, b"", Action.RETRY, ServerFault),
        (204, b"", Action.RETRY, ServerFault),
        (301, b"", Action.FAIL, RequestRefused),
        (400, message("Please try again later."), Action.RETRY, ServerFault),
        (400, message("Invalid filter"), Action.FAIL, RequestRefused),
        (401, b"{}", Action.REFRESH, AccessDenied),
        (403, b"{}", Action.FAIL, AccessDenied),
        (404, message("No such object"), Action.FAIL, RequestRefused),
        (408, b"", Action.RETRY, ServerFault),
        (422, b"{}", Action.FAIL, RequestRefused),
        (425, b"", Action.RETRY, ServerFault),
        (429, HTML, Action.WAIT, LightspeedRateError),
        (500, b"{}", Action.RETRY, ServerFault),
        (503, HTML, Action.RETRY, ServerFault),
    ],
)
def test_each_reply_has_its_row(status: int, body: bytes, action: Action, error: type[LightspeedError] | None) -> None:
    """Deliver, retry, wait, refresh or fail; and the error if that does not help."""
    decision = decide(Reply(status, {}, body))
    assert decision.action is action
    assert (decision.body is not None) is (action is Action.DELIVER)
    if error:
        assert decision.error is error
        assert str(status) in decision.reason


def test_no_reply_is_tried_again() -> None:
    """Reading is safe to repeat."""
    decision = decide(Unreachable("no complete reply"))
    assert (decision.action, decision.error) == (Action.RETRY, Unreachable)


@given(st.integers(100, 599), st.binary(max_size=100))
def test_every_reply_has_a_row_and_only_whole_objects_are_delivered(status: int, body: bytes) -> None:
    """The table has no hole."""
    decision = decide(Reply(status, {}, body))
    assert (decision.action is Action.DELIVER) == (decision.body is not None)


def test_reasons_are_scrubbed() -> None:
    """A server that repeats a token in its message does not get it into our logs."""
    jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0xxxx.abcdefgh"
    assert jwt not in decide(Reply(400, {}, message(f"bad token {jwt}"))).reason


@given(st.integers(1, 60), st.floats(0, 0.999), st.one_of(st.none(), st.floats(0, 500)))
def test_backoff_grows_to_its_cap_and_obeys_the_server(attempt: int, chance: float, asked: float | None) -> None:
    """Never shorter than asked for, else never longer than the cap."""
    wait = backoff(attempt, lambda: chance, asked=asked)
    assert wait >= (asked or 0)
    assert wait <= max(BACKOFF_CAP, asked or 0)
    assert wait > 0


DEAD = [
    {"httpCode": "403", "httpMessage": "Forbidden", "message": "Access token has been revoked"},
    {"httpCode": "401", "message": "Token has expired", "errorClass": "BadAuthenticationRequestException"},
    {
        "error": "access_denied",
        "error_description": "The request was denied.",
        "hint": "Access token could not be verified",
    },
    {"error": "invalid_token", "error_description": "The access token expired"},
]


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("body", DEAD)
def test_a1_words_of_a_dead_token_are_a_401_under_403_too(status: int, body: dict[str, str]) -> None:
    """In both shapes of a body: the API's message, the OAuth server's description and hint."""
    decision = decide(Reply(status, {}, orjson.dumps(body)))
    assert decision.action is Action.REFRESH
    assert any(text in decision.reason for text in body.values())


@pytest.mark.parametrize(
    "text",
    ["You do not have permission to access this resource", "insufficient scope", "Your session is forbidden", ""],
)
def test_a2_missing_right_never_refreshes(text: str) -> None:
    """A needless refresh gets a client blocked, for all its accounts."""
    decision = decide(Reply(403, {}, orjson.dumps({"httpCode": "403", "httpMessage": "Forbidden", "message": text})))
    assert (decision.action, decision.error) == (Action.FAIL, AccessDenied)


@pytest.mark.parametrize(
    ("status", "body", "transient"),
    [
        (502, HTML, True),
        (503, HTML, True),
        (504, b"", True),
        (524, HTML, True),
        (408, b"", True),
        (400, message("Please try again later."), True),
        (500, b"{}", False),
        (200, HTML, False),
        (200, GOOD[:-5], False),
        (501, b"", False),
    ],
)
def test_gateways_faults_are_transient_and_others_only_if_they_change(
    status: int, body: bytes, transient: bool
) -> None:
    """What comes twice, byte for byte, will come a third time; a gateway's page always looks the same."""
    assert decide(Reply(status, {}, body)).is_transient is transient


@pytest.mark.parametrize(
    ("body", "words"),
    [(b"[]", "an array"), (b"null", "null"), (b'"x"', "a text"), (b"5", "a number"), (b"true", "a boolean")],
)
def test_body_that_is_no_object_is_named_for_what_it_is(body: bytes, words: str) -> None:
    """Not as one that is cut off."""
    reason = decide(Reply(200, {}, body)).reason
    assert words in reason
    assert "object" in reason
