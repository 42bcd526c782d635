"""Makes a Lightspeed connection in the metadata database, as Airflow's own form does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_lightspeed.auth.scopes import checked
from airflow_provider_lightspeed.compat import new_session
from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.provider_info import CONNECTION_TYPE
from airflow_provider_lightspeed.redact import Secret, sealed
from airflow_provider_lightspeed.settings import CONN_ID, LONGEST_ID, read_settings
from airflow_provider_lightspeed.tokens import journal
from airflow_provider_lightspeed.tokens.copies import LEDGER_SUFFIX
from airflow_provider_lightspeed.tokens.home import host_policy


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
    def read(cls, filled: Mapping[str, str], scope: tuple[str, ...]) -> NewConnection:
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
            password=filled.get("client_secret"),
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
def create(new: NewConnection, user: str) -> None:
    """Store the connection.

    :param user: who made it, for the event log.
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
        if session.scalar(select(Connection.id).where(Connection.conn_id == new.conn_id)) is not None:
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
        session.add(row)
        session.commit()
    except IntegrityError:
        raise taken from None
    finally:
        session.close()
    journal.note(journal.CREATED, new.conn_id, user)
