"""The token ledger in the metadata database: read, locked, compared and swapped.

It is kept twice, in one transaction: in a companion connection (:mod:`~.companion`), which tasks can read, and in a safety
copy (:mod:`~.copies`): tools rewrite connections (an import of an old export, ``rotate-fernet-key`` while a refresh
commits) and would put an old ledger in place of the new one. The higher generation counts, and within it the higher turn.
What cannot be read counts as absent. Both are encrypted with Airflow's Fernet key, and belong to the connection's team.
Grant attempts are recorded in transactions of their own while the lock is held.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_lightspeed.auth.ledger import Ledger
from airflow_provider_lightspeed.auth.step import Pause
from airflow_provider_lightspeed.compat import new_session, take_connection
from airflow_provider_lightspeed.exceptions import (
    InvalidArgument,
    LightspeedDataError,
    LightspeedError,
    LightspeedRetriableError,
    RefreshPending,
)
from airflow_provider_lightspeed.redact import sealed
from airflow_provider_lightspeed.tokens import companion, copies, sharing
from airflow_provider_lightspeed.tokens.companion import Companion, ledger_id
from airflow_provider_lightspeed.tokens.copies import Copy
from airflow_provider_lightspeed.tokens.dialects import database_time, file_lock, limit_waiting
from airflow_provider_lightspeed.tokens.home import Stored, find, home_id, of_row, select_row

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.orm import Session

__all__ = ["LockedLedger", "Snapshot", "ledger_id", "locked_ledger", "peek", "reachable"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A connection with its ledger at one moment.

    :param ledger: the truth: the newer of companion and safety copy.
    :param turn: its turn within its generation.
    :param companion: what tasks read, as it is stored; ``None`` if there is none.
    :param copy: the newest safety copy.
    :param now: the database's clock, which all processes share.
    """

    ledger: Ledger
    turn: int
    companion: Companion | None
    copy: Copy | None
    stored: Stored | None
    now: datetime

    @property
    def attempts(self) -> tuple[datetime, ...]:
        """When grants were sent lately."""
        return self.copy.attempts if self.copy else ()

    @property
    def pause(self) -> Pause | None:
        """What the authorization server asked for last."""
        return self.copy.pause if self.copy else None

    @property
    def team(self) -> str | None:
        """The team whose connection it is, ``None`` if it is nobody's or everybody's."""
        return self.stored.team if self.stored else self.companion.team if self.companion else None

    @property
    def visible(self) -> Ledger:
        """What the companion connection says, and with it every task of the connection's team."""
        is_ours = self.companion is not None and not self._is_foreign(self.companion.team)
        return self.companion.ledger if self.companion and is_ours else Ledger()

    @property
    def rolled_back(self) -> bool:
        """Somebody put an old ledger in place of the new one, or something that cannot be read, or deleted it."""
        return self.visible.generation < self.ledger.generation

    @property
    def fault(self) -> str:
        """Why the ledger is lost: the companion cannot be read, and no copy has it. Empty if it is not."""
        return self.companion.fault if self.companion and self.copy is None else ""

    @property
    def needs_care(self) -> bool:
        """The connection was given to another team, or the Fernet key that signed the copy is about to go."""
        strays = self.companion is not None and self._is_foreign(self.companion.team)
        return strays or (self.copy is not None and (self._is_foreign(self.copy.team) or not self.copy.is_current))

    def _is_foreign(self, team: str | None) -> bool:
        return self.stored is not None and team != self.stored.team


@sealed
def peek(conn_id: str) -> Snapshot:
    """Return ledger and connection without a lock; a connection that has no ledger yet gets an empty one.

    :raises LightspeedDataError: what is stored cannot be read: another Fernet key, or edited by hand.
    :raises LightspeedRetriableError: the database does not answer, or has no connection left.
    """
    session = new_session()
    try:
        with reachable(conn_id), _readable(conn_id):
            conn_id = home_id(session, conn_id)
            found = _snapshot(session, conn_id, companion.read(session, conn_id))
    finally:
        session.close()
    if found.needs_care:
        with suppress(LightspeedRetriableError), locked_ledger(conn_id) as locked:  # whoever refreshes does it too
            return locked.read()
    return found


@contextmanager
def reachable(conn_id: str) -> Iterator[None]:
    """Turn a failure of the metadata database into an error of this package.

    :raises LightspeedRetriableError: the database does not answer, or has no connection left.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        msg = f"connection {conn_id!r}: the metadata database failed ({type(error).__name__}); try again later"
        raise LightspeedRetriableError(msg, conn_id=conn_id) from None  # its text holds what was to be written


@contextmanager
def _readable(conn_id: str) -> Iterator[None]:
    from cryptography.fernet import InvalidToken

    try:
        yield
    except LightspeedError:  # some are a ValueError too, and say it better
        raise
    except (InvalidToken, ValueError, KeyError) as error:
        msg = (
            f"connection {conn_id!r} cannot be read ({type(error).__name__}): it is encrypted with another Fernet key, or not "
            "JSON. If the key was replaced without a rotation, put the old one behind the new one ([core] fernet_key = "
            "new,old). If it is lost, enter client ID and secret anew (Admin > Lightspeed > New connection, same "
            "ID), then connect: its tokens are lost too"
        )
        raise LightspeedDataError(msg, conn_id=conn_id) from error


@contextmanager
def locked_ledger(conn_id: str) -> Iterator[LockedLedger]:
    """Hold the ledger's row lock (SQLite: a file lock) in a session of its own.

    :raises RefreshPending: somebody else holds it.
    :raises LightspeedRetriableError: the database does not answer, or has no connection left.
    """
    locked = LockedLedger(conn_id)
    try:
        with reachable(conn_id):
            locked.open()
            with file_lock(locked.database, conn_id) if locked.dialect == "sqlite" else nullcontext():
                yield locked
    finally:
        locked.close()


class LockedLedger:
    """The ledger while its lock is held: from :meth:`read` to the commit of :meth:`save`.

    It works on two database connections, both taken before a grant is sent: one locks and writes, the other records
    attempts and verifies. So a pair in hand never waits for a connection of the pool.
    """

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._connections: list[Connection] = []
        self._session: Session
        self._other: Session
        self._last = (0, 0)
        self._team: str | None = None

    def open(self) -> None:
        """Take the database connections.

        :raises sqlalchemy.exc.SQLAlchemyError: there are none.
        """
        while len(self._connections) < 2:
            self._connections.append(take_connection())
        self._session, self._other = (new_session(connection) for connection in self._connections)
        self._conn_id = home_id(self._session, self._conn_id)
        self._session.rollback()
        engine = self._connections[0].engine
        self.dialect, self.database = engine.dialect.name, engine.url.database

    def close(self) -> None:
        """Let go; a connection that has died makes no difference."""
        while self._connections:
            with suppress(Exception):
                self._connections.pop().close()

    def reopen(self) -> None:
        """Go on with other database connections after one has died.

        :raises sqlalchemy.exc.SQLAlchemyError: there are none.
        """
        self.close()
        self.open()

    def read(self) -> Snapshot:
        """Take the row lock, at once or not at all, and return what is stored now.

        :raises RefreshPending: another process holds it.
        :raises LightspeedDataError: what is stored cannot be read.
        """
        with _readable(self._conn_id):
            return self._read()

    def _read(self) -> Snapshot:
        from sqlalchemy.exc import IntegrityError, OperationalError

        try:
            found = self._lock()
            if found.companion is None and found.stored is not None:  # what is not there needs no companion
                companion.add(self._session, self._conn_id, found.stored.team)
                found = self._lock_again(found.stored)
            if found.needs_care:
                self._write(found, found.ledger, found.attempts, found.pause)
                found = self._lock_again(found.stored)
        except (OperationalError, IntegrityError) as error:
            self._session.rollback()
            msg = f"connection {self._conn_id!r}: another process holds the token ledger"
            raise RefreshPending(msg, conn_id=self._conn_id, retry_after=1.0) from error
        self._last = (found.ledger.generation, found.turn)
        self._team = found.team
        if self.dialect == "sqlite":  # the file lock guards; an open transaction would stop every other writer
            self._session.rollback()
        return found

    def _lock(self, stored: Stored | None = None) -> Snapshot:
        limit_waiting(self._session)
        row = companion.read(self._session, self._conn_id, lock=True, nowait=True)
        return _snapshot(self._session, self._conn_id, row, stored)

    def _lock_again(self, stored: Stored | None) -> Snapshot:
        self._session.commit()
        return self._lock(stored)

    def _write(self, found: Snapshot, ledger: Ledger, attempts: tuple[datetime, ...], pause: Pause | None) -> None:
        """Write a ledger into the companion and a new copy. A failure never replaces what another key may open."""
        turn = _next_turn(ledger, (found.ledger.generation, found.turn))
        fault = found.companion.fault if found.companion else ""
        if not (found.companion and found.companion.is_sealed and not ledger.generation):
            companion.write(self._session, self._conn_id, ledger, turn, found.team)
            if fault:
                log.warning("connection %r: its companion connection is written anew: %s", self._conn_id, fault)
        copies.append(self._session, self._conn_id, Copy(ledger, turn, attempts, pause, found.team))
        copies.give_to_team(self._session, self._conn_id, found.team)
        self._last = (ledger.generation, turn)

    def holder(self, stored: Stored) -> str:
        """Return which other connection holds this one's refresh token; see :func:`tokens.sharing.holder`."""
        try:
            return sharing.holder(self._other, stored)
        finally:
            self._other.rollback()

    def record(self, ledger: Ledger, attempts: tuple[datetime, ...], pause: Pause | None = None) -> None:
        """Commit the grant attempts and what the authorization server asked for; the lock stays held.

        Attempts are recorded before the grant is sent.

        :raises sqlalchemy.exc.SQLAlchemyError: the database did not do it.
        """
        turn = _next_turn(ledger, self._last)
        try:
            copies.append(self._other, self._conn_id, Copy(ledger, turn, attempts, pause, self._team))
            self._other.commit()
            self._last = (ledger.generation, turn)
        finally:
            self._other.rollback()

    def save(
        self,
        ledger: Ledger,
        stored: Stored,
        *,
        expected: int,
        details: Mapping[str, str] | None = None,
        is_consent: bool = False,
    ) -> bool:
        """Commit ``ledger`` if the stored generation still is ``expected``; say whether it was.

        A rotated refresh token is written back to the user's own row in the same transaction, if that still is the row
        that was read. Otherwise what a person has saved meanwhile stays. What was committed is read back on another
        database connection. Saving the same ledger twice does no harm.

        :param stored: the connection as it was read.
        :param details: further extras of the user's own row to set; a refresh sets none but the refresh token.
        :param is_consent: store nothing at all if the user's row has changed.

        :raises sqlalchemy.exc.SQLAlchemyError: the database did not do it; after :meth:`reopen`, try again.
        :raises LightspeedDataError: what was committed is not what is read.
        :raises InvalidArgument: the user's row has changed, and nothing is stored.
        """
        with _readable(self._conn_id):
            return self._save(ledger, stored, expected, details or {}, is_consent=is_consent)

    def _save(
        self, ledger: Ledger, stored: Stored, expected: int, details: Mapping[str, str], *, is_consent: bool
    ) -> bool:
        limit_waiting(self._session)
        row = companion.read(self._session, self._conn_id, lock=True)
        if row is None:
            row = companion.add(self._session, self._conn_id, stored.team)
        present = _snapshot(self._session, self._conn_id, row, stored)
        if present.ledger.generation != expected and present.ledger != ledger:
            self._session.rollback()
            return False
        self._write(present, ledger, present.attempts, present.pause)
        is_new = ledger.generation != expected and stored.origin.startswith("row:")
        # The copy was flushed: on SQLite, from there on nobody else writes, and the row cannot change any more.
        is_left = is_new and not self._write_back(ledger, stored, details)
        if is_left and is_consent:
            self._session.rollback()
            msg = f"connection {self._conn_id!r} was changed or deleted meanwhile; start again with Connect"
            raise InvalidArgument(msg, field="connection", found=self._conn_id, allowed=())
        self._commit(ledger)
        if is_left:
            log.warning(
                "connection %r was changed or deleted meanwhile: its row stays as it was saved, and the next refresh "
                "goes by it",
                self._conn_id,
            )
        return True

    def _commit(self, ledger: Ledger) -> None:
        self._session.commit()
        try:
            found = companion.read(self._other, self._conn_id)
        finally:
            self._other.rollback()
        if found is None or found.ledger.generation < ledger.generation:
            msg = f"connection {self._conn_id!r}: the database committed a token and then does not have it"
            raise LightspeedDataError(msg, conn_id=self._conn_id)

    def _write_back(self, ledger: Ledger, stored: Stored, details: Mapping[str, str]) -> bool:
        """Change the refresh token of the user's row; return whether it still is the row that was read."""
        row = select_row(self._session, self._conn_id, lock=True)
        if row is None or not _is_still(row, stored, ledger):
            return False
        extra = json.loads(row.extra) if row.extra else {}
        if ledger.token is None:
            extra.pop("refresh_token", None)
        else:
            extra["refresh_token"] = ledger.token.refresh_token.reveal()
            extra["account_id"] = extra.get("account_id") or ledger.token.account_id
        row.set_extra(json.dumps({key: value for key, value in {**extra, **details}.items() if value is not None}))
        return True


def _snapshot(session: Session, conn_id: str, row: Companion | None, stored: Stored | None = None) -> Snapshot:
    """Return what is stored; the companion's row is read already.

    :param stored: the user's connection, if that is read already too.
    """
    stored = stored or find(session, conn_id)
    copy = copies.newest(session, conn_id)
    is_believed = row is not None and (stored is None or row.team == stored.team)
    if row is not None and is_believed and (copy is None or _age(row) > _age(copy)):
        ledger, turn = row.ledger, row.turn
    else:  # a companion of another team may be of that team's making
        ledger, turn = (copy.ledger, copy.turn) if copy else (Ledger(), 0)
    return Snapshot(ledger, turn, row, copy, stored, database_time(session))


def _age(state: Companion | Copy) -> tuple[int, int]:
    return (state.ledger.generation, state.turn)


def _next_turn(ledger: Ledger, last: tuple[int, int]) -> int:
    """Return the turn of a ledger after the last one that was read or written."""
    return last[1] + 1 if ledger.generation == last[0] else 0


def _is_still(row: Any, stored: Stored, ledger: Ledger) -> bool:
    """Tell whether a row is the one that was read, with a refresh token that was read or is known.

    A row that a person has made unreadable has changed too.
    """
    try:
        with _readable(row.conn_id):
            present = of_row(row)
    except LightspeedError:
        return False
    token = present.settings.refresh_token
    is_same = (present.origin, present.kind) == (stored.origin, stored.kind)
    is_there = present.settings.destination == stored.settings.destination
    return is_same and is_there and (token == stored.settings.refresh_token or ledger.knows(token))
