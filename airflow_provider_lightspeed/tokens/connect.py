"""Connecting and disconnecting an account: the authorization code flow, for the page and for the command line.

Every writer of a ledger holds the same lock and swaps on the same generation: a refresh, a consent, a disconnection.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from airflow_provider_lightspeed.auth.flow import (
    OAuthClient,
    Pkce,
    authorize_url,
    code_request,
    parse_redirect,
    parse_revoke,
    parse_token,
    revoke_request,
)
from airflow_provider_lightspeed.auth.ledger import Ledger
from airflow_provider_lightspeed.auth.scopes import checked
from airflow_provider_lightspeed.auth.step import inherits, is_moved, owns
from airflow_provider_lightspeed.auth.token import Token
from airflow_provider_lightspeed.exceptions import InvalidArgument, LightspeedError, ReconnectRequired, RefreshPending
from airflow_provider_lightspeed.provider_info import CONNECTION_TYPE
from airflow_provider_lightspeed.redact import Secret, sealed
from airflow_provider_lightspeed.settings import ConnectionSettings
from airflow_provider_lightspeed.tokens import journal
from airflow_provider_lightspeed.tokens.attempts import LIFE, Attempt, expiry
from airflow_provider_lightspeed.tokens.home import Stored
from airflow_provider_lightspeed.tokens.refresh import Refresher
from airflow_provider_lightspeed.tokens.store import LockedLedger, Snapshot, locked_ledger, peek

#: Seconds that a consent waits for a refresh that is under way: a grant's time-out, and a good deal more.
LOCK_PATIENCE: Final = 25.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Departure:
    """A person about to go to Lightspeed.

    :param url: where to send them; holds the state, and nothing else that matters.
    """

    attempt: Attempt
    state: Secret
    url: str = dataclasses.field(repr=False)


class Consents:
    """The authorization code flow over the stored connections.

    :param refresher: sends OAuth requests and saves what comes back.
    """

    def __init__(self, refresher: Refresher | None = None) -> None:
        self._refresher = refresher or Refresher()

    @sealed
    def depart(self, conn_id: str, scope: tuple[str, ...], *, user: str, by: str) -> Departure:
        """Begin a consent: make state and PKCE verifier, and say where to go.

        :param user: names for ever who may finish it.
        :param by: the same for people.
        :raises InvalidArgument: no such connection, or a scope that there is not.
        """
        stored = _stored(peek(conn_id), conn_id)
        pkce, state = Pkce.generate(), Secret(secrets.token_urlsafe(32))
        url = authorize_url(
            _client(stored.settings), scope=checked(scope), state=state.reveal(), challenge=pkce.challenge
        )
        attempt = Attempt(conn_id, user, by, stored.origin, stored.settings.destination, pkce.verifier, expiry())
        return Departure(attempt, state, url)

    @sealed
    def redeem(self, attempt: Attempt, state: Secret, redirected: str) -> Attempt:
        """Exchange the code of the redirected URL at once; it lives 60 seconds. Return the attempt with its pair.

        :raises AccessDenied: consent was refused.
        :raises InvalidArgument: the URL is not of this attempt, or the connection has changed since.
        :raises ReconnectRequired: the code expired or was used.
        :raises InvalidClient: client ID and secret do not match.
        """
        code = parse_redirect(redirected, expected_state=state.reveal())
        found, began = peek(attempt.conn_id), self._refresher.clock.monotonic()
        client = _client(_unchanged(found, attempt).settings)
        reply = self._refresher.exchange(code_request(client, code, attempt.verifier))
        try:
            arrived = found.now + timedelta(seconds=self._refresher.clock.monotonic() - began)
            token = parse_token(reply, now=arrived)
        except ReconnectRequired as error:
            msg = "Lightspeed refuses the code: it lives 60 seconds and is good once. Start again with Connect"
            raise ReconnectRequired(msg, **error.fields) from None
        # From here on it is a grant that waits for its connection: it has ten minutes of its own. Nothing is asked of the
        # database, which might not answer: nobody else has this grant.
        ahead = (token.issued_at - arrived).total_seconds()
        return dataclasses.replace(attempt, token=token, ahead=ahead, expires_at=arrived + LIFE)

    @sealed
    def replaces(self, attempt: Attempt) -> str | None:
        """Return the account that the connection reads so far, if the attempt's pair is for another one."""
        found = peek(attempt.conn_id)
        held, configured = found.ledger.token, found.stored and found.stored.settings.account_id
        before, after = (held and held.account_id) or configured, attempt.token and attempt.token.account_id
        return before if before and after and before != after else None

    @sealed
    def adopt(self, attempt: Attempt) -> Token:
        """Make the attempt's pair the connection's, under the ledger's lock.

        A connection that has changed meanwhile gets nothing, and the new grant is revoked if its client is still there.
        A pair that was stored before is not stored again: the connection may have rotated past it.

        :raises InvalidArgument: the connection has gone, or points elsewhere.
        :raises RefreshPending: a refresh is under way and does not end; the attempt's pair is still good.
        """
        token = self._patiently(lambda: self._adopt(attempt))
        journal.note(journal.CONNECTED, attempt.conn_id, attempt.by, account_id=token.account_id or "")
        return token

    @sealed
    def discard(self, attempt: Attempt) -> None:
        """Revoke a pair that nobody wants after all.

        :raises InvalidArgument: the connection has gone, or is of another client or server, or has the pair already;
            nothing is sent.
        :raises LightspeedError: Lightspeed did not.
        """
        assert attempt.token is not None
        found = peek(attempt.conn_id)
        stored = _stored(found, attempt.conn_id)
        if not _is_of_client(stored, attempt):
            raise _elsewhere(attempt.conn_id)
        if found.ledger.knows(attempt.token.refresh_token):
            msg = f"connection {attempt.conn_id!r} has this grant already; to revoke it, disconnect"
            raise InvalidArgument(msg, field="connection", found=attempt.conn_id, allowed=())
        self._revoke(stored.settings, attempt.token.refresh_token)

    @sealed
    def disconnect(self, conn_id: str, user: str) -> None:
        """Revoke the grant at Lightspeed, then forget its tokens. If Lightspeed does not revoke, nothing is forgotten.

        :raises InvalidArgument: there is nothing to disconnect, or it is not this connection's to revoke.
        :raises LightspeedError: the grant was not revoked; the tokens are still stored and good.
        """
        self._patiently(lambda: self._disconnect(conn_id, user))
        journal.note(journal.DISCONNECTED, conn_id, user)

    def _adopt(self, attempt: Attempt) -> Token:
        token = attempt.token
        assert token is not None
        with locked_ledger(attempt.conn_id) as locked:
            found = locked.read()
            try:
                stored = _unchanged(found, attempt)
                if not found.ledger.knows(token.refresh_token):  # else stored by a request that did not live to say so
                    ledger = found.ledger.connected(
                        stored.settings, token, place=stored.place, by=attempt.by, ahead=attempt.ahead
                    )
                    self._save(locked, ledger, found, _details(token))
            except InvalidArgument as error:
                msg = f"{error.message}. {self._give_back(attempt, token)}"
                raise InvalidArgument(msg, **error.fields) from None
        return token

    def _disconnect(self, conn_id: str, user: str) -> None:
        with locked_ledger(conn_id) as locked:
            found = locked.read()
            stored, ledger = _stored(found, conn_id), found.ledger
            if not inherits(ledger, stored.settings, stored.place):
                ledger = ledger.disowned()
            self._revoke(stored.settings, _revocable(stored, ledger))
            self._save(locked, ledger.disconnected(stored.settings, user, found.now), found)

    def _save(
        self, locked: LockedLedger, ledger: Ledger, found: Snapshot, details: Mapping[str, str] | None = None
    ) -> None:
        """Save a consent, which has details, or a disconnection."""
        assert found.stored is not None
        expected, is_consent = found.ledger.generation, details is not None
        if not self._refresher.persist(
            locked, ledger, found.stored, expected=expected, details=details, is_consent=is_consent
        ):
            msg = f"connection {ledger.origin}: another process changed its tokens meanwhile"
            raise RefreshPending(msg, retry_after=1.0)

    def _give_back(self, attempt: Attempt, token: Token) -> str:
        """Revoke a pair that cannot be kept, and say what became of it."""
        by_hand = "The new grant is still alive: end it in Lightspeed's settings"
        try:
            stored = peek(attempt.conn_id).stored
            if stored is None or not _is_of_client(stored, attempt):  # no client to revoke it with, or another client
                return by_hand
            self._revoke(stored.settings, token.refresh_token)
        except LightspeedError as error:
            return f"{by_hand} ({error.message})"
        return "The new grant was revoked"

    def _revoke(self, settings: ConnectionSettings, refresh_token: Secret) -> None:
        reply = self._refresher.exchange(revoke_request(_client(settings), refresh_token))
        parse_revoke(reply, now=datetime.now(UTC))

    def _patiently(self, action: Callable[[], T]) -> T:
        """Act once the lock is free; whoever does not get it has done nothing yet."""
        clock = self._refresher.clock
        deadline = clock.monotonic() + LOCK_PATIENCE
        while True:
            try:
                return action()
            except RefreshPending:
                if clock.monotonic() > deadline:
                    raise
            clock.sleep(0.2)


def _details(token: Token) -> Mapping[str, str]:
    """Return what a consent says of the account, for the user's own row."""
    found = {"account_id": token.account_id or "", "scope": " ".join(token.scope)}
    return {key: value for key, value in found.items() if value}


def _client(settings: ConnectionSettings) -> OAuthClient:
    return OAuthClient(settings.client_id, settings.client_secret, settings.auth_url)


def _stored(found: Snapshot, conn_id: str) -> Stored:
    if found.stored is None:
        msg = f"connection {conn_id!r} does not exist (any more)"
        raise InvalidArgument(msg, field="connection", found=conn_id, allowed=())
    if found.stored.kind != CONNECTION_TYPE:  # its login, password and refresh token are for somebody else
        msg = f"connection {conn_id!r} is of type {found.stored.kind}, not {CONNECTION_TYPE}"
        raise InvalidArgument(msg, field="conn_type", found=found.stored.kind, allowed=(CONNECTION_TYPE,))
    return found.stored


def _is_of_client(stored: Stored, attempt: Attempt) -> bool:
    """Tell whether the connection still names the client, and the authorization server, that the consent was for."""
    return stored.settings.destination[1:] == attempt.destination[1:]


def _revocable(stored: Stored, ledger: Ledger) -> Secret:
    """Return the refresh token to revoke: a new seed, the ledger's, or one that was never spent.

    :raises InvalidArgument: there is none, or it belongs to another server, client or deployment.
    """
    settings, conn_id = stored.settings, stored.settings.conn_id
    if ledger.is_news(settings.refresh_token):
        return settings.refresh_token
    if ledger.token and is_moved(ledger, settings):
        raise _elsewhere(conn_id)
    if ledger.token and not owns(ledger, stored.place):
        msg = f"the tokens of connection {conn_id!r} belong to another deployment; disconnect there, or take over first"
        raise InvalidArgument(msg, field="owner", found=ledger.owner, allowed=(stored.place.owner,))
    held = ledger.token.refresh_token if ledger.token else settings.refresh_token
    if not held or ledger.is_disconnected(settings):
        msg = f"connection {conn_id!r} has no grant to revoke"
        raise InvalidArgument(msg, field="connection", found=conn_id, allowed=())
    return held


def _elsewhere(conn_id: str) -> InvalidArgument:
    msg = (
        f"host, auth_url or client ID of connection {conn_id!r} changed since its tokens were issued; they are not sent "
        "to the new place. Change it back, or end the grant in Lightspeed's settings"
    )
    return InvalidArgument(msg, field="connection", found=conn_id, allowed=())


def _unchanged(found: Snapshot, attempt: Attempt) -> Stored:
    """Return the connection that the consent was begun for.

    :raises InvalidArgument: it has gone, was created anew, or points elsewhere.
    """
    stored = _stored(found, attempt.conn_id)
    if stored.origin != attempt.origin:
        msg = f"connection {attempt.conn_id!r} was deleted and created anew meanwhile; start again with Connect"
        raise InvalidArgument(msg, field="connection", found=attempt.conn_id, allowed=())
    if stored.settings.destination != attempt.destination:
        msg = (
            f"host, auth_url or client ID of connection {attempt.conn_id!r} changed after Connect was pressed; the code "
            "is for the old ones. Start again with Connect"
        )
        raise InvalidArgument(msg, field="connection", found=attempt.conn_id, allowed=())
    return stored
