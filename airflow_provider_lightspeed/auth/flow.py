"""The OAuth protocol, free of I/O: builds requests, reads replies, maps errors.

Sources: docs authentication/authorization-code-grant, authentication/refresh-token; RFC 6749, RFC 7636 (PKCE).
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import orjson

from airflow_provider_lightspeed.auth.token import Token, claimed_account, claimed_scope, claims
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
#: A server's ``Date`` further from our own clock than this is not believed.
_ANOTHER_ERA: Final = timedelta(days=366)


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
        return urlsplit(url.strip().encode(errors="replace").decode()).query
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


def parse_token(reply: OAuthReply, *, now: datetime, spent: Secret | None = None) -> Token:
    """Return the pair of a successful reply. Nothing but the two tokens is needed; what else is odd is left out.

    An answer without a refresh token keeps the one that was spent (RFC 6749, section 6; A8 in docs/live.md); one
    without a readable ``expires_in`` counts for 1800 seconds (A5).

    :param now: this machine's time, used only when the reply has no ``Date``: workers' clocks may be wrong.
    :param spent: the refresh token that was sent, ``None`` if it was a code.
    :raises InvalidClient: wrong client ID or secret, or a blocked client.
    :raises ReconnectRequired: the code or refresh token is expired, revoked, used or of another client.
    :raises LightspeedRateError: 429; ``retry_after`` in seconds.
    :raises InvalidArgument: the server says that the request is malformed.
    :raises ServerFault: anything else that is not a token.
    """
    body = _object(reply, now)
    if not 200 <= reply.status < 300:
        raise _error(reply, body, now)
    access, refresh = _token(body.get("access_token")), _token(body.get("refresh_token"))
    if not refresh and spent:
        log.warning("the token endpoint answered without a refresh token; the one before is kept")
        refresh = spent
    if not access or not refresh:
        lacking = [name for name, token in (("access_token", access), ("refresh_token", refresh)) if not token]
        msg = f"the token endpoint answered {reply.status} without {' and '.join(lacking)}"
        raise ServerFault(msg, status=reply.status)
    issued_at = _plausible_time(reply, now) or now
    found = claims(access)
    return Token(
        access_token=access,
        refresh_token=refresh,
        issued_at=issued_at,
        expires_at=issued_at + timedelta(seconds=_seconds(body.get("expires_in")) or DEFAULT_LIFETIME),
        scope=claimed_scope(found),
        account_id=claimed_account(found),
    )


def _token(value: Any) -> Secret:
    """Return a token, empty unless it is text that a header can hold (RFC 6749, appendix A.12)."""
    return Secret(value if isinstance(value, str) and value.isascii() and value.isprintable() else "")


def parse_revoke(reply: OAuthReply, *, now: datetime) -> None:
    """Check the answer to a revocation. A grant that is dead already counts as revoked, a gateway's page does not.

    What a successful answer holds is not documented; RFC 7009, section 2.2, has its body ignored.
    """
    if reply.status in (200, 204) and not reply.body.lstrip().startswith(b"<"):
        return
    error = _error(reply, _object(reply, now), now)
    if not isinstance(error, ReconnectRequired):
        raise error


def server_time(reply: OAuthReply) -> datetime | None:
    """Return the server's ``Date`` as aware UTC, ``None`` without a readable one."""
    return _http_date(reply.header("Date"))


def _plausible_time(reply: OAuthReply, now: datetime) -> datetime | None:
    date = server_time(reply)
    return date if date and abs(date - now) < _ANOTHER_ERA else None


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
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, TypeError, IndexError):  # the parser of the standard library knows them all
        return None


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number < 1e9 else None


def _object(reply: OAuthReply, now: datetime) -> dict[str, Any]:
    body = _json(reply.body)
    if isinstance(body, dict):
        return body
    if reply.status == 429:
        return {}
    msg = f"the authorization server answered {reply.status} with something that is not JSON"
    raise ServerFault(msg, status=reply.status, **_asked_to_wait(reply, now))


def _json(text: bytes) -> Any:
    """Read JSON strictly, then as far as it can be read: a NaN or a broken character is no reason to lose a token."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(text.decode("utf-8-sig", "replace"), strict=False)
    except (ValueError, RecursionError):
        return None


def _asked_to_wait(reply: OAuthReply, now: datetime) -> dict[str, float]:
    """Return ``retry_after`` in seconds, nothing if the server did not ask to wait."""
    wait = retry_after(reply.header("Retry-After"), _plausible_time(reply, now) or now)
    return {"retry_after": wait} if wait else {}


def _error(reply: OAuthReply, body: Mapping[str, Any], now: datetime) -> Exception:
    kind = excerpt(str(body.get("error") or ""))
    words = [str(body[key]) for key in ("error_description", "hint") if body.get(key)]
    detail = excerpt(" ".join(words) or kind)
    facts: dict[str, Any] = {"status": reply.status, "error": kind, **_asked_to_wait(reply, now)}
    if reply.status == 429:
        facts = {"retry_after": DEFAULT_RETRY_AFTER, **facts}
        msg = f"the token endpoint is rate limited; wait {facts['retry_after']:.0f} s"
        return LightspeedRateError(msg, **facts)
    if kind == "invalid_client":  # a 401 without the word is a gateway's: it must not stick
        return InvalidClient(f"client ID or client secret refused: {detail}", **facts)
    if kind == "invalid_grant":
        return ReconnectRequired(f"the grant is expired, revoked or of another client: {detail}", **facts)
    if 400 <= reply.status < 500:
        msg = f"the authorization server refused the request ({kind or reply.status}): {detail}"
        return InvalidArgument(msg, field="oauth", found=kind, allowed=(), **facts)
    return ServerFault(f"the authorization server answered {reply.status}: {detail}", **facts)
