"""Where connections and their ledgers live, seen from a process that reaches the metadata database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_lightspeed.auth import ledger as ledgers
from airflow_provider_lightspeed.compat import conf, new_session, secrets_backends
from airflow_provider_lightspeed.exceptions import RefreshPending
from airflow_provider_lightspeed.settings import ConnectionSettings, HostPolicy, read_settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

LEDGER_SUFFIX: Final = "__lightspeed_tokens"
LEDGER_TYPE: Final = "lightspeed_tokens"
#: Seconds a database session may wait for the row lock before the caller is told to come back.
LOCK_TIMEOUT: Final = 2
#: Seconds after which the server ends a session that holds the lock and does nothing; above the grant's time-out.
IDLE_TIMEOUT: Final = 30


def ledger_id(conn_id: str) -> str:
    """Return the ID of the companion connection that holds the ledger."""
    return conn_id + LEDGER_SUFFIX


def host_policy() -> HostPolicy:
    """Return ``[lightspeed] allowed_hosts``."""
    return HostPolicy.parse(conf.get("lightspeed", "allowed_hosts", fallback=None))


def settings_of(connection: Any) -> ConnectionSettings:
    """Read a connection object of Airflow (ORM row or Task SDK) without handing its values to any masker."""
    raw = connection.extra
    extra: Mapping[str, Any] = json.loads(raw) if raw else {}
    return read_settings(
        connection.conn_id,
        login=connection.login,
        password=connection.password,
        host=connection.host,
        extra={key: value for key, value in extra.items() if value not in (None, "")},
        policy=host_policy(),
    )


@dataclass(frozen=True, slots=True)
class Stored:
    """A user's connection as found now.

    :param row: its row in the metadata database if that is where it lives, else ``None``: nobody can write to an
        environment variable or a secrets backend.
    """

    settings: ConnectionSettings
    row: Any | None
    team: str | None = None


def find(session: Session, conn_id: str) -> Stored | None:
    """Return the connection as Airflow would resolve it: secrets backends first, then the metadata database."""
    row = _row(session, conn_id)
    team = getattr(row, "team_name", None)
    for backend in secrets_backends():
        connection = backend.get_connection(conn_id=conn_id)
        if connection is not None:
            return Stored(settings_of(connection), row=None, team=team)
    return Stored(settings_of(row), row, team) if row is not None else None


def _row(session: Session, conn_id: str, *, lock: bool = False) -> Any | None:
    from airflow.models.connection import Connection
    from sqlalchemy import select

    # A plain second select answers from the session's identity map, with what the row said before the lock.
    query = select(Connection).where(Connection.conn_id == conn_id).execution_options(populate_existing=True)
    return session.scalar(query.with_for_update() if lock else query)


def peek(conn_id: str) -> tuple[ledgers.Ledger, Stored | None]:
    """Return ledger and connection without a lock; a connection that has no ledger yet gets an empty one."""
    session = new_session()
    try:
        row = _row(session, ledger_id(conn_id))
        return ledgers.load(json.loads(row.extra) if row is not None and row.extra else {}), find(session, conn_id)
    finally:
        session.close()


@contextmanager
def locked_ledger(conn_id: str) -> Iterator[LockedLedger]:
    """Hold the ledger's row lock (SQLite: a file lock) in a session of its own.

    :raises RefreshPending: somebody else holds it.
    """
    session = new_session()
    try:
        dialect = session.get_bind().dialect.name
        with _file_lock(session, conn_id) if dialect == "sqlite" else nullcontext():
            yield LockedLedger(session, conn_id, dialect)
    finally:
        session.close()


class LockedLedger:
    """The ledger while its lock is held. Every ``save`` commits; on a database with row locks it also lets go."""

    def __init__(self, session: Session, conn_id: str, dialect: str) -> None:
        self._session = session
        self._conn_id = conn_id
        self._dialect = dialect

    def read(self) -> tuple[ledgers.Ledger, Stored | None]:
        """Take the row lock; return the ledger and the user's connection as they are now."""
        row = self._lock()
        ledger = ledgers.load(json.loads(row.extra) if row.extra else {})
        stored = find(self._session, self._conn_id)
        if self._dialect == "sqlite":  # the file lock guards; an open transaction would stop every other writer
            self._session.rollback()
        return ledger, stored

    def save(self, ledger: ledgers.Ledger, stored: Stored, *, expected: int) -> bool:
        """Commit ``ledger`` if the stored generation still is ``expected``; say whether it was.

        A rotated refresh token is written back to the user's own row in the same transaction.
        """
        row = self._lock()
        present = ledgers.load(json.loads(row.extra) if row.extra else {})
        if present.generation != expected:
            self._session.rollback()
            return False
        row.set_extra(json.dumps(ledgers.dump(ledger)))
        if ledger.generation != expected and ledger.token and stored.row is not None:
            self._write_back(ledger.token.refresh_token.reveal(), ledger.token.account_id)
        self._session.commit()
        return True

    def _write_back(self, refresh_token: str, account_id: str | None) -> None:
        row = _row(self._session, self._conn_id, lock=True)
        if row is None:
            return
        extra = json.loads(row.extra) if row.extra else {}
        extra["refresh_token"] = refresh_token
        if account_id and not extra.get("account_id"):
            extra["account_id"] = account_id
        row.set_extra(json.dumps(extra))

    def _lock(self) -> Any:
        from sqlalchemy.exc import IntegrityError, OperationalError

        try:
            self._limit_waiting()
            row = _row(self._session, ledger_id(self._conn_id), lock=True)
            if row is None:
                self._create()
                row = _row(self._session, ledger_id(self._conn_id), lock=True)
        except (OperationalError, IntegrityError) as error:
            self._session.rollback()
            msg = f"connection {self._conn_id!r}: another process holds the token ledger"
            raise RefreshPending(msg, conn_id=self._conn_id, retry_after=1.0) from error
        return row

    def _limit_waiting(self) -> None:
        from sqlalchemy import text

        if self._dialect == "postgresql":  # LOCAL: the pooled connection goes back as it came
            self._session.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}s'"))
            self._session.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_TIMEOUT}s'"))
        elif self._dialect == "mysql":
            self._session.execute(text(f"SET innodb_lock_wait_timeout = {LOCK_TIMEOUT}"))

    def _create(self) -> None:
        from airflow.models.connection import Connection

        stored = find(self._session, self._conn_id)
        fields: dict[str, Any] = {"team_name": stored.team} if stored and stored.team else {}
        self._session.add(
            Connection(
                conn_id=ledger_id(self._conn_id),
                conn_type=LEDGER_TYPE,
                description=f"Tokens of {self._conn_id}, kept by airflow-provider-lightspeed. Do not edit.",
                **fields,
            )
        )
        self._session.commit()


@contextmanager
def _file_lock(session: Session, conn_id: str) -> Iterator[None]:
    """SQLite locks whole databases: a long write transaction would stop the scheduler."""
    from filelock import FileLock, Timeout

    database = Path(session.get_bind().engine.url.database or "airflow.db")
    name = "".join(letter if letter.isalnum() else "_" for letter in conn_id)
    lock = FileLock(f"{database}.lightspeed-{name}.lock", timeout=LOCK_TIMEOUT)
    try:
        lock.acquire()
    except Timeout as error:
        msg = f"connection {conn_id!r}: another process is refreshing the token"
        raise RefreshPending(msg, conn_id=conn_id, retry_after=1.0) from error
    try:
        yield
    finally:
        lock.release()
