"""The companion connection that holds a ledger where tasks can read it. Tools and people may have changed it.

It is read and written by column: an ORM row that cannot be decrypted cannot even be loaded, and one that can hands its
values to Airflow's log masker, whose pattern would grow with every rotation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_lightspeed.auth.codec import Fields, dump, load
from airflow_provider_lightspeed.auth.ledger import Ledger
from airflow_provider_lightspeed.exceptions import LightspeedDataError
from airflow_provider_lightspeed.tokens.copies import LEDGER_SUFFIX

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: Airflow makes a URI of a connection whenever it hands one out, and warns of an underscore in the scheme (RFC 3986).
LEDGER_TYPE: Final = "lightspeed-tokens"
#: Also the type that Airflow makes of it when it reads such a URI.
LEDGER_TYPES: Final = (LEDGER_TYPE, "lightspeed_tokens")
_ANOTHER_KEY: Final = "it is encrypted with another Fernet key"


def ledger_id(conn_id: str) -> str:
    """Return the ID of the companion connection that holds the ledger."""
    return conn_id + LEDGER_SUFFIX


@dataclass(frozen=True, slots=True)
class Companion:
    """A companion connection as it is stored.

    :param turn: the turn within the ledger's generation (``tokens.copies``).
    :param team: the team that may read it, ``None`` if every team may.
    :param fault: why its ledger cannot be read, empty if it can; nothing secret.
    """

    ledger: Ledger
    turn: int
    team: str | None
    fault: str = ""

    @property
    def is_sealed(self) -> bool:
        """Whether another Fernet key may still open it."""
        return self.fault == _ANOTHER_KEY


def read(session: Session, conn_id: str, *, lock: bool = False, nowait: bool = False) -> Companion | None:
    """Return a connection's companion as it is now, if asked with its row lock; ``None`` if there is none.

    :raises LightspeedDataError: the database takes this connection's ID and another's for the same.
    """
    from sqlalchemy import select

    table = _table()
    query = select(table).where(table.c.conn_id == ledger_id(conn_id))
    row = session.execute(query.with_for_update(nowait=nowait) if lock else query).mappings().first()
    if row is None:
        return None
    if row["conn_id"] != ledger_id(conn_id):
        other = row["conn_id"].removesuffix(LEDGER_SUFFIX)
        msg = (
            f"connection {conn_id!r}: the metadata database takes its ID and {other!r} for the same, because its collation "
            "ignores case or accents. Give one of the two another ID"
        )
        raise LightspeedDataError(msg, conn_id=conn_id, found=other)
    return opened(row)


def others(session: Session, conn_id: str) -> Iterator[tuple[str, Any]]:
    """Yield the IDs of all other connections that have a companion, each with its row as it is stored."""
    from sqlalchemy import select

    table = _table()
    query = select(table).where(table.c.conn_type.in_(LEDGER_TYPES), table.c.conn_id != ledger_id(conn_id))
    for row in session.execute(query.execution_options(yield_per=50)).mappings():
        yield row["conn_id"].removesuffix(LEDGER_SUFFIX), row


def opened(row: Any) -> Companion:
    """Return what a row holds, or why it cannot be read."""
    team = row.get("team_name")
    try:
        ledger, turn = _opened(row)
    except LightspeedDataError as error:
        return Companion(Ledger(), 0, team, fault=error.message)
    return Companion(ledger, turn, team)


def add(session: Session, conn_id: str, team: str | None) -> Companion:
    """Insert an empty companion.

    :raises sqlalchemy.exc.IntegrityError: there is one.
    """
    from sqlalchemy import insert

    about = f"Tokens of {conn_id}, kept by airflow-provider-lightspeed. Do not edit."
    fields = _fields(team) | {"conn_id": ledger_id(conn_id), "description": about, "is_extra_encrypted": False}
    session.execute(insert(_table()).values(fields))
    return Companion(Ledger(), 0, team)


def write(session: Session, conn_id: str, ledger: Ledger, turn: int, team: str | None) -> None:
    """Write a ledger into the companion, whatever it holds."""
    from airflow.models.crypto import get_fernet
    from sqlalchemy import update

    fernet, table = get_fernet(), _table()
    extra = fernet.encrypt(json.dumps({**dump(ledger), "turn": turn}).encode()).decode()
    fields = _fields(team) | {"extra": extra, "is_extra_encrypted": fernet.is_encrypted}
    session.execute(update(table).where(table.c.conn_id == ledger_id(conn_id)).values(fields))


def _table() -> Any:
    from airflow.models.connection import Connection

    return Connection.__table__


def _fields(team: str | None) -> dict[str, Any]:
    """Return what every companion has, whatever a tool has made of it."""
    fields: dict[str, Any] = {"conn_type": LEDGER_TYPE, "password": None, "is_encrypted": False}
    return fields | ({"team_name": team} if "team_name" in _table().c else {})


def _opened(row: Any) -> tuple[Ledger, int]:
    from airflow.models.crypto import get_fernet
    from cryptography.fernet import InvalidToken

    try:
        if row["password"] and row["is_encrypted"]:  # Airflow decrypts it whenever it loads the row
            get_fernet().decrypt(row["password"].encode())
        extra = row["extra"] or "{}"
        data = json.loads(get_fernet().decrypt(extra.encode()) if row["is_extra_encrypted"] else extra)
        turn = Fields.of("token ledger", data).count("turn") if "turn" in data else 0
        return load(data), turn
    except InvalidToken:
        raise LightspeedDataError(_ANOTHER_KEY) from None
    except (ValueError, TypeError, RecursionError):
        msg = "it is no JSON object"
        raise LightspeedDataError(msg) from None
