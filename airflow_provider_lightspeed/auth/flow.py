"""The OAuth protocol, free of I/O: builds requests, reads replies, maps errors.

Sources: docs authentication/authorization-code-grant, authentication/refresh-token; RFC 6749, RFC 7636 (PKCE).
"""

from __future__ import annotations

import base64
import hashlib
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import orjson

from airflow_provider_lightspeed.auth.token import Token, claims
from airflow_provider_lightspeed.exceptions import (
    AccessDenied,
    InvalidArgument,
    InvalidClient,
    LightspeedRateError,
    ReconnectRequired,
    ServerFault,
)
from airflow_provider_lightspeed.redact import Secret, excerpt, scrub

log = logging.getLogger(__name__)

#: Seconds that an access token lives if the answer does not say (A5 in docs/live.md).
DEFAULT_LIFETIME: Final = 1800.0
#: Seconds to wait after a 429 of the token endpoint that names no time.
DEFAULT_RETRY_AFTER: Final = 60.0


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """The API client registered at Lightspeed, and the server that it is registered with."""

    client_id: str
    client_secret: Secret
    auth_url: str = "https://cloud.lightspeedapp.com"

    def endpoint(self, name: str) -> str:
        """Return the URL of ``authorize``, ``token`` or ``revoke``."""
        return f"{self.auth_url.rstrip('/')}/auth/oauth/{name}"


@dataclass(frozen=True, slots=True)
class OAuthRequest:
    """What to send. ``json`` holds secrets in clear, so it does not show."""

    method: str
    url: str
    json: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class OAuthReply:
    """What came back. ``body`` may hold tokens, so it does not show."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        """Return a header's value, names compared without case."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class Pkce:
    """A code verifier with its S256 challenge (RFC 7636, section 4)."""

    verifier: Secret
    challenge: str

    @classmethod
    def generate(cls, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> Pkce:
        """Make a verifier of 43 characters from 32 random bytes."""
        verifier = base64.urlsafe_b64encode(random_bytes(32)).rstrip(b"=")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).rstrip(b"=")
        return cls(Secret(verifier.decode()), challenge.decode())


def authorize_url(client: OAuthClient, *, scope: Iterable[str], state: str, challenge: str) -> str:
    """Return where to send the person who consents. There is no ``redirect_uri``: the client has one registered."""
    query = {
        "response_type": "code",
        "client_id": client.client_id,
        "scope": " ".join(scope),
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return f"{client.endpoint('authorize')}?{urlencode(query)}"


def parse_redirect(url: str, *, expected_state: str) -> Secret:
    """Return the code from the URL that the person came back to; it lives 60 seconds.

    :raises AccessDenied: the person refused.
    :raises InvalidArgument: another state, no code, or an error of the authorize endpoint.
    """
    query = {key: values[0] for key, values in parse_qs(query_of(url)).items()}
    if error := query.get("error"):
        detail = scrub(query.get("error_description") or query.get("hint") or "")
        if error == "access_denied":
            raise AccessDenied(f"consent was refused at Lightspeed. {detail}".strip(), error=error)
        msg = f"Lightspeed answered the authorization request with {error}. {detail}".strip()
        raise InvalidArgument(msg, field="redirect", found=error, allowed=("code",))
    if not secrets.compare_digest(query.get("state", "").encode(), expected_state.encode()):
        msg = "the redirected URL belongs to another attempt (state differs); start again and use the newest URL"
        raise InvalidArgument(msg, field="state", found="another state", allowed=())
    if not query.get("code"):
        msg = "the redirected URL has no 'code' parameter; paste the whole address of the page you were sent to"
        raise InvalidArgument(msg, field="code", found="", allowed=())
    return Secret(query["code"])


def query_of(url: str) -> str:
    """Return the query of what a person pasted, empty if that is no URL."""
    try:
        return urlsplit(url.strip()).query
    except ValueError:
        return ""


def code_request(client: OAuthClient, code: Secret, verifier: Secret | None = None) -> OAuthRequest:
    """Build the exchange of a code for the first pair."""
    extra = {"code": code.reveal()} | ({"code_verifier": verifier.reveal()} if verifier else {})
    return _token_request(client, "authorization_code", extra)


def refresh_request(client: OAuthClient, refresh_token: Secret) -> OAuthRequest:
    """Build the exchange of a refresh token for the next pair."""
    return _token_request(client, "refresh_token", {"refresh_token": refresh_token.reveal()})


def revoke_request(client: OAuthClient, refresh_token: Secret) -> OAuthRequest:
    """Build the request that ends both tokens."""
    body = _credentials(client) | {"refresh_token": refresh_token.reveal()}
    return OAuthRequest("POST", client.endpoint("revoke"), body)


def _token_request(client: OAuthClient, grant_type: str, extra: Mapping[str, str]) -> OAuthRequest:
    return OAuthRequest("POST", client.endpoint("token"), {**_credentials(client), "grant_type": grant_type, **extra})


def _credentials(client: OAuthClient) -> dict[str, str]:
    # A publicly distributed client has no secret and relies on PKCE.
    secret = {"client_secret": client.client_secret.reveal()} if client.client_secret else {}
    return {"client_id": client.client_id, **secret}


def parse_token(reply: OAuthReply, *, now: datetime, previous: Token | None = None) -> Token:
    """Return the pair of a successful reply.

    :param now: this machine's time, used only when the reply has no ``Date``: workers' clocks may be wrong.
    :param previous: the pair whose refresh token was spent. A server that returns the same access token (the older
        rule) gives it no new life: its first issue time stays unless ``expires_in`` says otherwise. An answer
        without a refresh token keeps the one before (A8 in docs/live.md); one without ``expires_in`` counts
        for 1800 seconds (A5).
    :raises InvalidClient: wrong client ID or secret, or a blocked client.
    :raises ReconnectRequired: the code or refresh token is expired, revoked, used or of another client.
    :raises LightspeedRateError: 429; ``retry_after`` in seconds.
    :raises InvalidArgument: the server says that the request is malformed.
    :raises ServerFault: anything else that is not a token.
    """
    body = _object(reply)
    if reply.status != 200:
        raise _error(reply, body, now)
    access, refresh = body.get("access_token"), body.get("refresh_token")
    stated = body.get("expires_in")
    lifetime = DEFAULT_LIFETIME if stated in (None, "") else _seconds(stated)
    if not refresh and previous:
        log.warning("the token endpoint answered without a refresh token; the one before is kept")
        refresh = previous.refresh_token.reveal()
    if not isinstance(access, str) or not access or not isinstance(refresh, str) or not refresh or lifetime is None:
        lacking = [name for name in ("access_token", "refresh_token") if not body.get(name)] or [
            "a readable expires_in"
        ]
        raise ServerFault(f"the token endpoint answered 200 without {', '.join(lacking)}", status=200)
    issued_at = server_time(reply) or now
    found = claims(Secret(access))
    scope = found.get("scope") or found.get("scopes") or ()
    account = found.get("acct")
    return Token(
        access_token=Secret(access),
        refresh_token=Secret(refresh),
        issued_at=issued_at,
        expires_at=issued_at + timedelta(seconds=lifetime),
        scope=tuple(scope.split()) if isinstance(scope, str) else tuple(map(str, scope)),
        account_id=str(account) if account else None,
    )


def parse_revoke(reply: OAuthReply, *, now: datetime) -> None:
    """Check the answer to a revocation. A grant that is dead already counts as revoked, a gateway's page does not.

    What a successful answer holds is not documented; RFC 7009, section 2.2, has its body ignored.
    """
    if reply.status in (200, 204) and not reply.body.lstrip().startswith(b"<"):
        return
    error = _error(reply, _object(reply), now)
    if not isinstance(error, ReconnectRequired):
        raise error


def server_time(reply: OAuthReply) -> datetime | None:
    """Return the server's ``Date`` as aware UTC, ``None`` without a readable one."""
    return _http_date(reply.header("Date"))


def retry_after(value: str | None, now: datetime) -> float | None:
    """Read ``Retry-After`` in either form (RFC 9110, section 10.2.3) as seconds from ``now``; ``None`` if unreadable."""
    seconds = _seconds(value)
    if seconds is not None:
        return seconds
    moment = _http_date(value)
    return max(0.0, (moment - now).total_seconds()) if moment else None


def _http_date(value: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value or "")
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _seconds(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number < 1e9 else None


def _object(reply: OAuthReply) -> dict[str, Any]:
    try:
        body = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        body = None
    if isinstance(body, dict):
        return body
    if reply.status == 429:
        return {}
    msg = f"the authorization server answered {reply.status} with something that is not JSON"
    raise ServerFault(msg, status=reply.status)


def _error(reply: OAuthReply, body: Mapping[str, Any], now: datetime) -> Exception:
    kind = str(body.get("error") or "")
    words = [str(body[key]) for key in ("error_description", "hint") if body.get(key)]
    detail = excerpt(" ".join(words) or kind)
    facts = {"status": reply.status, "error": kind}
    if reply.status == 429:
        wait = retry_after(reply.header("Retry-After"), server_time(reply) or now) or DEFAULT_RETRY_AFTER
        return LightspeedRateError(f"the token endpoint is rate limited; wait {wait:.0f} s", retry_after=wait, **facts)
    if kind == "invalid_client" or reply.status == 401:
        return InvalidClient(f"client ID or client secret refused: {detail}", **facts)
    if kind == "invalid_grant":
        return ReconnectRequired(f"the grant is expired, revoked or of another client: {detail}", **facts)
    if 400 <= reply.status < 500:
        msg = f"the authorization server refused the request ({kind or reply.status}): {detail}"
        return InvalidArgument(msg, field="oauth", found=kind, allowed=(), status=reply.status)
    return ServerFault(f"the authorization server answered {reply.status}: {detail}", **facts)
