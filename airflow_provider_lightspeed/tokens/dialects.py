"""What each metadata database does in its own way for the ledger: its clock, its lock, its limits of waiting."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from airflow_provider_lightspeed.exceptions import RefreshPending

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: Seconds a statement may wait for somebody else's lock.
LOCK_TIMEOUT: Final = 5
#: Seconds after which the server ends a session that holds the lock and does nothing; above the grant's time-out.
IDLE_TIMEOUT: Final = 30

_CLOCKS: Final = {
    "postgresql": "SELECT clock_timestamp()",
    "mysql": "SELECT utc_timestamp(6)",
    "sqlite": "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')",
}


def database_time(session: Session) -> datetime:
    """Workers' clocks may be an hour wrong; the database's is one for all."""
    from sqlalchemy import text

    moment: datetime | str = session.scalar(text(_CLOCKS[session.get_bind().dialect.name]))
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def limit_waiting(session: Session) -> None:
    """Bound what a transaction of the ledger may wait for, and how long it may do nothing while it holds the lock."""
    from sqlalchemy import text

    dialect = session.get_bind().dialect.name
    if dialect == "postgresql":  # LOCAL: the pooled connection goes back as it came
        session.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}s'"))
        session.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_TIMEOUT}s'"))
    elif dialect == "mysql" and not session.in_transaction():
        # MySQL has no LOCAL for these: the connection does not go back to the pool.
        connection = session.connection()
        connection.detach()
        connection.execute(
            text(f"SET SESSION wait_timeout = {IDLE_TIMEOUT}, innodb_lock_wait_timeout = {LOCK_TIMEOUT}")
        )


@contextmanager
def file_lock(database: str | None, conn_id: str) -> Iterator[None]:
    """SQLite locks whole databases: a long write transaction would stop the scheduler."""
    from filelock import FileLock, Timeout

    name = hashlib.sha256(conn_id.encode()).hexdigest()[:32]  # an ID may be longer than a file's name, in bytes
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
