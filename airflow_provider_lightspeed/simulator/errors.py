"""Errors of the OAuth server in its documented shape: ``error``, ``error_description`` and usually ``hint``."""

from __future__ import annotations

import math
from collections.abc import Sequence

_MINUTE = 60.0


class OAuthError(Exception):
    """A refusal by the OAuth server.

    :param status: HTTP status.
    :param error: the code, such as ``invalid_grant``.
    :param retry_after: seconds, only on 429.
    """

    def __init__(
        self, status: int, error: str, description: str, hint: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(f"{status} {error}: {hint or description}")
        self.status = status
        self.error = error
        self.description = description
        self.hint = hint
        self.retry_after = retry_after

    def body(self) -> dict[str, str]:
        """Return the JSON body."""
        body = {"error": self.error, "error_description": self.description}
        return body if self.hint is None else body | {"hint": self.hint}

    @classmethod
    def invalid_request(cls, hint: str, status: int = 400) -> OAuthError:
        """A parameter is missing or malformed; also 405 for a method other than POST."""
        text = "The request is missing a required parameter, includes an invalid value, or is otherwise malformed."
        return cls(status, "invalid_request", text, hint)

    @classmethod
    def invalid_client(cls, status: int) -> OAuthError:
        """Unknown client or wrong secret: 401 at the token endpoint, 400 on the authorize page."""
        return cls(status, "invalid_client", "Client authentication failed")

    @classmethod
    def invalid_grant(cls, hint: str) -> OAuthError:
        """The code or refresh token is wrong, expired, revoked or another client's."""
        text = "The authorization grant or refresh token is invalid, expired, revoked, or was issued to another client."
        return cls(400, "invalid_grant", text, hint)

    @classmethod
    def invalid_scope(cls, name: str) -> OAuthError:
        """A scope is unknown."""
        text = "The requested scope is invalid, unknown, or malformed"
        return cls(
            400, "invalid_scope", text, f"Check the `{name}` scope" if name else "Specify a scope in the request"
        )

    @classmethod
    def access_denied(cls, hint: str) -> OAuthError:
        """The access token is missing, wrong, expired or revoked."""
        return cls(401, "access_denied", "The resource owner or authorization server denied the request.", hint)

    @classmethod
    def limited(cls, attempts: Sequence[float], now: float) -> OAuthError:
        """Too many attempts in a minute; the oldest of them says when to come back."""
        wait = max(1, math.ceil(attempts[0] + _MINUTE - now))
        return cls(429, "too_many_requests", "Too many token requests.", f"Retry after {wait} seconds", wait)
