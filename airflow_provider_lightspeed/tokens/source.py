"""Token sources for Airflow: where a hook gets its access token, in a task, on 2.11 and in the CLI."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

from airflow_provider_lightspeed.auth import ledger as ledgers
from airflow_provider_lightspeed.auth.ledger import Ledger, Outcome
from airflow_provider_lightspeed.auth.token import Token, TokenState
from airflow_provider_lightspeed.clock import Clock, SystemClock
from airflow_provider_lightspeed.compat import AirflowNotFoundException, BaseHook, database_is_reachable, mask_secret
from airflow_provider_lightspeed.exceptions import ReconnectRequired, RefreshPending
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.settings import ConnectionSettings
from airflow_provider_lightspeed.tokens.home import ledger_id, peek, settings_of
from airflow_provider_lightspeed.tokens.refresh import Answer, Refresher, failure

log = logging.getLogger(__name__)

#: Seconds a task waits for somebody else's refresh, or for the authorization server to come back.
PATIENCE: Final = 300.0


class Desk(Protocol):
    """Where stored tokens are read and a refresh is asked for."""

    def look(self) -> tuple[Ledger, ConnectionSettings]:
        """Return ledger and connection as stored now."""

    def ask(self, *, seen: str, refused: bool) -> Answer:
        """Ask for a refresh on behalf of a caller who holds the token with this SHA-256."""


class DatabaseDesk:
    """For processes that reach the metadata database: the locked refresh runs right here."""

    def __init__(self, conn_id: str, by: str, refresher: Refresher | None = None) -> None:
        self._conn_id = conn_id
        self._by = by
        self._refresher = refresher or Refresher()

    def look(self) -> tuple[Ledger, ConnectionSettings]:
        """Return ledger and connection as stored now."""
        ledger, stored = peek(self._conn_id)
        if stored is None:
            msg = f"The conn_id `{self._conn_id}` isn't defined"
            raise AirflowNotFoundException(msg)
        return ledger, stored.settings

    def ask(self, *, seen: str, refused: bool) -> Answer:
        """Refresh in this process."""
        return self._refresher.refresh(self._conn_id, seen=seen, refused=refused, by=self._by)


class TaskDesk:
    """For Airflow 3 tasks: reads through Airflow's own connection call, asks the API server's refresh trigger."""

    def __init__(self, conn_id: str, by: str) -> None:
        self._conn_id = conn_id
        self._by = by
        self._trigger: Any = None

    def look(self) -> tuple[Ledger, ConnectionSettings]:
        """Return ledger and connection as stored now."""
        settings = settings_of(BaseHook.get_connection(self._conn_id))
        try:
            companion = BaseHook.get_connection(ledger_id(self._conn_id))
        except AirflowNotFoundException:
            return Ledger(), settings
        return ledgers.load(json.loads(companion.extra or "{}")), settings

    def ask(self, *, seen: str, refused: bool) -> Answer:
        """Ask the API server."""
        if self._trigger is None:
            from airflow_provider_lightspeed.tokens.trigger import RefreshTrigger

            self._trigger = RefreshTrigger()
        answer: Answer = self._trigger.ask(self._conn_id, seen=seen, refused=refused, by=self._by)
        return answer


def desk_for(conn_id: str, by: str) -> Desk:
    """Return the desk that this process can use."""
    return DatabaseDesk(conn_id, by) if database_is_reachable() else TaskDesk(conn_id, by)


class LedgerTokenSource:
    """A ``TokenSource`` over the shared ledger. A stored token that is still good costs no grant and no call.

    Whether a token is stale is judged by the side that refreshes: this machine's clock may be an hour wrong. So after
    an answer the token is kept for the seconds that the answer named, by the monotonic clock.
    """

    def __init__(
        self,
        desk: Desk,
        clock: Clock | None = None,
        *,
        mask: Callable[[str], None] = mask_secret,
        patience: float = PATIENCE,
    ) -> None:
        self._desk = desk
        self._clock = clock or SystemClock()
        self._mask = mask
        self._patience = patience
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._good_until = 0.0

    def token(self) -> Token:
        """Return a token that is good by the ledger's side.

        :raises LightspeedAuthError: a person is needed.
        :raises LightspeedRetriableError: no fresh token within ``patience`` seconds.
        """
        with self._lock:
            if self._token is None or self._clock.monotonic() >= self._good_until:
                self._obtain(refused=None)
            assert self._token is not None
            return self._token

    def refused(self, token: Token) -> Token:
        """Return another token after the API answered 401 to this one; at most one refresh per refused token."""
        with self._lock:
            if self._token is None or self._token.access_token == token.access_token:
                self._obtain(refused=token)
            assert self._token is not None
            return self._token

    def _obtain(self, refused: Token | None) -> None:
        deadline = self._clock.monotonic() + self._patience
        while True:
            ledger, settings = self._desk.look()
            current = self._usable(ledger, settings)
            if current and (refused is None or current.access_token != refused.access_token):
                now = self._clock.now()
                if current.state(now) is TokenState.FRESH:
                    self._keep(current, (current.expires_at - current.margin() - now).total_seconds())
                    return
            held = current.access_token if current else settings.refresh_token
            if not held:
                raise failure(settings.conn_id, Answer(Outcome.NO_GRANT))
            if ledger.token and not current and not ledger.is_news(settings.refresh_token):
                raise failure(settings.conn_id, Answer(Outcome.NO_GRANT))
            answer = self._desk.ask(seen=self._seen(ledger, held), refused=refused is not None)
            if self._accept(answer, current, refused, settings.conn_id):
                return
            self._pause(answer, deadline, settings.conn_id)

    @staticmethod
    def _usable(ledger: Ledger, settings: ConnectionSettings) -> Token | None:
        """The stored token, unless the connection now points elsewhere or a person has put in a new grant."""
        if ledger.destination != settings.destination or ledger.is_news(settings.refresh_token):
            return None
        return ledger.token

    @staticmethod
    def _seen(ledger: Ledger, held: Secret) -> str:
        return (ledger.token.access_token if ledger.token else held).fingerprint()

    def _accept(self, answer: Answer, current: Token | None, refused: Token | None, conn_id: str) -> bool:
        """Digest an answer: ``True`` when the token in hand is good, ``False`` when the ledger is to be read again."""
        if answer.outcome is Outcome.REFRESHED:
            ledger, _ = self._desk.look()
            if ledger.token and ledger.generation >= answer.generation:
                self._keep(ledger.token, answer.expires_in)
                return True
            return False
        if answer.outcome is Outcome.FRESH and current:
            if refused is not None:
                msg = (
                    f"connection {conn_id!r}: Lightspeed refuses an access token that was issued moments ago. "
                    "The grant may have been revoked, or the employee who gave it locked"
                )
                raise ReconnectRequired(msg, conn_id=conn_id)
            self._keep(current, answer.expires_in)
            return True
        if answer.outcome in (Outcome.INVALID_CLIENT, Outcome.INVALID_GRANT, Outcome.NO_GRANT):
            raise failure(conn_id, answer)
        return False

    def _pause(self, answer: Answer, deadline: float, conn_id: str) -> None:
        wait = max(0.5, min(answer.retry_after or 1.0, 60.0))
        if self._clock.monotonic() + wait > deadline:
            error = failure(conn_id, answer)
            if answer.outcome is Outcome.BUSY:
                raise RefreshPending(error.message, **error.fields)
            raise error
        if answer.outcome is not Outcome.BUSY:
            log.warning("connection %r: no token yet (%s), next try in %.0f s", conn_id, answer.outcome.value, wait)
        self._clock.sleep(wait)

    def _keep(self, token: Token, seconds: float) -> None:
        for secret in (token.access_token, token.refresh_token):
            self._mask(secret.reveal())
        self._token = token
        self._good_until = self._clock.monotonic() + max(0.0, seconds)
