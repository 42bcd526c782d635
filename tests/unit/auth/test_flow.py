"""The OAuth protocol: what is sent, and what replies mean."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.auth.flow import (
    OAuthClient,
    OAuthReply,
    Pkce,
    authorize_url,
    code_request,
    parse_redirect,
    parse_revoke,
    parse_token,
    refresh_request,
    retry_after,
    revoke_request,
)
from airflow_provider_lightspeed.exceptions import (
    AccessDenied,
    InvalidArgument,
    InvalidClient,
    LightspeedError,
    LightspeedRateError,
    ReconnectRequired,
    ServerFault,
)
from airflow_provider_lightspeed.redact import Secret
from tests.support.fakes import NOON

CLIENT = OAuthClient("client", Secret("s3cret"), "https://auth.example/")
PAIR = {"access_token": "a", "refresh_token": "r", "expires_in": 3600, "token_type": "Bearer"}


def reply(body: Any, status: int = 200, **headers: str) -> OAuthReply:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return OAuthReply(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


def test_verifier_and_challenge_follow_rfc_7636() -> None:
    """43 unreserved characters; the challenge is their SHA-256, base64url without padding."""
    pkce = Pkce.generate()
    verifier = pkce.verifier.reveal()
    digest = hashlib.sha256(verifier.encode()).digest()
    assert len(verifier) == 43
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == pkce.challenge


def test_example_of_rfc_7636_appendix_b() -> None:
    """The bytes printed there give the challenge printed there."""
    octets = bytes(
        [
            116,
            24,
            223,
            180,
            151,
            153,
            224,
            37,
            79,
            250,
            96,
            125,
            216,
            173,
            187,
            186,
            22,
            212,
            37,
            77,
            105,
            214,
            191,
            240,
            91,
            88,
            5,
            88,
            83,
            132,
            141,
            121,
        ]
    )
    pkce = Pkce.generate(lambda _: octets)
    assert pkce.verifier.reveal() == "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert pkce.challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_authorize_url_names_no_redirect_and_joins_scopes() -> None:
    """The client has one redirect URI registered; scopes are separated by spaces."""
    url = urlsplit(authorize_url(CLIENT, scope=["employee:all", "systemuserid:1"], state="st", challenge="ch"))
    query = parse_qs(url.query)
    assert (url.netloc, url.path) == ("auth.example", "/auth/oauth/authorize")
    assert query["scope"] == ["employee:all systemuserid:1"]
    assert query["code_challenge_method"] == ["S256"]
    assert "redirect_uri" not in query


def test_requests_carry_credentials_in_a_json_body_and_show_none() -> None:
    """Never in the URL, never in a repr."""
    code, refresh = code_request(CLIENT, Secret("c0de"), Secret("verifier")), refresh_request(CLIENT, Secret("r0ll"))
    assert code.json == {
        "client_id": "client",
        "client_secret": "s3cret",
        "grant_type": "authorization_code",
        "code": "c0de",
        "code_verifier": "verifier",
    }
    assert refresh.json["grant_type"] == "refresh_token"
    assert revoke_request(CLIENT, Secret("r0ll")).url.endswith("/auth/oauth/revoke")
    for request in (code, refresh):
        assert not any(word in repr(request) + request.url for word in ("s3cret", "c0de", "r0ll", "verifier"))


def test_public_client_sends_no_secret() -> None:
    """A distributed client relies on PKCE alone."""
    assert "client_secret" not in refresh_request(OAuthClient("client", Secret("")), Secret("r")).json


def test_redirect_gives_the_code_of_this_attempt_only() -> None:
    """A code of another attempt, or none, is an error that says what to paste."""
    url = "https://shop.example/back?code=abc&state=mine"
    assert parse_redirect(url, expected_state="mine").reveal() == "abc"
    with pytest.raises(InvalidArgument, match="another attempt"):
        parse_redirect(url, expected_state="other")
    with pytest.raises(InvalidArgument, match="no 'code' parameter"):
        parse_redirect("https://shop.example/back?state=mine", expected_state="mine")
    with pytest.raises(AccessDenied, match="consent was refused"):
        parse_redirect("https://shop.example/back?error=access_denied&state=mine", expected_state="mine")


def test_token_is_dated_by_the_servers_clock() -> None:
    """This machine's clock may be an hour wrong; the reply's ``Date`` is not."""
    token = parse_token(reply(PAIR, Date="Tue, 10 Mar 2026 11:00:00 GMT"), now=NOON)
    assert token.issued_at == NOON - timedelta(hours=1)
    assert token.expires_at == NOON
    assert parse_token(reply(PAIR), now=NOON).issued_at == NOON


def test_claims_give_account_and_scope_in_either_spelling() -> None:
    """The claims table says ``scopes``, the sample says ``scope``; text or list."""
    for name, value in (("scope", "employee:all x"), ("scopes", ["employee:all", "x"])):
        payload = base64.urlsafe_b64encode(orjson.dumps({"acct": 12, name: value})).rstrip(b"=").decode()
        token = parse_token(reply({**PAIR, "access_token": f"eyJh.{payload}.sig"}), now=NOON)
        assert (token.account_id, token.scope) == ("12", ("employee:all", "x"))


def test_missing_refresh_token_keeps_the_one_that_was_spent() -> None:
    """RFC 6749, section 6: a server may leave it out."""
    body = {key: value for key, value in PAIR.items() if key != "refresh_token"}
    assert parse_token(reply(body), now=NOON, spent=Secret("refresh-9")).refresh_token == Secret("refresh-9")
    with pytest.raises(ServerFault, match="without refresh_token"):
        parse_token(reply(body), now=NOON)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, {"error": "invalid_client"}, InvalidClient),
        (400, {"error": "invalid_client"}, InvalidClient),
        (401, {"message": "a gateway wants a login"}, InvalidArgument),
        (400, {"error": "invalid_grant", "hint": "Token has been revoked"}, ReconnectRequired),
        (400, {"error": "invalid_request"}, InvalidArgument),
        (429, {"error": "rate"}, LightspeedRateError),
        (429, b"<html>slow down</html>", LightspeedRateError),
        (500, {"error": "oops"}, ServerFault),
        (502, b"<html>bad gateway</html>", ServerFault),
        (200, b"<html>maintenance</html>", ServerFault),
        (200, {"token_type": "Bearer"}, ServerFault),
    ],
)
def test_each_bad_reply_is_an_error_of_its_kind(status: int, body: Any, error: type[LightspeedError]) -> None:
    """The kind says what to do: change credentials, reconnect, wait, or try again."""
    with pytest.raises(error):
        parse_token(reply(body, status), now=NOON)


def test_rate_limit_waits_as_long_as_the_server_says() -> None:
    """In seconds, or until a date, or a minute when it says nothing."""
    assert retry_after("7", NOON) == 7
    assert retry_after("Tue, 10 Mar 2026 12:00:30 GMT", NOON) == 30
    assert retry_after("Tue, 10 Mar 2026 11:00:00 GMT", NOON) == 0
    assert retry_after("later", NOON) is None
    with pytest.raises(LightspeedRateError) as caught:
        parse_token(reply({}, 429), now=NOON)
    assert caught.value.retry_after == 60


def test_no_error_repeats_a_token_of_the_reply() -> None:
    """Descriptions of the server go through the scrubber."""
    jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0xxxx.abcdefgh"
    body = {"error": "invalid_grant", "error_description": f"refresh_token={jwt} is revoked"}
    with pytest.raises(ReconnectRequired) as caught:
        parse_token(reply(body, 400), now=NOON)
    assert jwt not in str(caught.value)


@given(st.binary(max_size=200), st.sampled_from([200, 204, 400, 401, 403, 429, 500, 503]))
def test_any_bytes_are_a_token_or_an_error_of_ours(body: bytes, status: int) -> None:
    """Nothing that a server sends can raise anything else."""
    try:
        parse_token(reply(body, status), now=NOON)
    except LightspeedError:
        pass


def test_revoking_a_dead_grant_is_done() -> None:
    """It is what was wanted; other refusals are errors."""
    parse_revoke(reply({}, 200), now=NOON)
    parse_revoke(reply(b"", 204), now=NOON)
    parse_revoke(reply({"error": "invalid_grant"}, 400), now=NOON)
    with pytest.raises(InvalidClient):
        parse_revoke(reply({"error": "invalid_client"}, 401), now=NOON)


def test_page_of_a_gateway_is_no_revocation() -> None:
    """It comes with a 200 as well; the grant may be alive."""
    with pytest.raises(ServerFault):
        parse_revoke(reply(b"\n<!doctype html><h1>Maintenance</h1>", 200), now=NOON)


def test_a5_answer_without_a_life_counts_half_an_hour() -> None:
    """The shortest that a live server was seen to give."""
    token = parse_token(reply({name: PAIR[name] for name in PAIR if name != "expires_in"}), now=NOON)
    assert token.lifetime == timedelta(seconds=1800)
    assert parse_token(reply(PAIR | {"expires_in": None}), now=NOON).lifetime == timedelta(seconds=1800)
    assert parse_token(reply(PAIR | {"expires_in": "900"}), now=NOON).lifetime == timedelta(seconds=900)


def test_a6_exchange_sends_what_the_docs_demand_and_no_scope() -> None:
    """A scope is refused there by some servers."""
    requests = code_request(CLIENT, Secret("c"), Secret("v")), refresh_request(CLIENT, Secret("r"))
    assert [set(request.json) for request in requests] == [
        {"client_id", "client_secret", "grant_type", "code", "code_verifier"},
        {"client_id", "client_secret", "grant_type", "refresh_token"},
    ]


def test_a8_answer_without_a_refresh_token_keeps_the_old_one_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """With null or nothing in its place; without a token before it is no answer."""
    for lacking in (
        {"access_token": "a2", "expires_in": 60},
        {**PAIR, "refresh_token": None},
        {**PAIR, "refresh_token": ""},
    ):
        caplog.clear()
        token = parse_token(reply(lacking), now=NOON, spent=Secret("refresh-1"))
        assert token.refresh_token.reveal() == "refresh-1"
        assert "without a refresh token" in caplog.text
        assert "refresh-1" not in caplog.text
        with pytest.raises(ServerFault, match="refresh_token"):
            parse_token(reply(lacking), now=NOON)


def test_a10_unchanged_access_token_is_tolerated() -> None:
    """The older server's rule."""
    token = parse_token(reply(PAIR | {"access_token": "access-1"}), now=NOON, spent=Secret("refresh-1"))
    assert token.access_token.reveal() == "access-1"


def jwt(claims: Any) -> str:
    content = claims if isinstance(claims, bytes) else orjson.dumps(claims)
    return f"eyJh.{base64.urlsafe_b64encode(content).rstrip(b'=').decode()}.sig"


@pytest.mark.parametrize(
    ("claims", "scope", "account"),
    [
        ({"scope": 7, "acct": 12}, (), "12"),
        ({"scope": True, "acct": True}, (), None),
        ({"scope": {"a": 1}, "acct": {"id": 12}}, (), None),
        ({"scope": ["employee:all", 7, None, ["x"], ""], "acct": [12]}, ("employee:all",), None),
        ({"scope": None, "scopes": "employee:all x", "acct": "12"}, ("employee:all", "x"), "12"),
        ({"acct": 0}, (), None),
        ({"acct": "../../12"}, (), None),
        ({"acct": 1.5}, (), None),
        ({"acct": "9" * 400}, (), None),
        ([1, 2], (), None),
        (b"\xff\xfe", (), None),
        (b"{", (), None),
    ],
)
def test_odd_claims_are_left_out_and_lose_no_pair(claims: Any, scope: tuple[str, ...], account: str | None) -> None:
    """They are labels: the pair is good without them."""
    token = parse_token(reply({**PAIR, "access_token": jwt(claims)}), now=NOON)
    assert (token.scope, token.account_id) == (scope, account)
    assert token.refresh_token == Secret("r")


@pytest.mark.parametrize(
    "date",
    [
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 31 Dec 9999 23:59:59 -2300",
        "Mon, 01 Jan 0001 00:00:00 GMT",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Tue, 99 Mar 2026 12:00:00 GMT",
        "soon",
        "",
        " ",
        "-1",
        "Tue, 10 Mar 2026 12:00:00 +999999999999",
    ],
)
def test_date_of_another_era_is_not_believed(date: str) -> None:
    """The pair counts from our own clock then; nothing overflows."""
    token = parse_token(reply(PAIR, Date=date), now=NOON)
    assert (token.issued_at, token.lifetime) == (NOON, timedelta(hours=1))
    assert retry_after(date, NOON) in (None, 0.0) or retry_after(date, NOON) > 0  # type: ignore[operator]


@pytest.mark.parametrize(
    "stated",
    [
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"-3600",
        b"0",
        b"1e300",
        b"1e400",
        b"9" * 500,
        b'"soon"',
        b"[60]",
        b"{}",
        b"true",
    ],
)
def test_a5_life_that_is_no_life_counts_half_an_hour(stated: bytes) -> None:
    """Also where the JSON is not quite JSON: the two tokens in it are good."""
    body = b'{"access_token": "a", "refresh_token": "r", "expires_in": ' + stated + b"}"
    token = parse_token(reply(body), now=NOON)
    assert (token.refresh_token, token.lifetime) == (Secret("r"), timedelta(seconds=1800))


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"access_token": "a", "refresh_token": "r", "expires_in": 3600}',
        b'{"access_token": "a", "refresh_token": "r", "expires_in": 3600, "note": "\xff"}',
        b'{"access_token": "a", "refresh_token": "r", "expires_in": 3600, "note": "\\ud800"}',
        b'{"access_token": "a", "refresh_token": "r", "expires_in": 3600, "note": "line\nbreak"}',
        b'{"access_token": "a", "refresh_token": "r", "expires_in": 3600, "token_type": null, "error": ""}',
    ],
)
def test_pair_is_read_from_json_that_is_damaged_elsewhere(body: bytes) -> None:
    """A damaged detail beside it is no reason to lose a grant."""
    assert parse_token(reply(body), now=NOON).refresh_token == Secret("r")


@pytest.mark.parametrize("status", [201, 202, 203, 206])
def test_pair_counts_under_every_status_of_success(status: int) -> None:
    """RFC 6749, section 5.1, says 200; a proxy that transforms says 203."""
    assert parse_token(reply(PAIR, status), now=NOON).refresh_token == Secret("r")


@pytest.mark.parametrize("bad", ["\ud800", "a\nb", "ä", "", None, 7, ["a"]])
def test_token_that_no_request_can_carry_is_none(bad: Any) -> None:
    """The error is ours and says which is missing."""
    body = json.dumps({**PAIR, "access_token": bad}).encode()
    with pytest.raises(ServerFault, match="without access_token"):
        parse_token(reply(body), now=NOON)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20), st.lists, max_leaves=5
) | st.dictionaries(st.text(max_size=5), st.integers(), max_size=2)


@given(
    body=st.dictionaries(st.sampled_from([*PAIR, "scope", "error"]), values),
    claims=st.dictionaries(st.sampled_from(["scope", "scopes", "acct", "exp"]), values),
    headers=st.dictionaries(st.sampled_from(["Date", "Retry-After", "Content-Type"]), st.text(max_size=40)),
    status=st.sampled_from([200, 201, 302, 400, 401, 429, 503]),
)
def test_pair_in_a_successful_answer_is_never_lost_over_a_detail(
    body: dict[str, Any], claims: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    """Whatever stands beside the two tokens; and every other answer is an error of ours."""
    pair = {**body, "access_token": jwt(json.dumps(claims).encode()), "refresh_token": "r"}
    received = OAuthReply(status, headers, json.dumps(pair).encode())
    if 200 <= status < 300:
        assert parse_token(received, now=NOON).refresh_token == Secret("r")
    else:
        with pytest.raises(LightspeedError):
            parse_token(received, now=NOON)


@pytest.mark.parametrize(
    ("status", "body"), [(503, b"<html>maintenance</html>"), (503, {"error": "x"}), (400, {}), (429, {})]
)
def test_time_that_the_server_asks_to_wait_is_known_whatever_its_error(status: int, body: Any) -> None:
    """RFC 9110, section 10.2.3: not only with 429, and most often from a gateway that answers HTML."""
    with pytest.raises(LightspeedError) as caught:
        parse_token(reply(body, status, Retry_After="90"), now=NOON)
    assert caught.value.retry_after == 90
