"""The safety copies of a ledger: variables that are inserted and at last deleted, but never changed.

Tools rewrite connections. ``airflow rotate-fernet-key`` loads every connection and variable without a lock and writes
them back, encrypted anew, at the end of one transaction: what a refresh commits meanwhile is overwritten with what the
rotation had loaded. But it cannot overwrite a row that it never saw, and a row that never changes says afterwards what it
said before. So every state of a ledger is a row of its own, with its generation and a turn within that in the key; the
highest counts. The copies also hold the grant attempts of the last minute, and how long the authorization server asked
to wait.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_lightspeed.auth.codec import dump, load
from airflow_provider_lightspeed.auth.ledger import Ledger
from airflow_provider_lightspeed.auth.step import Pause

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: Of the companion connection's ID and of each copy's key; Airflow masks variables with ``token`` in their key.
LEDGER_SUFFIX: Final = "__lightspeed_tokens"
#: A rotation that has loaded a copy may fail if it is deleted before the end: so they are deleted rarely, several at once.
_MOST: Final = 8
_KEPT: Final = 3
_DIGITS: Final = 8


@dataclass(frozen=True, slots=True)
class Copy:
    """One state of a ledger.

    :param turn: counts the copies of one generation.
    :param attempts: when grants were sent lately.
    :param pause: what the authorization server asked for last.
    """

    ledger: Ledger
    turn: int = 0
    attempts: tuple[datetime, ...] = ()
    pause: Pause | None = None


def copy_key(conn_id: str, generation: int, turn: int) -> str:
    """Return a copy's key; of one connection's keys, the newest sorts last under any collation."""
    return f"{_prefix(conn_id)}{generation:0{_DIGITS}}_{turn:0{_DIGITS}}"


def newest(session: Session, conn_id: str) -> Copy | None:
    """Return the newest copy."""
    from airflow.models.crypto import get_fernet
    from airflow.models.variable import Variable

    # By column: the ORM object hands its value to Airflow's masker, whose pattern would grow with every rotation.
    column = Variable.__table__.c
    found = session.execute(_newest_first(conn_id, column.key, column.val, column.is_encrypted).limit(1)).first()
    if found is None:
        return None
    key, value, is_encrypted = found
    data = json.loads(get_fernet().decrypt(value.encode()).decode() if is_encrypted else value)
    attempts = tuple(datetime.fromisoformat(at) for at in data["attempts"])
    at, seconds = data.get("pause") or (None, 0.0)
    pause = Pause(datetime.fromisoformat(at), float(seconds)) if at else None
    return Copy(load(data["ledger"]), int(key[-_DIGITS:]), attempts, pause)


def append(
    session: Session,
    conn_id: str,
    ledger: Ledger,
    attempts: tuple[datetime, ...],
    before: Copy | None,
    *,
    pause: Pause | None = None,
) -> None:
    """Add a copy after ``before``, the newest one.

    :raises sqlalchemy.exc.IntegrityError: somebody else did so meanwhile.
    """
    from airflow.models.variable import Variable
    from sqlalchemy import delete

    turn = before.turn + 1 if before and before.ledger.generation == ledger.generation else 0
    content = {
        "ledger": dump(ledger),
        "attempts": [at.isoformat() for at in attempts],
        "pause": pause and [pause.at.isoformat(), pause.seconds],
    }
    text = json.dumps(content)
    about = f"Safety copy of the tokens of {conn_id}, kept by airflow-provider-lightspeed. Do not edit."
    key = copy_key(conn_id, ledger.generation, turn)
    session.add(Variable(key=key, val=text, description=about))  # type: ignore[no-untyped-call]
    session.flush()
    column = Variable.__table__.c
    keys = list(session.scalars(_newest_first(conn_id, column.key)))
    if len(keys) > _MOST:
        session.execute(delete(Variable.__table__).where(column.key.in_(keys[_KEPT:])))


def _prefix(conn_id: str) -> str:
    return f"{conn_id}{LEDGER_SUFFIX}__"


def _newest_first(conn_id: str, *columns: Any) -> Any:
    from airflow.models.variable import Variable
    from sqlalchemy import func, select

    key, prefix = Variable.__table__.c.key, _prefix(conn_id)
    # Not LIKE: to SQLite's, upper case is lower case. The length, in the database's own unit, leaves out what people
    # put beside the copies.
    same_length = func.length(key) == func.length(copy_key(conn_id, 0, 0))
    is_copy = (func.substr(key, 1, len(prefix)) == prefix) & same_length
    return select(*columns).where(is_copy).order_by(key.desc())
