"""The safety copies of a ledger: variables that are inserted and at last deleted, but never changed.

Tools rewrite connections. ``airflow rotate-fernet-key`` loads every connection and variable without a lock and writes
them back, encrypted anew, at the end of one transaction: what a refresh commits meanwhile is overwritten with what the
rotation had loaded. But it cannot overwrite a row that it never saw, and a row that never changes says afterwards what it
said before. So every state of a ledger is a row of its own, with its generation and a turn within that in the key; the
highest counts. The copies also hold the grant attempts of the last minute.

Whoever may set variables can put rows there too. So each copy is signed, with its connection, generation and turn; a row
that does not verify is passed over. It is not deleted: a process with a wrong Fernet key would delete good copies.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_lightspeed.auth.codec import dump, load
from airflow_provider_lightspeed.auth.ledger import Ledger
from airflow_provider_lightspeed.auth.step import Pause
from airflow_provider_lightspeed.tokens.signer import Signer

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)

#: Of the companion connection's ID and of each copy's key; Airflow masks variables with ``token`` in their key.
LEDGER_SUFFIX: Final = "__lightspeed_tokens"
#: A rotation that has loaded a copy may fail if it is deleted before the end: so they are deleted rarely, several at once.
_MOST: Final = 8
_KEPT: Final = 3
_DIGITS: Final = 8
_KEY_END: Final = re.compile(rf"([0-9]{{{_DIGITS}}})_([0-9]{{{_DIGITS}}})")
#: Characters; the longest ledger takes 65,535 (``auth.codec``), and a copy a little more.
_LONGEST: Final = 200_000
_AT_A_TIME: Final = 20
_SIGNER: Final = Signer("safety copy of a token ledger")


@dataclass(frozen=True, slots=True)
class Copy:
    """One state of a ledger.

    :param turn: counts the copies of one generation.
    :param attempts: when grants were sent lately.
    :param pause: what the authorization server asked for last.
    :param team: the team that may read it, ``None`` if every team may.
    :param is_current: signed with the key that signs now, not with one that is about to go.
    """

    ledger: Ledger
    turn: int = 0
    attempts: tuple[datetime, ...] = ()
    pause: Pause | None = None
    team: str | None = None
    is_current: bool = True


def copy_key(conn_id: str, generation: int, turn: int) -> str:
    """Return a copy's key; of one connection's keys, the newest sorts last under any collation."""
    return f"{_prefix(conn_id)}{generation:0{_DIGITS}}_{turn:0{_DIGITS}}"


def newest(session: Session, conn_id: str) -> Copy | None:
    """Return the newest copy that this deployment has signed. What does not verify is passed over, with one warning.

    :raises LightspeedDataError: a newer version of this package has written it.
    """
    passed: list[tuple[str, str]] = []
    try:
        for key, value, is_encrypted, team in _newest_first(session, conn_id):
            copy = _opened(conn_id, key, value, team, is_encrypted=is_encrypted)
            if copy:
                return copy
            passed.append((key, value))
        return None
    finally:
        if passed:
            key, value = passed[0]
            _warn(conn_id, key, len(passed), hashlib.sha256(value.encode(errors="replace")).digest())


@lru_cache(256)
def _warn(conn_id: str, key: str, count: int, _: bytes) -> None:
    """Warn once of the same rows: connections are read every few seconds."""
    log.warning(
        "connection %r: variable %r%s does not verify as a safety copy of its tokens and is passed over. It was set by "
        "somebody else, or signed with a Fernet key that this process does not have. If the key is right, delete it",
        conn_id,
        key,
        f" (with {count - 1} more)" if count > 1 else "",
    )


def append(session: Session, conn_id: str, copy: Copy) -> None:
    """Add a copy. A row under its key that does not verify gives way.

    :raises sqlalchemy.exc.IntegrityError: somebody else has added this copy meanwhile.
    """
    from airflow.models.crypto import get_fernet
    from sqlalchemy import delete, insert

    column, key, fernet = _table().c, copy_key(conn_id, copy.ledger.generation, copy.turn), get_fernet()
    content = json.dumps(_dump(copy))
    signature = _SIGNER.sign(conn_id, copy.ledger.generation, copy.turn, content)
    values = {
        "key": key,
        "val": fernet.encrypt(json.dumps({"copy": content, "signature": signature}).encode()).decode(),
        "is_encrypted": fernet.is_encrypted,
        "description": f"Safety copy of the tokens of {conn_id}, kept by airflow-provider-lightspeed. Do not edit.",
    }
    # Deleted and inserted, not changed: a key rotation under way would write back what it has loaded.
    for row_id, present, value, is_encrypted in session.execute(
        select_columns("id", "key", "val", "is_encrypted").where(column.key == key)
    ).all():
        if not _opened(conn_id, present, value, None, is_encrypted=is_encrypted):
            session.execute(delete(_table()).where(column.id == row_id))
    session.execute(insert(_table()).values(values | ({"team_name": copy.team} if "team_name" in column else {})))
    _prune(session, conn_id, key)


def _prune(session: Session, conn_id: str, key: str) -> None:
    """Delete the old copies, once they are many. What stands after the newest one is nobody's copy and stays."""
    from sqlalchemy import delete

    column = _table().c
    keys = list(session.scalars(select_columns("key").where(_is_copy(conn_id)).order_by(column.key.desc())))
    old = keys[keys.index(key) :]
    if len(old) > _MOST:
        session.execute(delete(_table()).where(column.key.in_(old[_KEPT:])))


def give_to_team(session: Session, conn_id: str, team: str | None) -> None:
    """Let the team of the connection read its copies, and no other."""
    from sqlalchemy import update

    if "team_name" in _table().c:
        session.execute(update(_table()).where(_is_copy(conn_id)).values(team_name=team))


def _dump(copy: Copy) -> dict[str, Any]:
    return {
        "ledger": dump(copy.ledger),
        "attempts": [at.isoformat() for at in copy.attempts],
        "pause": copy.pause and [copy.pause.at.isoformat(), copy.pause.seconds],
    }


def _opened(conn_id: str, key: str, value: str, team: str | None, *, is_encrypted: bool) -> Copy | None:
    """Return the copy of a row, ``None`` if it is none of ours.

    :raises LightspeedDataError: it is ours, of another version of this package.
    """
    from airflow.models.crypto import get_fernet
    from cryptography.fernet import InvalidToken

    numbers = _KEY_END.fullmatch(key.removeprefix(_prefix(conn_id)))
    if numbers is None:
        return None
    generation, turn = int(numbers[1]), int(numbers[2])
    try:
        sealed = json.loads(get_fernet().decrypt(value.encode()) if is_encrypted else value)
        content, signature = sealed["copy"], sealed["signature"]
    except (InvalidToken, ValueError, KeyError, TypeError, RecursionError):
        return None
    facts = (conn_id, generation, turn, content)
    if not isinstance(content, str) or not _SIGNER.verifies(signature, *facts):
        return None
    data = json.loads(content)
    attempts = tuple(datetime.fromisoformat(at) for at in data["attempts"])
    pause = Pause(datetime.fromisoformat(data["pause"][0]), float(data["pause"][1])) if data["pause"] else None
    return Copy(load(data["ledger"]), turn, attempts, pause, team, is_current=_SIGNER.is_current(signature, *facts))


def _prefix(conn_id: str) -> str:
    return f"{conn_id}{LEDGER_SUFFIX}__"


def _table() -> Any:
    from airflow.models.variable import Variable

    return Variable.__table__


def select_columns(*names: str) -> Any:
    """Select columns of the variables: the ORM object hands its value to Airflow's masker, whose pattern would grow."""
    from sqlalchemy import select

    return select(*(_table().c[name] for name in names))


def _is_copy(conn_id: str) -> Any:
    from sqlalchemy import func

    key, prefix = _table().c.key, _prefix(conn_id)
    # Not LIKE: to SQLite's, upper case is lower case. The length, in the database's own unit, leaves out what people
    # put beside the copies.
    same_length = func.length(key) == func.length(copy_key(conn_id, 0, 0))
    return (func.substr(key, 1, len(prefix)) == prefix) & same_length


def _newest_first(session: Session, conn_id: str) -> Iterator[tuple[str, str, bool, str | None]]:
    """Yield key, value, whether it is encrypted, and team; a few at a time: somebody may have put thousands there."""
    from sqlalchemy import func, literal, select

    column = _table().c
    team = column.team_name if "team_name" in column else literal(None)
    query = (
        select(column.key, column.val, column.is_encrypted, team)
        .where(_is_copy(conn_id), func.length(column.val) <= _LONGEST)
        .order_by(column.key.desc())
        .limit(_AT_A_TIME)
    )
    last: str | None = None
    while True:
        rows = session.execute(query if last is None else query.where(column.key < last)).all()
        yield from rows
        if len(rows) < _AT_A_TIME:
            return
        last = rows[-1][0]
