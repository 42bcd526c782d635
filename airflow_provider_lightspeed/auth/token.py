"""The pair that a grant returns, as a frozen value that knows when it is stale."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

import orjson

from airflow_provider_lightspeed.redact import Secret

_LONGEST_MARGIN: Final = timedelta(seconds=60)
_MARGIN_SHARE: Final = 0.05
_LONGEST_ACCOUNT: Final = 32


class TokenState(Enum):
    """What an access token is good for at a moment."""

    FRESH = "fresh"
    STALE = "stale"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Token:
    """An access token with the refresh token that came with it.

    :param issued_at: when the server issued it, by the server's clock; aware UTC.
    :param expires_at: ``issued_at`` plus ``expires_in``; aware UTC.
    :param scope: access scopes of the claims, may be empty.
    :param account_id: the one account it is for (claim ``acct``), if the token says so.
    """

    access_token: Secret
    refresh_token: Secret
    issued_at: datetime
    expires_at: datetime
    scope: tuple[str, ...] = ()
    account_id: str | None = None

    @property
    def lifetime(self) -> timedelta:
        """How long it lives in all."""
        return self.expires_at - self.issued_at

    def margin(self) -> timedelta:
        """Return how long before its end it counts as stale: 60 s, or 5 % of a short life."""
        return min(_LONGEST_MARGIN, self.lifetime * _MARGIN_SHARE)

    def state(self, now: datetime) -> TokenState:
        """Return whether it is fresh, stale (inside the margin) or expired at ``now``."""
        if now >= self.expires_at:
            return TokenState.EXPIRED
        return TokenState.STALE if now >= self.expires_at - self.margin() else TokenState.FRESH


def claims(access_token: Secret) -> Mapping[str, Any]:
    """Return the payload of a JWT without verifying it, ``{}`` for anything else.

    The token came over TLS from the server that signed it, and nothing is decided by the claims but labels
    (docs: authentication/using-access-tokens).
    """
    parts = access_token.reveal().split(".")
    if len(parts) != 3:
        return {}
    try:
        payload = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return payload if isinstance(payload, dict) else {}


def claimed_scope(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the access scopes of a token's claims. What is neither text nor a list of texts is left out.

    The documentation's table of claims says ``scopes``, its sample ``scope``.
    """
    scope = found.get("scope") or found.get("scopes")
    if isinstance(scope, str):
        return tuple(scope.split())
    return tuple(each for each in scope if isinstance(each, str) and each) if isinstance(scope, list) else ()


def claimed_account(found: Mapping[str, Any]) -> str | None:
    """Return the account of a token's claims, ``None`` if that is neither a whole number nor plain text."""
    account = found.get("acct")
    if isinstance(account, bool) or not isinstance(account, int | str):
        return None
    text = str(account).strip()
    is_plain = len(text) <= _LONGEST_ACCOUNT and text.isascii() and text.isalnum()
    return text if is_plain and text != "0" else None
