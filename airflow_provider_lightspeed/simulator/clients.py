"""What the OAuth server keeps besides grants: its rules, registered clients, consents and codes."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

from airflow_provider_lightspeed.simulator.errors import OAuthError
from airflow_provider_lightspeed.simulator.rotation import RotationRules
from airflow_provider_lightspeed.simulator.scopes import parse_scope

_PKCE = re.compile(r"[A-Za-z0-9._~-]{43,128}\Z")


@dataclass(frozen=True, slots=True)
class OAuthRules:
    """Lifetimes in seconds and counts per minute; the defaults are the documented ones.

    :param wrong_secrets: wrong client credentials a minute after which a client is limited; the number is ours, the
        documentation says "many".
    :param left_out: fields that the answer to a refresh lacks; without ``refresh_token`` the one that was spent stays good.
    """

    rotation: RotationRules = field(default_factory=RotationRules)
    token_life: float = 3600.0
    code_life: float = 60.0
    refresh_life: float = 30 * 86_400.0
    refreshes: int = 5
    wrong_secrets: int = 10
    left_out: frozenset[str] = frozenset()


@dataclass(slots=True)
class Client:
    """An API client as registered with Lightspeed: one redirect URI, https unless on loopback.

    :raises ValueError: on another redirect URI.
    """

    client_id: str
    secret: str = field(repr=False)
    redirect_uri: str
    wrong: deque[float] = field(default_factory=deque, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.redirect_uri)
        loopback = parts.hostname in {"localhost", "127.0.0.1", "::1"}
        if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and loopback)):
            msg = f"redirect URI {self.redirect_uri!r} must be https, or http on a loopback address"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Consent:
    """A valid authorize request that waits for the employee's decision."""

    client_id: str
    redirect_uri: str
    scope: tuple[str, ...]
    state: str | None
    challenge: str | None
    method: str

    def redirect(self, **params: str) -> str:
        """Return the redirect URI with the parameters and the state added to its query."""
        parts = urlsplit(self.redirect_uri)
        state = {} if self.state is None else {"state": self.state}
        query = [*parse_qsl(parts.query, keep_blank_values=True), *(params | state).items()]
        return parts._replace(query=urlencode(query)).geturl()

    def check_verifier(self, verifier: str | None) -> None:
        """Compare a PKCE verifier with the challenge (RFC 7636, section 4.6).

        :raises OAuthError: 400 ``invalid_request`` if it is missing or malformed, ``invalid_grant`` if it is wrong.
        """
        if self.challenge is None:
            return
        if verifier is None or not _PKCE.match(verifier):
            raise OAuthError.invalid_request("Check the `code_verifier` parameter")
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if (digest if self.method == "S256" else verifier) != self.challenge:
            raise OAuthError.invalid_grant("Failed to verify `code_verifier`")


@dataclass(frozen=True, slots=True)
class Code:
    """What an authorization code stands for; ``expires_at`` in epoch seconds."""

    consent: Consent
    account_id: str
    employee_id: str
    expires_at: float


def parse_consent(client: Client, params: Mapping[str, str]) -> Consent:
    """Check the parameters of ``GET /auth/oauth/authorize`` beyond the client ID.

    There is no ``redirect_uri`` parameter: the one registered is used.

    :raises OAuthError: 400 ``invalid_scope`` or ``invalid_request``.
    """
    if params.get("response_type") != "code":
        raise OAuthError.invalid_request("Check the `response_type` parameter")
    scope = parse_scope(params.get("scope", ""))
    method = params.get("code_challenge_method", "plain")
    challenge = params.get("code_challenge")
    if method not in {"S256", "plain"}:
        raise OAuthError.invalid_request("Check the `code_challenge_method` parameter: S256 or plain")
    if challenge is not None and not _PKCE.match(challenge):
        raise OAuthError.invalid_request("Check the `code_challenge` parameter")
    return Consent(client.client_id, client.redirect_uri, scope, params.get("state"), challenge, method)
