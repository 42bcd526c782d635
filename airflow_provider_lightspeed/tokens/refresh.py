"""The locked refresh: the only code that spends a refresh token. Runs where the metadata database is reachable."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_lightspeed.auth.flow import OAuthClient, OAuthReply, OAuthRequest, parse_token, refresh_request
from airflow_provider_lightspeed.auth.ledger import Failure, Ledger, Outcome, next_step
from airflow_provider_lightspeed.auth.token import Token
from airflow_provider_lightspeed.clock import Clock, SystemClock
from airflow_provider_lightspeed.exceptions import (
    InvalidClient,
    LightspeedAuthError,
    LightspeedError,
    LightspeedFatalError,
    LightspeedRateError,
    LightspeedRetriableError,
    ReconnectRequired,
)
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.tokens.home import LockedLedger, Stored, locked_ledger, peek

log = logging.getLogger(__name__)

Exchange = Callable[[OAuthRequest], OAuthReply]

#: Seconds a grant may take before it counts as unanswered; it can then be repeated with the same token.
GRANT_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """How a refresh ended, for the trigger's reply: never a token, never a hint at one.

    :param expires_in: seconds that the stored access token is good for, less its margin; by this side's clock.
    :param retry_after: seconds, where coming back makes sense.
    """

    outcome: Outcome
    generation: int = 0
    expires_in: float = 0.0
    retry_after: float = 0.0
    detail: str = ""


def default_exchange() -> Exchange:
    """Return an exchange over ``requests`` with the grant's short time-out."""
    from airflow_provider_lightspeed.client.transport import RequestsTransport, oauth_exchange

    return oauth_exchange(RequestsTransport(connect_timeout=GRANT_TIMEOUT / 2, read_timeout=GRANT_TIMEOUT / 2))


class Refresher:
    """Refreshes connections under their ledger's lock.

    :param exchange: sends one OAuth request and returns the reply; raises ``Unreachable``.
    """

    def __init__(self, exchange: Exchange | None = None, clock: Clock | None = None) -> None:
        self._exchange = exchange or default_exchange()
        self._clock = clock or SystemClock()

    def refresh(self, conn_id: str, *, seen: str, refused: bool = False, by: str = "") -> Answer:
        """Refresh the connection's token if the caller holds what is stored and it is due.

        :param seen: SHA-256 of the token the caller holds.
        :param by: who asked, for the ledger; ``dag.task`` or a user name.
        """
        # Whoever holds nothing, and whoever is merely late, is answered without a lock and without a write.
        ledger, stored = peek(conn_id)
        if stored is None:
            return Answer(Outcome.NO_MATCH)
        step = next_step(ledger, stored.settings, seen=seen, refused=refused, now=self._clock.now())
        if step.outcome is not None:
            return self._answer(step.outcome, ledger, retry_after=step.retry_after)
        try:
            with locked_ledger(conn_id) as locked:
                return self._refresh(locked, seen=seen, refused=refused, by=by)
        except LightspeedRetriableError as error:
            return Answer(Outcome.BUSY, retry_after=error.fields.get("retry_after", 1.0), detail=error.message)

    def _refresh(self, locked: LockedLedger, *, seen: str, refused: bool, by: str) -> Answer:
        ledger, stored = locked.read()
        if stored is None:
            return Answer(Outcome.NO_MATCH)
        now = self._clock.now()
        step = next_step(ledger, stored.settings, seen=seen, refused=refused, now=now)
        if step.outcome is not None:
            return self._answer(step.outcome, ledger, retry_after=step.retry_after)
        for candidate in step.candidates:
            # The attempt is on record before it is sent: a crash in between counts, so no loop of crashes can
            # exceed what the server allows.
            attempted = ledger.attempted(self._clock.now())
            if not locked.save(attempted, stored, expected=ledger.generation):
                return Answer(Outcome.BUSY, retry_after=1.0)
            ledger, _ = locked.read()
            if ledger.attempts != attempted.attempts or ledger.generation != attempted.generation:
                return Answer(Outcome.BUSY, retry_after=1.0)
            answer = self._grant(locked, stored, ledger, candidate, by=by)
            if answer is not None:
                return answer
        return self._stick(locked, stored, ledger, Failure.INVALID_GRANT)

    def _grant(
        self, locked: LockedLedger, stored: Stored, ledger: Ledger, candidate: Secret, *, by: str
    ) -> Answer | None:
        """Send one grant. ``None`` means that this candidate is dead and the next may be tried."""
        settings = stored.settings
        client = OAuthClient(settings.client_id, settings.client_secret, settings.auth_url)
        try:
            token = self._send(client, candidate, ledger.token)
        except ReconnectRequired:
            return None
        except InvalidClient:
            return self._stick(locked, stored, ledger, Failure.INVALID_CLIENT)
        except (LightspeedRateError, LightspeedRetriableError) as error:
            wait = error.fields.get("retry_after") or 15.0
            return Answer(Outcome.UNAVAILABLE, ledger.generation, retry_after=wait, detail=error.message)
        renewed = ledger.granted(settings, token, candidate, by)
        if not locked.save(renewed, stored, expected=ledger.generation):
            log.warning("connection %r: another process committed a token meanwhile; ours is dropped", settings.conn_id)
            return Answer(Outcome.BUSY, retry_after=1.0)
        log.info("connection %r: token refreshed, generation %d, by %s", settings.conn_id, renewed.generation, by)
        return self._answer(Outcome.REFRESHED, renewed)

    def _send(self, client: OAuthClient, candidate: Secret, previous: Token | None) -> Token:
        reply = self._exchange(refresh_request(client, candidate))
        before = previous if previous and previous.refresh_token == candidate else None
        try:
            return parse_token(reply, now=self._clock.now(), previous=before)
        except LightspeedFatalError as error:
            msg = f"the authorization server refused the refresh request: {error.message}"
            raise LightspeedRetriableError(msg, **error.fields) from error

    def _stick(self, locked: LockedLedger, stored: Stored, ledger: Ledger, failure: Failure) -> Answer:
        locked.save(ledger.failed(stored.settings, failure), stored, expected=ledger.generation)
        log.error("connection %r: refresh failed for good: %s", stored.settings.conn_id, failure.value)
        return self._answer(Outcome(failure), ledger)

    def _answer(self, outcome: Outcome, ledger: Ledger, *, retry_after: float = 0.0) -> Answer:
        left = 0.0
        if ledger.token and outcome in (Outcome.REFRESHED, Outcome.FRESH):
            until = ledger.token.expires_at - ledger.token.margin()
            left = max(0.0, (until - self._clock.now()).total_seconds())
        return Answer(outcome, ledger.generation if outcome is not Outcome.NO_MATCH else 0, left, retry_after)


def failure(conn_id: str, answer: Answer) -> LightspeedError:
    """Return the error that a bad outcome means for the person who runs the task."""
    reconnect = f"Put a new refresh token into connection {conn_id!r} (reconnect the account at Lightspeed)."
    match answer.outcome:
        case Outcome.INVALID_CLIENT:
            msg = (
                f"connection {conn_id!r}: Lightspeed refuses the client ID or client secret (invalid_client). "
                "Correct login and password of the connection; nothing more is sent until they change."
            )
            return InvalidClient(msg, conn_id=conn_id)
        case Outcome.INVALID_GRANT:
            msg = f"connection {conn_id!r}: the grant is revoked or expired (invalid_grant). {reconnect}"
            return ReconnectRequired(msg, conn_id=conn_id)
        case Outcome.NO_GRANT:
            msg = (
                f"connection {conn_id!r}: there is no refresh token for this host, auth_url and client ID. {reconnect}"
            )
            return ReconnectRequired(msg, conn_id=conn_id)
        case Outcome.NO_MATCH:
            msg = (
                f"connection {conn_id!r}: the API server does not know this connection, or holds another token for it. "
                "If the connection comes from an environment variable or a secrets backend, give it to the API server too."
            )
            return LightspeedAuthError(msg, conn_id=conn_id)
        case _:
            msg = f"connection {conn_id!r}: the token could not be refreshed in time. {answer.detail}".rstrip()
            return LightspeedRetriableError(msg, conn_id=conn_id, retry_after=answer.retry_after)
