"""Makes a Lightspeed connection in the metadata database, as Airflow's own form does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_lightspeed.auth.scopes import checked
from airflow_provider_lightspeed.compat import new_session
from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.provider_info import CONNECTION_TYPE
from airflow_provider_lightspeed.redact import Secret, sealed
from airflow_provider_lightspeed.settings import CONN_ID, LONGEST_ID, read_settings
from airflow_provider_lightspeed.tokens import journal
from airflow_provider_lightspeed.tokens.copies import LEDGER_SUFFIX
from airflow_provider_lightspeed.tokens.home import host_policy

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def is_addressable(conn_id: str) -> bool:
    """Tell whether a connection's ID is one and the same at the end of a path, whoever passes it on.

    Browsers resolve ``.`` and ``..``, proxies also merge slashes: the buttons of a connection named
    ``../disconnect/shop`` would disconnect ``shop``.
    """
    return not {"", ".", ".."} & set(re.split(r"[/\\]", conn_id))


@dataclass(frozen=True, slots=True)
class NewConnection:
    """What a person typed into the form, checked.

    :param scope: what the consent will ask for.
    :param team: the team that the connection belongs to, ``None`` for every team. Who may create in it is the caller's
        to check.
    """

    conn_id: str
    client_id: str
    client_secret: Secret
    scope: tuple[str, ...]
    host: str = ""
    auth_url: str = ""
    team: str | None = None

    @classmethod
    @sealed
    def read(cls, filled: Mapping[str, str], client_secret: Secret, scope: tuple[str, ...]) -> NewConnection:
        """Check the fields of the form.

        :raises LightspeedError: names the field, what was found and what is allowed.
        """
        conn_id = filled.get("conn_id", "")
        if not CONN_ID.fullmatch(conn_id):
            msg = (
                f"connection ID: {conn_id!r} found; allowed are letters, digits and _ # ! ( ) - . : / \\, at least one, at "
                f"most {LONGEST_ID}"
            )
            raise InvalidArgument(msg, field="conn_id", found=conn_id, allowed=())
        if conn_id.endswith(LEDGER_SUFFIX):
            msg = f"connection ID: {conn_id!r} found; names that end in {LEDGER_SUFFIX} are kept for tokens"
            raise InvalidArgument(msg, field="conn_id", found=conn_id, allowed=())
        if not is_addressable(conn_id):
            msg = f"connection ID: {conn_id!r} found; between slashes there must be something, and not . or .."
            raise InvalidArgument(msg, field="conn_id", found=conn_id, allowed=())
        extra = {"auth_url": filled.get("auth_url", ""), "scope": " ".join(checked(scope))}
        settings = read_settings(
            conn_id,
            login=filled.get("client_id"),
            password=client_secret.reveal(),
            host=filled.get("host"),
            extra=extra,
            policy=host_policy(),
        )
        return cls(
            conn_id,
            settings.client_id,
            settings.client_secret,
            settings.scope,
            filled.get("host", ""),
            filled.get("auth_url", ""),
            filled.get("team") or None,
        )


@sealed
def create(new: NewConnection, user: str, *, may_replace: bool = False) -> None:
    """Store the connection.

    :param user: who made it, for the event log.
    :param may_replace: the user may edit a connection of this ID. One that was encrypted with a Fernet key that is lost is
        filled in anew then: Airflow itself can neither show, change nor delete such a row.
    :raises InvalidArgument: there is a connection of this ID.
    """
    from airflow.models.connection import Connection
    from sqlalchemy import select
    from sqlalchemy.exc import IntegrityError

    extra = {"auth_url": new.auth_url, "scope": " ".join(new.scope)}
    team: dict[str, Any] = {"team_name": new.team} if new.team else {}  # Airflow 2 has no such field
    taken = InvalidArgument(
        f"connection ID: there is a connection {new.conn_id!r} already; choose another ID, or connect that one",
        field="conn_id",
        found=new.conn_id,
        allowed=(),
    )
    session = new_session()
    try:
        table = Connection.__table__
        present = session.execute(select(table).where(table.c.conn_id == new.conn_id)).mappings().first()
        if present is not None and not (may_replace and _is_lost(present)):
            raise taken
        row = Connection(
            conn_id=new.conn_id,
            conn_type=CONNECTION_TYPE,
            login=new.client_id,
            password=new.client_secret.reveal(),
            host=new.host or None,
            extra=json.dumps({key: value for key, value in extra.items() if value}),
            **team,
        )
        if present is None:
            session.add(row)
        else:
            _replace(session, present["id"], row)
        session.commit()
    except IntegrityError:
        raise taken from None
    finally:
        session.close()
    journal.note(journal.CREATED, new.conn_id, user)


def _is_lost(row: Any) -> bool:
    """Tell whether a row of ours was encrypted with a key that this deployment does not have (any more)."""
    from airflow.models.crypto import get_fernet
    from cryptography.fernet import InvalidToken

    secrets = ((row["password"], row["is_encrypted"]), (row["extra"], row["is_extra_encrypted"]))
    try:
        for secret, is_encrypted in secrets:
            if secret and is_encrypted:
                get_fernet().decrypt(secret.encode())
    except InvalidToken:
        return bool(row["conn_type"] == CONNECTION_TYPE)
    return False


def _replace(session: Session, row_id: int, row: Any) -> None:
    """Fill a row in anew, by column: it cannot be loaded."""
    from sqlalchemy import update

    table = type(row).__table__
    names = ("login", "host", "port", "is_encrypted", "is_extra_encrypted")
    values = {name: getattr(row, name) for name in names}
    values |= {"password": row._password, "extra": row._extra}  # noqa: SLF001 - encrypted, as they are stored
    session.execute(update(table).where(table.c.id == row_id).values(values))
