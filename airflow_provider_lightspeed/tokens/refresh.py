"""The locked refresh: the only code that spends a refresh token. Runs where the metadata database is reachable."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final, TypeVar

from airflow_provider_lightspeed.auth.flow import OAuthClient, OAuthReply, OAuthRequest, parse_token, refresh_request
from airflow_provider_lightspeed.auth.ledger import Failure, Ledger
from airflow_provider_lightspeed.auth.step import (
    ATTEMPTS_PER_MINUTE,
    LONGEST_PAUSE,
    Claim,
    Outcome,
    Pause,
    Step,
    holds,
    inherits,
    next_step,
    recent,
    server_time,
)
from airflow_provider_lightspeed.auth.token import Token
from airflow_provider_lightspeed.clock import Clock, SystemClock
from airflow_provider_lightspeed.exceptions import (
    InvalidClient,
    LightspeedDataError,
    LightspeedError,
    LightspeedFatalError,
    LightspeedRateError,
    LightspeedRetriableError,
    ReconnectRequired,
    RefreshPending,
)
from airflow_provider_lightspeed.redact import Secret, sealed
from airflow_provider_lightspeed.tokens import journal
from airflow_provider_lightspeed.tokens.answer import Answer
from airflow_provider_lightspeed.tokens.asker import Asker
from airflow_provider_lightspeed.tokens.home import Stored
from airflow_provider_lightspeed.tokens.store import LockedLedger, Snapshot, locked_ledger, peek

log = logging.getLogger(__name__)

Exchange = Callable[[OAuthRequest], OAuthReply]
T = TypeVar("T")

#: Seconds a grant may take before it counts as unanswered; it can then be repeated with the same token.
GRANT_TIMEOUT: Final = 10.0
#: Seconds during which a pair in hand is offered to a database that does not take it.
PERSIST_PATIENCE: Final = 60.0
#: Outcomes of a grant that was sent, or would have been: they go to the event log.
_EVENTS: Final = frozenset({Outcome.REFRESHED, Outcome.UNAVAILABLE, Outcome.INVALID_CLIENT, Outcome.INVALID_GRANT})


def default_exchange() -> Exchange:
    """Return an exchange over ``requests`` with the grant's short time-out."""
    from airflow_provider_lightspeed.client.transport import oauth_exchange, oauth_transport

    return oauth_exchange(oauth_transport(GRANT_TIMEOUT))


class Refresher:
    """Refreshes connections under their ledger's lock.

    :param exchange: sends one OAuth request and returns the reply; raises ``Unreachable``.
    :param clock: for durations and pauses; the time of day is the database's.
    :param attempts_per_minute: grants a minute and connection, over all processes.
    """

    def __init__(
        self,
        exchange: Exchange | None = None,
        clock: Clock | None = None,
        *,
        attempts_per_minute: int = ATTEMPTS_PER_MINUTE,
    ) -> None:
        self.exchange = exchange or default_exchange()
        self.clock = clock or SystemClock()
        self.limit = attempts_per_minute

    @sealed
    def refresh(self, conn_id: str, claim: Claim, asker: Asker | None = None) -> Answer:
        """Refresh the connection's token if the caller holds what is stored and it is due.

        :param asker: for whom; for the ledger and the event log.
        """
        from sqlalchemy.exc import SQLAlchemyError

        try:
            # Whoever holds nothing, and whoever is merely late, is answered without a lock and without a write.
            found = peek(conn_id)
            answer = self._heal(conn_id, found, claim) or self._decide(found, claim)
            if answer is None:
                with locked_ledger(conn_id) as locked:
                    answer = _Flight(self, conn_id, locked, claim, asker or Asker()).run()
        except (LightspeedRetriableError, LightspeedDataError, SQLAlchemyError) as error:
            wait: float = getattr(error, "retry_after", 0.0) or 1.0
            return Answer(Outcome.BUSY, retry_after=wait, detail=getattr(error, "message", type(error).__name__))
        except LightspeedError as error:  # a connection that is filled in wrongly; the task finds the same
            log.warning("connection %r: no refresh: %s", conn_id, error)
            return Answer(Outcome.NO_MATCH)
        return answer

    def _heal(self, conn_id: str, found: Snapshot, claim: Claim) -> Answer | None:
        """Put the ledger back that a tool has overwritten or deleted, for a caller who holds what the tool put there."""
        stored = found.stored
        if stored is None or not found.rolled_back or not holds(found.visible, stored.settings, claim, stored.place):
            return None
        with locked_ledger(conn_id) as locked:
            present = locked.read()
            if present.rolled_back and locked.save(present.ledger, stored, expected=present.ledger.generation):
                was = present.companion.fault if present.companion else ""
                log.warning(
                    "connection %r: the companion connection (%s) is put back to generation %d; something rewrites "
                    "connections",
                    conn_id,
                    was or f"generation {present.visible.generation}",
                    present.ledger.generation,
                )
        return Answer(Outcome.BUSY, retry_after=0.2)

    def _decide(self, found: Snapshot, claim: Claim) -> Answer | None:
        """Return the answer if there is nothing to send."""
        if found.stored is None:
            return Answer(Outcome.NO_MATCH)
        step = self.step(found, found.stored, claim)
        if step.candidate or step.sticks:
            return None
        assert step.outcome is not None
        return self.answer(step.outcome, found.ledger, found.now, retry_after=step.retry_after)

    def step(self, found: Snapshot, stored: Stored, claim: Claim) -> Step:
        """Return what may be done next for a connection as it was read."""
        return next_step(
            found.ledger,
            stored.settings,
            claim,
            place=stored.place,
            now=found.now,
            attempts=found.attempts,
            pause=found.pause,
            limit=self.limit,
        )

    def answer(self, outcome: Outcome, ledger: Ledger, now: datetime, *, retry_after: float = 0.0) -> Answer:
        """Return an answer with what the caller may know of the ledger."""
        left = 0.0
        if ledger.token and outcome in (Outcome.REFRESHED, Outcome.FRESH):
            until = ledger.token.expires_at - (timedelta(0) if ledger.unchanged else ledger.token.margin())
            left = (until - server_time(ledger, now)).total_seconds()
            left = min(max(0.0, left), ledger.token.lifetime.total_seconds())  # less than that, whatever the clock says
        return Answer(outcome, ledger.generation if outcome is not Outcome.NO_MATCH else 0, left, retry_after)

    def send(self, client: OAuthClient, candidate: Secret, now: datetime) -> Token:
        """Send one grant and return the pair."""
        reply = self.exchange(refresh_request(client, candidate))
        try:
            return parse_token(reply, now=now, spent=candidate)
        except LightspeedFatalError as error:
            msg = f"the authorization server refused the refresh request: {error.message}"
            raise LightspeedRetriableError(msg, **error.fields) from error

    def persist(
        self,
        locked: LockedLedger,
        ledger: Ledger,
        stored: Stored,
        *,
        expected: int,
        details: Mapping[str, str] | None = None,
        is_consent: bool = False,
    ) -> bool:
        """Save a pair that is in hand; see :meth:`LockedLedger.save` and :meth:`insist`."""
        return self.insist(
            locked,
            lambda: locked.save(ledger, stored, expected=expected, details=details, is_consent=is_consent),
        )

    def insist(self, locked: LockedLedger, write: Callable[[], T]) -> T:
        """Ask a database that stumbles again: nobody else has the pair that is to be written.

        :raises sqlalchemy.exc.SQLAlchemyError: not within ``PERSIST_PATIENCE`` seconds.
        :raises LightspeedDataError: the same; what is stored cannot be read.
        """
        from sqlalchemy.exc import SQLAlchemyError

        deadline, is_broken = self.clock.monotonic() + PERSIST_PATIENCE, False
        while True:
            try:
                if is_broken:
                    locked.reopen()
                return write()
            except (SQLAlchemyError, LightspeedDataError, RefreshPending) as error:
                if self.clock.monotonic() >= deadline:
                    raise
                log.warning("a new token is not saved yet (%s); trying again", type(error).__name__)
                is_broken = True
            self.clock.sleep(0.5)


class _Flight:
    """One request that has the lock: decides, sends, saves, until there is an answer."""

    def __init__(self, refresher: Refresher, conn_id: str, locked: LockedLedger, claim: Claim, asker: Asker) -> None:
        self._refresher = refresher
        self._conn_id = conn_id
        self._locked = locked
        self._claim = claim
        self._asker = asker

    def run(self) -> Answer:
        """Return the answer, after as many grants as there are refresh tokens worth a try."""
        while True:
            found = self._locked.read()
            answer = self._turn(found)
            if answer is not None:
                if answer.outcome in _EVENTS:
                    journal.record(self._conn_id, answer, self._asker)
                if answer.outcome is not Outcome.REFRESHED:
                    journal.warn_of_lapse(self._conn_id, found.ledger, found.now)
                return answer

    def _turn(self, found: Snapshot) -> Answer | None:
        """Do the next step; ``None`` means that this candidate is dead and the next may be tried."""
        stored, now = found.stored, found.now
        if stored is None:
            return Answer(Outcome.NO_MATCH)
        ledger, settings = found.ledger, stored.settings
        step = self._refresher.step(found, stored, self._claim)
        if not inherits(ledger, settings, stored.place):
            ledger = ledger.disowned()
        if step.sticks and step.outcome is not None:
            return self._stick(stored, ledger, Failure(step.outcome), now)
        if step.outcome is not None or step.candidate is None:
            return self._refresher.answer(step.outcome or Outcome.BUSY, ledger, now, retry_after=step.retry_after)
        other = self._locked.holder(stored) if ledger.is_news(step.candidate) else ""
        if other:
            log.warning("connection %r: its refresh token is of the grant that %s uses; not sent", self._conn_id, other)
            return Answer(Outcome.SHARED, ledger.generation, detail=other)
        # On record before it is sent: a crash in between counts, so no loop of crashes exceeds what the server allows.
        attempts = (*recent(found.attempts, now), now)
        self._locked.record(found.ledger, attempts)
        return self._grant(found, stored, ledger, step.candidate, attempts)

    def _grant(
        self, found: Snapshot, stored: Stored, ledger: Ledger, candidate: Secret, attempts: tuple[datetime, ...]
    ) -> Answer | None:
        settings, refresher = stored.settings, self._refresher
        client = OAuthClient(settings.client_id, settings.client_secret, settings.auth_url)
        began = refresher.clock.monotonic()
        try:
            token = refresher.send(client, candidate, found.now)
        except ReconnectRequired:
            refresher.persist(self._locked, ledger.refused(settings, candidate), stored, expected=ledger.generation)
            return None
        except InvalidClient:
            return self._stick(stored, ledger, Failure.INVALID_CLIENT, found.now)
        except (LightspeedRateError, LightspeedRetriableError) as error:
            at = found.now + timedelta(seconds=refresher.clock.monotonic() - began)
            return self._put_off(found.ledger, attempts, at, error)
        arrived = found.now + timedelta(seconds=refresher.clock.monotonic() - began)
        ahead = (token.issued_at - arrived).total_seconds()
        renewed = ledger.granted(settings, token, candidate, place=stored.place, by=str(self._asker), ahead=ahead)
        if not refresher.persist(self._locked, renewed, stored, expected=ledger.generation):
            return self._yield(stored, token)
        log.info(
            "connection %r: token refreshed, generation %d, for %s", self._conn_id, renewed.generation, self._asker
        )
        return refresher.answer(Outcome.REFRESHED, renewed, arrived)

    def _put_off(self, ledger: Ledger, attempts: tuple[datetime, ...], at: datetime, error: LightspeedError) -> Answer:
        """Keep how long the authorization server asked to wait, for all processes."""
        from sqlalchemy.exc import SQLAlchemyError

        asked = min(float(error.fields.get("retry_after") or 0.0), LONGEST_PAUSE)
        if asked:
            try:
                self._locked.record(ledger, attempts, Pause(at, asked))
            except SQLAlchemyError as failure:
                kind = type(failure).__name__  # its text holds what was to be written
                log.warning("connection %r: other processes are not told to wait (%s)", self._conn_id, kind)
        return Answer(Outcome.UNAVAILABLE, ledger.generation, retry_after=asked or 15.0, detail=error.message)

    def _yield(self, stored: Stored, token: Token) -> Answer:
        """Our lock was lost (the database ended the session) and another process committed: leave it our pair."""
        log.warning("connection %r: another process committed a token meanwhile; ours is noted", self._conn_id)

        def note() -> bool:
            present = self._locked.read().ledger
            return self._locked.save(present.lost(token), stored, expected=present.generation)

        self._refresher.insist(self._locked, note)
        return Answer(Outcome.BUSY, retry_after=0.2)

    def _stick(self, stored: Stored, ledger: Ledger, failure: Failure, now: datetime) -> Answer:
        failed = ledger.failed(stored.settings, failure)
        self._refresher.persist(self._locked, failed, stored, expected=ledger.generation)
        log.error("connection %r: refresh failed for good: %s", self._conn_id, failure.value)
        return self._refresher.answer(Outcome(failure), failed, now)


@sealed
def take_over(conn_id: str, user: str) -> bool:
    """Make this deployment the owner of a connection's tokens; ``False`` if there are none.

    :param user: who decided it, for the event log.

    :raises RefreshPending: a refresh is under way.
    """
    with locked_ledger(conn_id) as locked:
        found = locked.read()
        if found.stored is None or found.ledger.token is None:
            return False
        ledger = dataclasses.replace(found.ledger, owner=found.stored.place.owner)
        done = locked.save(ledger, found.stored, expected=ledger.generation)
    journal.note(journal.TAKEN_OVER, conn_id, user)
    return done
