"""The OAuth endpoints as a client and a browser see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest

from airflow_provider_lightspeed.simulator.clients import OAuthRules
from airflow_provider_lightspeed.simulator.state import Settings

Serve = Callable[..., Any]
AUTHORIZE = "/auth/oauth/authorize"
TOKEN = "/auth/oauth/token"


def ask(sim: Any, **more: str) -> dict[str, str]:
    """Return the parameters of an authorize request."""
    return {
        "response_type": "code",
        "client_id": sim.sim.client.client_id,
        "scope": "employee:all",
        "state": "s",
    } | more


def test_full_code_flow_ends_with_a_usable_token(serve: Serve) -> None:
    """Consent page, decision, code, token, API: the whole way."""
    sim = serve()
    page = sim.call("GET", AUTHORIZE, params=ask(sim))
    assert page.status_code == 200
    assert "Bikes &amp; &lt;Boards&gt;" in page.text
    back = sim.call("POST", AUTHORIZE, params=ask(sim), data={"decision": "allow"})
    assert back.status_code == 303
    query = parse_qs(urlsplit(back.headers["Location"]).query)
    assert query["state"] == ["s"]
    pair = sim.token(grant_type="authorization_code", code=query["code"][0]).json()
    assert (pair["token_type"], pair["expires_in"]) == ("Bearer", 3600)
    assert set(pair) == {"token_type", "expires_in", "access_token", "refresh_token"}
    assert sim.get(pair["access_token"]).status_code == 200


def test_denial_sends_the_browser_back_with_access_denied(serve: Serve) -> None:
    """Deny is an answer too."""
    sim = serve()
    back = sim.call("POST", AUTHORIZE, params=ask(sim), data={"decision": "deny"})
    assert parse_qs(urlsplit(back.headers["Location"]).query)["error"] == ["access_denied"]


@pytest.mark.parametrize(("settings", "query"), [(Settings(auto_approve=True), {}), (None, {"sim_decision": "allow"})])
def test_headless_approval_redirects_from_the_first_request(serve: Serve, settings: Any, query: dict[str, str]) -> None:
    """Without a browser, the setting or the query decides."""
    sim = serve(settings)
    back = sim.call("GET", AUTHORIZE, params=ask(sim, **query))
    assert back.status_code == 302
    assert "code=" in back.headers["Location"]


def test_other_account_can_be_granted(serve: Serve) -> None:
    """For trying what happens when a person reconnects with another account."""
    sim = serve()
    back = sim.call("GET", AUTHORIZE, params=ask(sim, sim_decision="allow", sim_account="777"))
    code = parse_qs(urlsplit(back.headers["Location"]).query)["code"][0]
    pair = sim.token(grant_type="authorization_code", code=code).json()
    assert jwt.decode(pair["access_token"], options={"verify_signature": False})["acct"] == "777"


@pytest.mark.parametrize(
    ("change", "error"), [({"client_id": "x"}, "invalid_client"), ({"scope": "x"}, "invalid_scope")]
)
def test_authorize_errors_are_400_and_do_not_redirect(serve: Serve, change: dict[str, str], error: str) -> None:
    """400 ``invalid_client`` and ``invalid_scope``."""
    sim = serve()
    reply = sim.call("GET", AUTHORIZE, params=ask(sim) | change)
    assert (reply.status_code, reply.json()["error"]) == (400, error)


@pytest.mark.parametrize("form", ["json", "data", "files"])
def test_token_takes_json_form_and_multipart(serve: Serve, form: str) -> None:
    """JSON and multipart are documented, form-urlencoded is what a public client sends."""
    sim = serve()
    params = sim.credentials() | {"grant_type": "refresh_token", "refresh_token": sim.grant()["refresh_token"]}
    body: Any = {name: (None, value) for name, value in params.items()} if form == "files" else params
    reply = sim.call("POST", TOKEN, **{form: body})
    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", b"a=b"),
        ("application/json", b"{"),
        ("application/json", b"[]"),
        ("application/json", b'{"a": 1}'),
        ("multipart/form-data", b"x"),
        ("application/x-www-form-urlencoded", b"\xff"),
    ],
)
def test_unreadable_body_is_an_invalid_request(serve: Serve, kind: str, body: bytes) -> None:
    """400 ``invalid_request`` with a hint, never a 500."""
    reply = serve().call("POST", TOKEN, data=body, headers={"Content-Type": kind})
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request")
    assert reply.json()["hint"]


def test_token_errors_have_their_documented_status(serve: Serve) -> None:
    """405 for GET, 401 for a wrong secret, 400 for a dead token."""
    sim = serve()
    get = sim.call("GET", TOKEN)
    assert (get.status_code, get.json()["error"]) == (405, "invalid_request")
    wrong = sim.token(grant_type="refresh_token", refresh_token="x", client_secret="wrong")
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    dead = sim.token(grant_type="refresh_token", refresh_token="x")
    assert (dead.status_code, dead.json()["error"]) == (400, "invalid_grant")
    assert {"error", "error_description", "hint"} == set(dead.json())


def test_limited_refresh_answers_429_with_retry_after(serve: Serve) -> None:
    """The sixth attempt of a minute."""
    sim = serve()
    token = sim.grant()["refresh_token"]
    replies = [sim.token(grant_type="refresh_token", refresh_token=token) for _ in range(6)]
    assert [reply.status_code for reply in replies] == [200] * 5 + [429]
    assert replies[-1].headers["Retry-After"] == "60"


def test_access_token_is_a_jwt_that_the_jwks_verifies(serve: Serve) -> None:
    """Header ``alg``, ``typ``, ``kid`` and the documented claims; times are numbers with fractions, ids are strings."""
    sim = serve()
    token = sim.grant(scope="employee:register employee:reports", employee_id="7")["access_token"]
    header = jwt.get_unverified_header(token)
    key = next(key for key in sim.call("GET", "/.well-known/jwks").json()["keys"] if key["kid"] == header["kid"])
    claims = jwt.decode(
        token,
        jwt.PyJWK(key),
        ["RS256"],
        audience=sim.sim.client.client_id,
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )
    assert (header["alg"], header["typ"]) == ("RS256", "JWT")
    assert set(claims) == {"jti", "iss", "aud", "sub", "acct", "scope", "iat", "nbf", "exp"}
    assert (claims["iss"], claims["sub"], claims["acct"]) == ("https://cloud.lightspeedapp.com", "7", "12345")
    assert claims["scope"] == "employee:register employee:reports"
    assert claims["exp"] - claims["iat"] == 3600


def test_introspect_shows_claims_and_does_not_use_the_token(serve: Serve) -> None:
    """For debugging: the old refresh token survives a look at the new access token."""
    sim = serve()
    root = sim.grant()["refresh_token"]
    new = sim.token(grant_type="refresh_token", refresh_token=root).json()
    bearer = {"Authorization": f"Bearer {new['access_token']}"}
    assert sim.call("GET", "/auth/oauth/introspect", headers=bearer).json()["acct"] == "12345"
    assert sim.token(grant_type="refresh_token", refresh_token=root).status_code == 200
    assert sim.call("GET", "/auth/oauth/introspect").status_code == 401


def test_revoke_ends_both_tokens(serve: Serve) -> None:
    """With the latest refresh token and the client's credentials."""
    sim = serve()
    grant = sim.grant()
    wrong = sim.call("POST", "/auth/oauth/revoke", json=sim.credentials() | {"refresh_token": "x"})
    assert wrong.status_code == 400
    body = sim.credentials() | {"refresh_token": grant["refresh_token"]}
    assert sim.call("POST", "/auth/oauth/revoke", json=body).status_code == 200
    assert sim.get(grant["access_token"]).json()["hint"] == "Access token has been revoked"
    assert sim.token(grant_type="refresh_token", refresh_token=grant["refresh_token"]).status_code == 400


def test_advancing_the_clock_expires_tokens(serve: Serve) -> None:
    """One clock for everything: an hour forward, and the token is gone while the refresh token is not."""
    sim = serve(Settings(oauth=OAuthRules(token_life=600)))
    grant = sim.grant()
    assert sim.get(grant["access_token"]).status_code == 200
    sim.admin("POST", "clock", {"advance": 600})
    assert sim.get(grant["access_token"]).status_code == 401
    assert sim.token(grant_type="refresh_token", refresh_token=grant["refresh_token"]).status_code == 200


def test_replies_are_dated_by_the_simulated_clock(serve: Serve) -> None:
    """Clients judge a token's age by the server's ``Date``."""
    sim = serve()
    assert sim.call("GET", TOKEN).headers["Date"] == "Fri, 15 Jan 2027 08:00:00 GMT"
    sim.admin("POST", "clock", {"advance": 3600})
    assert sim.call("GET", TOKEN).headers["Date"] == "Fri, 15 Jan 2027 09:00:00 GMT"
