"""The token ledger in the metadata database: read, locked, compared and swapped.

It is kept twice, in one transaction: in a companion connection, which tasks can read, and in a safety copy
(:mod:`~.copies`): tools rewrite connections (an import of an old export, ``rotate-fernet-key`` while a refresh commits)
and would put an old ledger in place of the new one. The higher generation counts. Both are encrypted with Airflow's
Fernet key. Grant attempts are recorded in transactions of their own while the lock is held.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_lightspeed.auth.codec import dump, load
from airflow_provider_lightspeed.auth.ledger import Ledger
from airflow_provider_lightspeed.auth.token import Token
from airflow_provider_lightspeed.compat import new_session
from airflow_provider_lightspeed.exceptions import LightspeedDataError, LightspeedError, RefreshPending
from airflow_provider_lightspeed.tokens import copies
from airflow_provider_lightspeed.tokens.copies import LEDGER_SUFFIX, Copy
from airflow_provider_lightspeed.tokens.home import Stored, find, select_row

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

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
    :param now: the database's clock, which all processes share.
    """

    ledger: Ledger
    visible: Ledger
    stored: Stored | None
    attempts: tuple[datetime, ...]
    now: datetime

    @property
    def rolled_back(self) -> bool:
        """Somebody put an old ledger in place of the new one, or deleted it."""
        return self.visible.generation < self.ledger.generation


def peek(conn_id: str) -> Snapshot:
    """Return ledger and connection without a lock; a connection that has no ledger yet gets an empty one.

    :raises LightspeedDataError: what is stored cannot be read: another Fernet key, or edited by hand.
    """
    session = new_session()
    try:
        with _readable(conn_id):
            return _snapshot(session, conn_id, select_row(session, ledger_id(conn_id)))
    finally:
        session.close()


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
    """
    locked = LockedLedger(conn_id)
    try:
        with _file_lock(locked.database, conn_id) if locked.dialect == "sqlite" else nullcontext():
            yield locked
    finally:
        locked.close()


class LockedLedger:
    """The ledger while its lock is held: from :meth:`read` to the commit of :meth:`save`."""

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._session = new_session()
        bind = self._session.get_bind()
        self.dialect = bind.dialect.name
        self.database = bind.engine.url.database

    def close(self) -> None:
        """Let go."""
        self._session.close()

    def reopen(self) -> None:
        """Go on with another database session after this one has died."""
        with suppress(Exception):
            self._session.close()
        self._session = new_session()

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

    def record(self, ledger: Ledger, attempts: tuple[datetime, ...]) -> None:
        """Commit the grant attempts, before the grant is sent; the lock stays held."""
        session = new_session()
        try:
            copies.append(session, self._conn_id, ledger, attempts, copies.newest(session, self._conn_id))
            session.commit()
        finally:
            session.close()

    def save(self, ledger: Ledger, stored: Stored, *, expected: int, details: Mapping[str, str] | None = None) -> bool:
        """Commit ``ledger`` if the stored generation still is ``expected``; say whether it was.

        :param details: further extras of the user's own row to set; a refresh sets none but the refresh token.

        A rotated refresh token is written back to the user's own row in the same transaction, and what was committed
        is read back on another database connection. Saving the same ledger twice does no harm.

        :raises sqlalchemy.exc.DBAPIError: the database did not do it; after :meth:`reopen`, try again.
        :raises LightspeedDataError: what was committed is not what is read.
        """
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
        copies.append(self._session, self._conn_id, ledger, copy.attempts if copy else (), copy)
        if ledger.generation != expected and stored.origin.startswith("row:"):
            self._write_back(ledger.token, details or {})
        self._commit(ledger)
        return True

    def _commit(self, ledger: Ledger) -> None:
        other = new_session()
        try:
            other.connection()  # taken from the pool before the commit gives ours back: it is another one
            self._session.commit()
            if _ledger_of(select_row(other, ledger_id(self._conn_id))).generation < ledger.generation:
                msg = f"connection {self._conn_id!r}: the database committed a token and then does not have it"
                raise LightspeedDataError(msg, conn_id=self._conn_id)
        finally:
            other.close()

    def _write_back(self, token: Token | None, details: Mapping[str, str]) -> None:
        row = select_row(self._session, self._conn_id, lock=True)
        if row is None:
            return
        extra = json.loads(row.extra) if row.extra else {}
        if token is None:
            extra.pop("refresh_token", None)
        else:
            extra["refresh_token"] = token.refresh_token.reveal()
            extra["account_id"] = extra.get("account_id") or token.account_id
        row.set_extra(json.dumps({key: value for key, value in {**extra, **details}.items() if value is not None}))

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
    attempts = copy.attempts if copy else ()
    return Snapshot(_truth(copy, visible), visible, find(session, conn_id), attempts, database_time(session))


def _truth(copy: Copy | None, visible: Ledger) -> Ledger:
    """Of the same generation, the copy counts: the companion may have been put back to an earlier turn of it."""
    return copy.ledger if copy and copy.ledger.generation >= visible.generation else visible


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
