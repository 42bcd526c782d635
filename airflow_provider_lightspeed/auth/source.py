"""Where a client gets its access token: the interface, and two sources for use outside Airflow."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from airflow_provider_lightspeed.auth.flow import OAuthClient, OAuthReply, OAuthRequest, parse_token, refresh_request
from airflow_provider_lightspeed.auth.token import Token, TokenState
from airflow_provider_lightspeed.clock import Clock, SystemClock
from airflow_provider_lightspeed.exceptions import ReconnectRequired
from airflow_provider_lightspeed.redact import Secret, sealed


class TokenSource(Protocol):
    """Hands out tokens that are already stored durably (docs: authentication/refresh-token)."""

    def token(self) -> Token:
        """Return a token that is good now."""

    def refused(self, token: Token) -> Token:
        """Return another token after a 401 to this one, or raise; at most one refresh per refused token."""

    def used(self, token: Token) -> None:
        """Take note that the API accepted this token: by that the refresh token before it died."""


class StaticTokenSource:
    """One token, never refreshed; for tests and for calls that must not spend a refresh token."""

    def __init__(self, token: Token) -> None:
        self._token = token

    def token(self) -> Token:
        """Return the token."""
        return self._token

    def refused(self, token: Token) -> Token:  # noqa: ARG002 - the interface
        """Raise: there is no other.

        :raises ReconnectRequired: always.
        """
        raise ReconnectRequired("Lightspeed refuses the access token, and there is nothing to refresh it with")

    def used(self, token: Token) -> None:
        """Nothing follows from it here."""


class RefreshingTokenSource:
    """Refreshes in memory, for one process: scripts, benchmarks, tests. Safe among threads.

    :param exchange: sends an OAuth request (``client.transport.oauth_exchange``).
    :param save: stores a new pair; called before anybody gets it, and its failure keeps it from being used.
    """

    def __init__(
        self,
        client: OAuthClient,
        refresh_token: Secret,
        *,
        exchange: Callable[[OAuthRequest], OAuthReply],
        save: Callable[[Token], None] = lambda _: None,
        clock: Clock | None = None,
        token: Token | None = None,
    ) -> None:
        self._client = client
        self._refresh_token = refresh_token
        self._exchange = exchange
        self._save = save
        self._clock = clock or SystemClock()
        self._token = token
        self._lock = threading.Lock()

    @sealed
    def token(self) -> Token:
        """Return a fresh token, refreshing if the one at hand is stale."""
        with self._lock:
            if self._token is None or self._token.state(self._clock.now()) is not TokenState.FRESH:
                self._refresh()
            assert self._token is not None
            return self._token

    @sealed
    def refused(self, token: Token) -> Token:
        """Refresh once after a 401; a thread that held an older token just gets the current one."""
        with self._lock:
            if self._token is None or self._token.access_token == token.access_token:
                self._refresh()
            assert self._token is not None
            return self._token

    def used(self, token: Token) -> None:
        """Nothing follows from it here."""

    def _refresh(self) -> None:
        spent = self._token.refresh_token if self._token else self._refresh_token
        reply = self._exchange(refresh_request(self._client, spent))
        renewed = parse_token(reply, now=self._clock.now(), spent=spent)
        self._save(renewed)
        self._token = renewed
