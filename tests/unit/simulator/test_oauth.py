"""Clients, codes and PKCE: what the OAuth server refuses, and how."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_lightspeed.simulator.errors import OAuthError
from airflow_provider_lightspeed.simulator.oauth import AuthorizationServer

Make = Callable[..., AuthorizationServer]
ASK = {"client_id": "app", "response_type": "code", "scope": "employee:register employee:inventory", "state": "s1"}
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


def code_of(server: AuthorizationServer, **more: str) -> str:
    """Consent and return the code."""
    target = server.approve(server.consent(ASK | more), "12345", "1", 0.0)
    return parse_qs(urlsplit(target).query)["code"][0]


def exchange(server: AuthorizationServer, code: str, now: float = 1.0, /, **more: str) -> dict[str, object]:
    """Exchange a code, with the client secret unless it is given as empty."""
    params = {"client_id": "app", "client_secret": "secret", "grant_type": "authorization_code", "code": code} | more
    return server.token({name: value for name, value in params.items() if value}, now)


def test_redirect_carries_code_state_and_the_registered_query(oauth: Make) -> None:
    """The employee comes back at the registered address; its own parameters stay."""
    server = oauth()
    parts = urlsplit(server.approve(server.consent(ASK), "12345", "1", 0.0))
    query = parse_qs(parts.query)
    assert parts.netloc == "example.com"
    assert query["keep"] == ["1"]
    assert query["state"] == ["s1"]
    assert query["code"][0]


def test_denial_comes_back_as_access_denied_with_the_state(oauth: Make) -> None:
    """RFC 6749, section 4.1.2.1."""
    server = oauth()
    query = parse_qs(urlsplit(server.deny(server.consent(ASK))).query)
    assert (query["error"], query["state"]) == (["access_denied"], ["s1"])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"client_id": "other"}, "invalid_client"),
        ({"response_type": "token"}, "invalid_request"),
        ({"scope": ""}, "invalid_scope"),
        ({"scope": "register"}, "invalid_scope"),
        ({"scope": "employee:everything"}, "invalid_scope"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": CHALLENGE, "code_challenge_method": "S512"}, "invalid_request"),
    ],
)
def test_authorize_refuses_with_400(oauth: Make, change: dict[str, str], error: str) -> None:
    """Page "Authorization code grant": 400 with the documented code."""
    with pytest.raises(OAuthError) as caught:
        oauth().consent(ASK | change)
    assert (caught.value.status, caught.value.error) == (400, error)


def test_code_works_once(oauth: Make) -> None:
    """A code is single use."""
    server = oauth()
    code = code_of(server)
    exchange(server, code)
    with pytest.raises(OAuthError, match="invalid_grant"):
        exchange(server, code)


def test_code_dies_after_sixty_seconds(oauth: Make) -> None:
    """The code lives 60 seconds, not one more."""
    server = oauth()
    assert exchange(server, code_of(server), 59.9)
    with pytest.raises(OAuthError, match="invalid_grant"):
        exchange(server, code_of(server), 60.0)


def test_code_of_another_client_is_refused(oauth: Make) -> None:
    """400 ``invalid_grant`` covers codes issued to another client."""
    server = oauth()
    server.register("other", "secret", "https://example.com/")
    with pytest.raises(OAuthError, match="invalid_grant"):
        exchange(server, code_of(server), client_id="other")


@pytest.mark.parametrize(("method", "challenge"), [("S256", CHALLENGE), ("plain", VERIFIER)])
def test_pkce_needs_the_right_verifier(oauth: Make, method: str, challenge: str) -> None:
    """RFC 7636: a missing verifier is a bad request, a wrong one a bad grant."""
    server = oauth()
    ask = {"code_challenge": challenge, "code_challenge_method": method}
    assert exchange(server, code_of(server, **ask), code_verifier=VERIFIER)
    with pytest.raises(OAuthError, match="invalid_request"):
        exchange(server, code_of(server, **ask))
    with pytest.raises(OAuthError, match="invalid_grant"):
        exchange(server, code_of(server, **ask), code_verifier="w" * 43)


def test_public_client_may_leave_out_the_secret_only_with_pkce(oauth: Make) -> None:
    """Publicly distributed clients use PKCE in place of the secret, for refreshes too."""
    server = oauth()
    code = code_of(server, code_challenge=CHALLENGE, code_challenge_method="S256")
    pair = exchange(server, code, client_secret="", code_verifier=VERIFIER)
    renewal = {"client_id": "app", "grant_type": "refresh_token", "refresh_token": str(pair["refresh_token"])}
    assert server.token(renewal, 2.0)
    with pytest.raises(OAuthError, match="invalid_client"):
        exchange(server, code_of(server), client_secret="", code_verifier=VERIFIER)


@pytest.mark.parametrize("missing", ["grant_type", "client_id", "code"])
def test_missing_parameter_is_an_invalid_request(oauth: Make, missing: str) -> None:
    """400 ``invalid_request`` whose hint names the parameter."""
    server = oauth()
    with pytest.raises(OAuthError) as caught:
        exchange(server, code_of(server), **{missing: ""})
    assert (caught.value.status, caught.value.error) == (400, "invalid_request")
    assert missing in str(caught.value.hint)


def test_many_wrong_secrets_limit_the_client(oauth: Make) -> None:
    """Changelog 2024.07.31: wrong credentials get 401, many of them get the client limited, even with the right one."""
    server = oauth()
    for _ in range(10):
        with pytest.raises(OAuthError) as caught:
            exchange(server, "code", 5.0, client_secret="wrong")
        assert (caught.value.status, caught.value.error) == (401, "invalid_client")
    code = code_of(server)
    with pytest.raises(OAuthError) as caught:
        exchange(server, code, 6.0)
    assert (caught.value.status, caught.value.retry_after) == (429, 59)


def test_regenerated_secret_replaces_the_old_one_and_keeps_tokens(oauth: Make) -> None:
    """Access tokens outlive the secret; the next refresh needs the new one."""
    server = oauth()
    pair = server.issue("app", "12345", ("employee:all",), 0.0)
    secret = server.regenerate_secret("app")
    server.authenticate(pair.access_token, 1.0)
    renewal = {"client_id": "app", "grant_type": "refresh_token", "refresh_token": pair.refresh_token}
    with pytest.raises(OAuthError, match="invalid_client"):
        server.token(renewal | {"client_secret": "secret"}, 2.0)
    assert server.token(renewal | {"client_secret": secret}, 2.0)


def test_access_token_expires_and_is_called_revoked_when_long_gone(oauth: Make) -> None:
    """The two documented hints of 401 ``access_denied``."""
    server = oauth(token_life=1800)
    pair = server.issue("app", "12345", ("employee:all",), 0.0)
    server.authenticate(pair.access_token, 1799.0)
    for now, hint in ((1800.0, "Access token could not be verified"), (10**6, "Access token has been revoked")):
        with pytest.raises(OAuthError) as caught:
            server.authenticate(pair.access_token, now)
        assert (caught.value.status, caught.value.error, caught.value.hint) == (401, "access_denied", hint)


def test_tokens_vary_in_length(oauth: Make) -> None:
    """Changelog 2024.07.31: long tokens of variable length."""
    server = oauth()
    lengths = {len(server.issue("app", "1", ("employee:all",), 0.0).refresh_token) for _ in range(40)}
    assert len(lengths) > 5
    assert min(lengths) > 400
