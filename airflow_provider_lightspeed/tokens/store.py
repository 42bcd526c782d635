"""The token ledger in the metadata database: read, locked, compared and swapped.

It is kept twice, in one transaction: in a companion connection, which tasks can read, and in a safety copy
(:mod:`~.copies`): tools rewrite connections (an import of an old export, ``rotate-fernet-key`` while a refresh commits)
and would put an old ledger in place of the new one. The higher generation counts. Both are encrypted with Airflow's
Fernet key. Grant attempts are recorded in transactions of their own while the lock is held.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_lightspeed.auth.codec import dump, load
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
from airflow_provider_lightspeed.tokens import copies
from airflow_provider_lightspeed.tokens.copies import LEDGER_SUFFIX, Copy
from airflow_provider_lightspeed.tokens.home import Stored, find, of_row, select_row

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)

LEDGER_TYPE: Final = "lightspeed_tokens"
#: Seconds a statement may wait for somebody else's lock.
LOCK_TIMEOUT: Final = 5
#: Seconds after which the server ends a session that holds the lock and does nothing; above the grant's time-out.
IDLE_TIMEOUT: Final = 30

_CLOCKS: Final = {
    "postgresql": "SELECT clock_timestamp()",
    "mysql": "SELECT utc_timestamp(6)",
    "sqlite": "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')",
}


def ledger_id(conn_id: str) -> str:
    """Return the ID of the companion connection that holds the ledger."""
    return conn_id + LEDGER_SUFFIX


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A connection with its ledger at one moment.

    :param ledger: the truth: the newer of companion and safety copy.
    :param visible: what the companion connection says, and with it every task.
    :param attempts: when grants were sent lately.
    :param pause: what the authorization server asked for last.
    :param now: the database's clock, which all processes share.
    """

    ledger: Ledger
    visible: Ledger
    stored: Stored | None
    attempts: tuple[datetime, ...]
    now: datetime
    pause: Pause | None = None

    @property
    def rolled_back(self) -> bool:
        """Somebody put an old ledger in place of the new one, or deleted it."""
        return self.visible.generation < self.ledger.generation


def peek(conn_id: str) -> Snapshot:
    """Return ledger and connection without a lock; a connection that has no ledger yet gets an empty one.

    :raises LightspeedDataError: what is stored cannot be read: another Fernet key, or edited by hand.
    :raises LightspeedRetriableError: the database does not answer, or has no connection left.
    """
    session = new_session()
    try:
        with reachable(conn_id), _readable(conn_id):
            return _snapshot(session, conn_id, select_row(session, ledger_id(conn_id)))
    finally:
        session.close()


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
        raise LightspeedRetriableError(msg, conn_id=conn_id) from error


@contextmanager
def _readable(conn_id: str) -> Iterator[None]:
    from cryptography.fernet import InvalidToken

    try:
        yield
    except LightspeedError:  # some are a ValueError too, and say it better
        raise
    except (InvalidToken, ValueError, KeyError) as error:
        msg = (
            f"connection {conn_id!r}, or its tokens, cannot be read ({type(error).__name__}): encrypted with another "
            "Fernet key, or not JSON"
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
            with _file_lock(locked.database, conn_id) if locked.dialect == "sqlite" else nullcontext():
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

    def open(self) -> None:
        """Take the database connections.

        :raises sqlalchemy.exc.SQLAlchemyError: there are none.
        """
        while len(self._connections) < 2:
            self._connections.append(take_connection())
        self._session, self._other = (new_session(connection) for connection in self._connections)
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
            self._limit_waiting()
            row = select_row(self._session, ledger_id(self._conn_id), lock=True, nowait=True)
            if row is None and find(self._session, self._conn_id) is not None:  # what is not there needs no companion
                _add_companion(self._session, self._conn_id)
                self._session.commit()
                self._limit_waiting()
                row = select_row(self._session, ledger_id(self._conn_id), lock=True, nowait=True)
        except (OperationalError, IntegrityError) as error:
            self._session.rollback()
            msg = f"connection {self._conn_id!r}: another process holds the token ledger"
            raise RefreshPending(msg, conn_id=self._conn_id, retry_after=1.0) from error
        found = _snapshot(self._session, self._conn_id, row)
        if self.dialect == "sqlite":  # the file lock guards; an open transaction would stop every other writer
            self._session.rollback()
        return found

    def record(self, ledger: Ledger, attempts: tuple[datetime, ...], pause: Pause | None = None) -> None:
        """Commit the grant attempts and what the authorization server asked for; the lock stays held.

        Attempts are recorded before the grant is sent.

        :raises sqlalchemy.exc.SQLAlchemyError: the database did not do it.
        """
        try:
            before = copies.newest(self._other, self._conn_id)
            copies.append(self._other, self._conn_id, ledger, attempts, before, pause=pause)
            self._other.commit()
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
        self._limit_waiting()
        row = select_row(self._session, ledger_id(self._conn_id), lock=True)
        if row is None:
            row = _add_companion(self._session, self._conn_id)
        copy = copies.newest(self._session, self._conn_id)
        present = _truth(copy, _ledger_of(row))
        if present.generation != expected and present != ledger:
            self._session.rollback()
            return False
        row.set_extra(json.dumps(dump(ledger)))
        attempts, pause = (copy.attempts, copy.pause) if copy else ((), None)
        copies.append(self._session, self._conn_id, ledger, attempts, copy, pause=pause)
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
            found = _ledger_of(select_row(self._other, ledger_id(self._conn_id)))
        finally:
            self._other.rollback()
        if found.generation < ledger.generation:
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

    def _limit_waiting(self) -> None:
        from sqlalchemy import text

        if self.dialect == "postgresql":  # LOCAL: the pooled connection goes back as it came
            self._session.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}s'"))
            self._session.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_TIMEOUT}s'"))
        elif self.dialect == "mysql" and not self._session.in_transaction():
            # MySQL has no LOCAL for these: the connection does not go back to the pool.
            connection = self._session.connection()
            connection.detach()
            connection.execute(
                text(f"SET SESSION wait_timeout = {IDLE_TIMEOUT}, innodb_lock_wait_timeout = {LOCK_TIMEOUT}")
            )


def _snapshot(session: Session, conn_id: str, row: Any | None) -> Snapshot:
    visible = _ledger_of(row)
    copy = copies.newest(session, conn_id)
    attempts, pause = (copy.attempts, copy.pause) if copy else ((), None)
    ledger, stored = _truth(copy, visible), find(session, conn_id)
    return Snapshot(ledger, visible, stored, attempts, database_time(session), pause)


def _truth(copy: Copy | None, visible: Ledger) -> Ledger:
    """Of the same generation, the copy counts: the companion may have been put back to an earlier turn of it."""
    return copy.ledger if copy and copy.ledger.generation >= visible.generation else visible


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


def _ledger_of(row: Any | None) -> Ledger:
    return load(json.loads(row.extra) if row is not None and row.extra else {})


def database_time(session: Session) -> datetime:
    """Workers' clocks may be an hour wrong; the database's is one for all."""
    from sqlalchemy import text

    moment: datetime | str = session.scalar(text(_CLOCKS[session.get_bind().dialect.name]))
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _add_companion(session: Session, conn_id: str) -> Any:
    from airflow.models.connection import Connection

    stored = find(session, conn_id)
    fields: dict[str, Any] = {"team_name": stored.team} if stored and stored.team else {}
    row = Connection(
        conn_id=ledger_id(conn_id),
        conn_type=LEDGER_TYPE,
        description=f"Tokens of {conn_id}, kept by airflow-provider-lightspeed. Do not edit.",
        **fields,
    )
    session.add(row)
    return row


@contextmanager
def _file_lock(database: str | None, conn_id: str) -> Iterator[None]:
    """SQLite locks whole databases: a long write transaction would stop the scheduler."""
    from filelock import FileLock, Timeout

    name = "".join(letter if letter.isalnum() else "_" for letter in conn_id)
    lock = FileLock(f"{Path(database or 'airflow.db')}.lightspeed-{name}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        msg = f"connection {conn_id!r}: another process is refreshing the token"
        raise RefreshPending(msg, conn_id=conn_id, retry_after=1.0) from error
    try:
        yield
    finally:
        lock.release()
