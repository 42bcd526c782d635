"""The OAuth server as a state machine: clients, codes, grants, tokens. No I/O; the time is an argument.

Sources: documentation pages "Authorization code grant", "Refresh token", "Using access tokens", "Access scopes" and the
changelog entries of 2024.07.31 and 2026.01.15. Where those name an error only by its code, the texts of RFC 6749,
section 5.2, stand in.
"""

from __future__ import annotations

import hmac
import secrets
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import jwt

from airflow_provider_lightspeed.simulator.clients import Client, Code, Consent, OAuthRules, parse_consent
from airflow_provider_lightspeed.simulator.errors import OAuthError
from airflow_provider_lightspeed.simulator.rotation import ACCESS_REVOKED, REVOKED, Grant, Pair, Rotation

ISSUER: Final = "https://cloud.lightspeedapp.com"
_LONG_EXPIRED: Final = 86_400.0
_MINUTE: Final = 60.0


class Signer(Protocol):
    """Signs the claims of an access token."""

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return a JWT."""


class AuthorizationServer:
    """Keeps every client, code, grant and token.

    :param rules: lifetimes and rotation.
    :param signer: signs access tokens.
    :param random_bytes: source of codes and tokens.
    :ivar counts: what happened, for the audit: ``grants``, ``refreshes``, ``dead_refresh_tokens`` ...
    """

    def __init__(
        self, rules: OAuthRules, signer: Signer, random_bytes: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self.rules = rules
        self.clients: dict[str, Client] = {}
        self.grants: dict[str, Grant] = {}
        self.counts: Counter[str] = Counter()
        self._signer = signer
        self._random = random_bytes
        self._codes: dict[str, Code] = {}
        self._access: dict[str, Pair] = {}
        self._refresh: dict[str, Pair] = {}

    # -- clients ----------------------------------------------------------------------------------------------------

    def register(self, client_id: str, secret: str, redirect_uri: str) -> Client:
        """Add a client, or replace the one of that ID. Grants of the ID stay.

        :raises ValueError: on a redirect URI that is neither https nor loopback.
        """
        client = Client(client_id, secret, redirect_uri)
        self.clients[client_id] = client
        return client

    def regenerate_secret(self, client_id: str) -> str:
        """Give the client a new secret and return it. The old one is refused from now on; tokens stay valid."""
        client = self.clients[client_id]
        client.secret = self._random(32).hex()
        client.wrong.clear()
        return client.secret

    def _client(self, params: Mapping[str, str], now: float, *, secret_optional: bool) -> Client:
        client = self.clients.get(params.get("client_id", ""))
        if client is None:
            self.counts["wrong_client"] += 1
            raise OAuthError.invalid_client(401)
        if _recent(client.wrong, now) >= self.rules.wrong_secrets:
            self.counts["limited_client"] += 1
            raise OAuthError.limited(client.wrong, now)
        if "client_secret" not in params and secret_optional:
            return client
        if not hmac.compare_digest(params.get("client_secret", "").encode(), client.secret.encode()):
            client.wrong.append(now)
            self.counts["wrong_client"] += 1
            raise OAuthError.invalid_client(401)
        return client

    # -- authorize --------------------------------------------------------------------------------------------------

    def consent(self, params: Mapping[str, str]) -> Consent:
        """Check the parameters of ``GET /auth/oauth/authorize``.

        :raises OAuthError: 400 ``invalid_client``, ``invalid_scope`` or ``invalid_request``.
        """
        client = self.clients.get(params.get("client_id", ""))
        if client is None:
            raise OAuthError.invalid_client(400)
        return parse_consent(client, params)

    def approve(self, consent: Consent, account_id: str, employee_id: str, now: float) -> str:
        """Issue a code and return the address that the browser is sent to."""
        code = self._opaque()
        self._codes[code] = Code(consent, account_id, employee_id, now + self.rules.code_life)
        self.counts["codes"] += 1
        return consent.redirect(code=code)

    def deny(self, consent: Consent) -> str:
        """Return the address that the browser is sent to after the employee said no (RFC 6749, section 4.1.2.1)."""
        denied = OAuthError.access_denied("The user denied the request")
        return consent.redirect(error=denied.error, error_description=denied.description)

    # -- token ------------------------------------------------------------------------------------------------------

    def token(self, params: Mapping[str, str], now: float) -> dict[str, Any]:
        """Answer ``POST /auth/oauth/token``.

        :raises OAuthError: 400 ``invalid_request`` or ``invalid_grant``, 401 ``invalid_client``, 429.
        """
        grant_type = params.get("grant_type")
        if grant_type not in {"authorization_code", "refresh_token"}:
            raise OAuthError.invalid_request("Check the `grant_type` parameter")
        if not params.get("client_id"):
            raise OAuthError.invalid_request("Check the `client_id` parameter")
        needed = "code" if grant_type == "authorization_code" else "refresh_token"
        pair = self._exchange(params, now) if needed == "code" else self._renew(params, now)
        data = {
            "token_type": "Bearer",
            "expires_in": max(0, round(pair.expires_at - now)),
            "access_token": pair.access_token,
            "refresh_token": pair.refresh_token,
        }
        left_out = self.rules.left_out if needed == "refresh_token" else frozenset()
        return {name: value for name, value in data.items() if name not in left_out}

    def _exchange(self, params: Mapping[str, str], now: float) -> Pair:
        code = self._codes.get(params.get("code", ""))
        public = code is not None and code.consent.challenge is not None
        client = self._client(params, now, secret_optional=public)
        if not params.get("code"):
            raise OAuthError.invalid_request("Check the `code` parameter")
        self._codes.pop(params["code"], None)
        if code is None or code.consent.client_id != client.client_id:
            raise self._bad_grant("dead_codes", "Authorization code is invalid or has been used")
        if now >= code.expires_at:
            raise self._bad_grant("dead_codes", "Authorization code has expired")
        code.consent.check_verifier(params.get("code_verifier"))
        return self.issue(
            client.client_id,
            code.account_id,
            code.consent.scope,
            now,
            employee_id=code.employee_id,
            public="client_secret" not in params,
        )

    def _renew(self, params: Mapping[str, str], now: float) -> Pair:
        pair = self._refresh.get(params.get("refresh_token", ""))
        public = pair is not None and pair.grant.public
        client = self._client(params, now, secret_optional=public)
        if not params.get("refresh_token"):
            raise OAuthError.invalid_request("Check the `refresh_token` parameter")
        pair = self._live_refresh(params["refresh_token"], client, now)
        if _recent(pair.grant.attempts, now) >= self.rules.refreshes:
            self.counts["limited_refreshes"] += 1
            raise OAuthError.limited(pair.grant.attempts, now)
        pair.grant.attempts.append(now)
        self.counts["refreshes"] += 1
        self.counts["needless_refreshes"] += self._is_fresh(pair, now)
        pair.spent_at = now
        if self.rules.rotation.rotation is Rotation.SAME_TOKEN and not pair.access_dead and now < pair.expires_at:
            return pair
        return self._issue(pair.grant, pair, now)

    def _live_refresh(self, token: str, client: Client, now: float) -> Pair:
        pair = self._refresh.get(token)
        if pair is None:
            raise self._bad_grant("unknown_refresh_tokens", "Cannot decrypt the refresh token")
        if pair.grant.client_id != client.client_id:
            raise self._bad_grant("foreign_refresh_tokens", "Token is not linked to client")
        if pair.refresh_dead or pair.grant.revoked:
            self.rules.rotation.reused(pair)
            raise self._bad_grant("dead_refresh_tokens", REVOKED)
        if now >= pair.last_active + self.rules.refresh_life:
            raise self._bad_grant("dead_refresh_tokens", "Token has expired")
        return pair

    def _bad_grant(self, counter: str, hint: str) -> OAuthError:
        self.counts[counter] += 1
        return OAuthError.invalid_grant(hint)

    def _is_fresh(self, pair: Pair, now: float) -> bool:
        margin = max(60.0, 0.1 * self.rules.token_life)
        return not pair.access_dead and now < pair.expires_at - margin

    def issue(
        self,
        client_id: str,
        account_id: str,
        scope: tuple[str, ...],
        now: float,
        *,
        employee_id: str = "1",
        public: bool = False,
    ) -> Pair:
        """Create a grant without a consent page and return its first pair."""
        grant = Grant(self._random(8).hex(), client_id, account_id, employee_id, scope, public)
        self.grants[grant.grant_id] = grant
        self.counts["grants"] += 1
        return self._issue(grant, None, now)

    def _issue(self, grant: Grant, parent: Pair | None, now: float) -> Pair:
        expires_at = now + self.rules.token_life
        claims = {
            "jti": self._random(32 + self._random(1)[0] % 32).hex(),
            "iss": ISSUER,
            "aud": grant.client_id,
            "sub": grant.employee_id,
            "acct": grant.account_id,
            "scope": " ".join(grant.scope),
            "iat": now,
            "nbf": now,
            "exp": expires_at,
        }
        keeps = parent is not None and "refresh_token" in self.rules.left_out
        refresh_token = parent.refresh_token if parent is not None and keeps else self._opaque()
        pair = Pair(grant, parent, self._signer.sign(claims), refresh_token, now, expires_at)
        self._access[pair.access_token] = pair
        self._refresh[pair.refresh_token] = pair
        self.rules.rotation.issued(pair)
        self.counts["pairs"] += 1
        return pair

    def _opaque(self) -> str:
        """Return a long token whose length varies: clients must not assume one (changelog 2024.07.31)."""
        return "def50200" + self._random(250 + self._random(1)[0] % 100).hex()

    # -- using and ending tokens --------------------------------------------------------------------------------------

    def authenticate(self, access_token: str, now: float) -> Grant:
        """Check the bearer token of an API request. Its first use is what ends the refresh token it came from.

        :raises OAuthError: 401 ``access_denied``.
        """
        pair = self._live_access(access_token, now)
        self.rules.rotation.used(pair)
        return pair.grant

    def introspect(self, access_token: str, now: float) -> dict[str, Any]:
        """Return the claims of a valid access token. This is not a use of the token.

        :raises OAuthError: 401 ``access_denied``.
        """
        self._live_access(access_token, now)
        claims: dict[str, Any] = jwt.decode(access_token, options={"verify_signature": False})
        return claims

    def _live_access(self, access_token: str, now: float) -> Pair:
        pair = self._access.get(access_token)
        if pair is None:
            raise OAuthError.access_denied("Access token could not be verified")
        if pair.access_dead or pair.grant.revoked or now >= pair.expires_at + _LONG_EXPIRED:
            raise OAuthError.access_denied(ACCESS_REVOKED)
        if now >= pair.expires_at:
            raise OAuthError.access_denied("Access token could not be verified")
        return pair

    def revoke(self, params: Mapping[str, str], now: float) -> None:
        """Answer ``POST /auth/oauth/revoke``: the latest refresh token ends its grant.

        :raises OAuthError: 400 ``invalid_request`` or ``invalid_grant``, 401 ``invalid_client``, 429.
        """
        known = self._refresh.get(params.get("refresh_token", ""))
        client = self._client(params, now, secret_optional=known is not None and known.grant.public)
        if not params.get("refresh_token"):
            raise OAuthError.invalid_request("Check the `refresh_token` parameter")
        self._live_refresh(params["refresh_token"], client, now).grant.revoke()
        self.counts["revocations"] += 1


def _recent(attempts: deque[float], now: float) -> int:
    """Forget attempts older than a minute and return how many are left."""
    while attempts and attempts[0] <= now - _MINUTE:
        attempts.popleft()
    return len(attempts)
