"""Token sources for Airflow: where a hook gets its access token, in a task, on 2.11 and in the CLI."""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from airflow_provider_lightspeed.auth.codec import load
from airflow_provider_lightspeed.auth.ledger import Ledger
from airflow_provider_lightspeed.auth.step import Claim, Outcome, inherits, is_moved, server_time
from airflow_provider_lightspeed.auth.token import Token
from airflow_provider_lightspeed.clock import Clock, SystemClock
from airflow_provider_lightspeed.compat import (
    AirflowNotFoundException,
    database_is_reachable,
    mask_secret,
    read_connection,
)
from airflow_provider_lightspeed.exceptions import (
    LightspeedDataError,
    LightspeedError,
    LightspeedRetriableError,
    ReconnectRequired,
    RefreshPending,
    Unreachable,
)
from airflow_provider_lightspeed.redact import sealed
from airflow_provider_lightspeed.settings import ConnectionSettings
from airflow_provider_lightspeed.tokens.answer import Answer, failure
from airflow_provider_lightspeed.tokens.asker import Asker
from airflow_provider_lightspeed.tokens.companion import ledger_id
from airflow_provider_lightspeed.tokens.home import settings_of
from airflow_provider_lightspeed.tokens.journal import warn_of_lapse
from airflow_provider_lightspeed.tokens.store import peek

log = logging.getLogger(__name__)

#: Seconds a task waits for somebody else's refresh, or for the authorization server to come back.
PATIENCE: Final = 300.0
#: Seconds a task goes on asking an API server that holds another token for the connection.
STRANGER_PATIENCE: Final = 10.0
#: Seconds before the next try: while another process refreshes, and while the API server does not answer.
_BUSY: Final = 0.5
_AWAY: Final = 2.0
#: Share of the margin that tasks wait longer than the refreshing side, at random: the first one asks, the rest find it.
_JITTER: Final = 0.75
#: Outcomes that waiting does not change.
_FOR_A_PERSON: Final = frozenset(
    {
        Outcome.INVALID_CLIENT,
        Outcome.INVALID_GRANT,
        Outcome.DISCONNECTED,
        Outcome.NO_GRANT,
        Outcome.FOREIGN,
        Outcome.SHARED,
    }
)


@dataclass(frozen=True, slots=True)
class View:
    """A connection with its ledger, as one process sees it.

    :param ours: the stored token may be used for this connection; ``None`` if only the refreshing side can tell.
    :param now: the clock to judge the token by; ``None`` for this machine's.
    :param fault: why the ledger could not be read, in words; ``ledger`` is then empty. Empty text: it was read.
    """

    ledger: Ledger
    settings: ConnectionSettings
    ours: bool | None
    now: datetime | None = None
    fault: str = ""


class Desk(Protocol):
    """Where stored tokens are read and a refresh is asked for."""

    conn_id: str

    def look(self) -> View:
        """Return ledger and connection as stored now.

        :raises LightspeedRetriableError: the connection could not be read now.
        """

    def ask(self, claim: Claim) -> Answer:
        """Ask for a refresh."""


class DatabaseDesk:
    """For processes that reach the metadata database: the locked refresh runs right here.

    :param refresher: what spends refresh tokens; default a new ``tokens.refresh.Refresher``.
    """

    def __init__(self, conn_id: str, asker: Asker | None = None, refresher: Any = None) -> None:
        from airflow_provider_lightspeed.tokens.refresh import Refresher

        self.conn_id = conn_id
        self._asker = asker or Asker.current()
        self._refresher = refresher or Refresher()

    def look(self) -> View:
        """Return ledger and connection as stored now.

        :raises Unreachable: the metadata database failed.
        """
        from sqlalchemy.exc import SQLAlchemyError

        try:
            found = peek(self.conn_id)
        except SQLAlchemyError as error:
            msg = (
                f"connection {self.conn_id!r} could not be read: the metadata database failed ({type(error).__name__})"
            )
            raise Unreachable(msg, conn_id=self.conn_id) from None
        if found.stored is None:
            msg = f"The conn_id `{self.conn_id}` isn't defined"
            raise AirflowNotFoundException(msg)
        settings = found.stored.settings
        ours = _is_ours(found.ledger, settings) and inherits(found.ledger, settings, found.stored.place)
        return View(found.ledger, settings, ours, found.now)

    def ask(self, claim: Claim) -> Answer:
        """Refresh in this process."""
        answer: Answer = self._refresher.refresh(self.conn_id, claim, self._asker)
        return answer


class TaskDesk:
    """For Airflow 3 tasks: reads through Airflow's own connection call, asks the API server's refresh trigger."""

    def __init__(self, conn_id: str, asker: Asker | None = None) -> None:
        self.conn_id = conn_id
        self._asker = asker or Asker.current()
        self._trigger: Any = None

    def look(self) -> View:
        """Return ledger and connection as stored now.

        :raises Unreachable: the API server or a secrets backend failed.
        """
        settings = settings_of(read_connection(self.conn_id))
        try:
            ledger = self._ledger()
        except (Unreachable, LightspeedDataError) as error:
            return View(Ledger(), settings, ours=False, fault=error.message)
        ours: bool | None = _is_ours(ledger, settings)
        if ours and not settings.refresh_token and ledger.origin.startswith("row:"):
            ours = None  # deleted and created anew, perhaps: a task does not see which row this is
        if not ours and ledger.token and not is_moved(ledger, settings):
            ours = None  # a refresh token that this worker's environment has, and the API server's perhaps has not
        return View(ledger, settings, ours)

    def _ledger(self) -> Ledger:
        """Return the ledger, empty if there is none; that of an environment variable goes by its lower-case ID.

        :raises LightspeedDataError: it cannot be read; the API server puts it back.
        """
        for home in dict.fromkeys((self.conn_id, self.conn_id.upper().lower())):
            with suppress(AirflowNotFoundException):
                extra = read_connection(ledger_id(home)).extra
                try:
                    return load(json.loads(extra or "{}"))
                except (ValueError, RecursionError):
                    msg = f"the ledger of connection {self.conn_id!r} is no JSON object"
                    raise LightspeedDataError(msg, conn_id=self.conn_id) from None
        return Ledger()

    def ask(self, claim: Claim) -> Answer:
        """Ask the API server."""
        if self._trigger is None:
            from airflow_provider_lightspeed.tokens.trigger import RefreshTrigger

            self._trigger = RefreshTrigger()
        answer: Answer = self._trigger.ask(self.conn_id, claim, self._asker)
        return answer


def _is_ours(ledger: Ledger, settings: ConnectionSettings) -> bool:
    """The stored token stands, unless the connection now points elsewhere or a person has put in a new grant."""
    return bool(ledger.token) and not is_moved(ledger, settings) and not ledger.is_news(settings.refresh_token)


def desk_for(conn_id: str, asker: Asker | None = None) -> Desk:
    """Return the desk that this process can use."""
    return DatabaseDesk(conn_id, asker) if database_is_reachable() else TaskDesk(conn_id, asker)


class LedgerTokenSource:
    """A ``TokenSource`` over the shared ledger. A stored token that is still good costs no grant and no call.

    Whether a token is stale is judged by the side that refreshes: this machine's clock may be an hour wrong. So after
    an answer the token is kept for the seconds that the answer named, by the monotonic clock.

    :param mask: called with every token; tasks hand it to Airflow's log masker.
    :param patience: seconds to wait for a token in all.
    :param chance: returns a number in [0, 1), for the jitter.
    """

    def __init__(
        self,
        desk: Desk,
        clock: Clock | None = None,
        *,
        mask: Callable[[str], None] = mask_secret,
        patience: float = PATIENCE,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._desk = desk
        self._clock = clock or SystemClock()
        self._mask = mask
        self._patience = patience
        self._chance = chance
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._used = ""
        self._good_until = 0.0

    @sealed
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

    @sealed
    def refused(self, token: Token) -> Token:
        """Return another token after the API answered 401 to this one; at most one refresh per refused token."""
        with self._lock:
            if self._token is None or self._token.access_token == token.access_token:
                self._obtain(refused=token)
            assert self._token is not None
            return self._token

    @sealed
    def view(self) -> View:
        """Return connection and ledger as stored now; a failed read is repeated for ``patience`` seconds.

        :raises AirflowNotFoundException: there is no such connection.
        :raises LightspeedRetriableError: it could not be read within ``patience`` seconds.
        """
        return self._read(self._clock.monotonic() + self._patience)

    def used(self, token: Token) -> None:
        """Remember that the API accepted this token; the next request for a refresh says so."""
        self._used = token.access_token.fingerprint()

    def _obtain(self, refused: Token | None) -> None:
        deadline, strange = self._clock.monotonic() + self._patience, None
        while True:
            view = self._read(deadline)
            current = None if view.ours is False else view.ledger.token
            is_other = current is not None and (refused is None or current.access_token != refused.access_token)
            if current and is_other and view.ours and self._is_fresh(view, current):
                return
            claim = self._claim(view, refused)
            answer = self._ask(claim, view)
            if answer.outcome is Outcome.NO_MATCH:  # once, it is somebody else's refresh between reading and asking
                if strange != claim.seen:
                    deadline = min(deadline, self._clock.monotonic() + STRANGER_PATIENCE)
                strange = claim.seen
            if self._accept(answer, current, is_other=is_other, deadline=deadline):
                return
            self._pause(answer, view, deadline)

    def _read(self, deadline: float) -> View:
        """Read what is stored. What could be read once is not gone because one call failed: such a call is repeated."""
        while True:
            try:
                return self._desk.look()
            except LightspeedRetriableError as error:
                if not self._wait(_AWAY, deadline, error):
                    raise

    def _ask(self, claim: Claim, view: View) -> Answer:
        """Ask for a refresh. If the ledger could not be read, "no match" means nothing: the claim names an old token.

        Such a claim is made nevertheless: to whoever holds the connection's own token, the refreshing side puts a ledger
        back that Airflow cannot decrypt.
        """
        if not claim.seen:
            return Answer(Outcome.UNAVAILABLE, retry_after=_AWAY, detail=view.fault)
        answer = self._desk.ask(claim)
        if view.fault and answer.outcome is Outcome.NO_MATCH:
            return Answer(Outcome.UNAVAILABLE, retry_after=_AWAY, detail=view.fault)
        return answer

    def _is_fresh(self, view: View, current: Token) -> bool:
        now = server_time(view.ledger, view.now) if view.now else self._clock.now()
        margin = current.margin() * (1 - _JITTER * self._chance())
        good = (current.expires_at - margin - now).total_seconds()
        if good <= 0:
            return False
        self._keep(current, good)
        return True

    def _claim(self, view: View, refused: Token | None) -> Claim:
        held = view.ledger.token.access_token if view.ledger.token else view.settings.refresh_token
        if not held and not view.fault:
            raise failure(self._desk.conn_id, Answer(Outcome.NO_GRANT))
        seen = held.fingerprint() if held else ""
        is_refused = refused is not None and refused.access_token == held
        return Claim(seen, refused=is_refused, used=seen == self._used)

    def _accept(self, answer: Answer, current: Token | None, *, is_other: bool, deadline: float) -> bool:
        """Digest an answer: ``True`` when the token in hand is good, ``False`` when the ledger is to be read again."""
        if answer.outcome is Outcome.REFRESHED:
            ledger = self._read(deadline).ledger
            if ledger.token and ledger.generation >= answer.generation:
                self._keep(ledger.token, answer.expires_in)
                return True
            return False
        if answer.outcome is Outcome.FRESH and current:
            if not is_other:
                msg = (
                    f"connection {self._desk.conn_id!r}: Lightspeed refuses an access token that is fresh by every sign"
                )
                raise ReconnectRequired(msg, conn_id=self._desk.conn_id)
            self._keep(current, answer.expires_in)
            return True
        if answer.outcome in _FOR_A_PERSON:
            raise failure(self._desk.conn_id, answer)
        return False

    def _pause(self, answer: Answer, view: View, deadline: float) -> None:
        """Wait before the next request for a refresh, or raise what the answer means if there is no time for one."""
        conn_id = self._desk.conn_id
        error = failure(conn_id, answer)
        if answer.outcome is Outcome.BUSY:
            error = RefreshPending(error.message, **error.fields)
        if not self._wait(min(answer.retry_after or _BUSY, 60.0), deadline, error):
            warn_of_lapse(conn_id, view.ledger, view.now or self._clock.now())
            raise error

    def _wait(self, seconds: float, deadline: float, reason: LightspeedError) -> bool:
        """Wait before the next try; return ``False`` at once if that would be after the deadline."""
        wait = seconds * (1 + self._chance() / 2)
        if self._clock.monotonic() + wait > deadline:
            return False
        if isinstance(reason, LightspeedRetriableError) and not isinstance(reason, RefreshPending):
            log.warning("no token yet: %s; next try in %.0f s", reason.message, wait)
        self._clock.sleep(wait)
        return True

    def _keep(self, token: Token, seconds: float) -> None:
        for secret in (token.access_token, token.refresh_token):
            self._mask(secret.reveal())
        self._token = token
        self._good_until = self._clock.monotonic() + max(0.0, seconds)
