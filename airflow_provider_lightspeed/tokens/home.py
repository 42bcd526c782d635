"""Where a connection lives, seen from a process that reaches the metadata database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_lightspeed.auth.ledger import Place
from airflow_provider_lightspeed.compat import conf, deployment, new_session, secrets_backends
from airflow_provider_lightspeed.exceptions import InvalidArgument, LightspeedDataError, LightspeedRetriableError
from airflow_provider_lightspeed.provider_info import CONNECTION_TYPE
from airflow_provider_lightspeed.settings import ConnectionSettings, HostPolicy, read_settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

EXTERNAL: Final = "external"
_ENVIRONMENT: Final = "EnvironmentVariablesBackend"
#: In Airflow's error for a value that is encrypted while there is no Fernet key.
_NO_KEY: Final = "FERNET_KEY"


def host_policy() -> HostPolicy:
    """Return ``[lightspeed] allowed_hosts``."""
    return HostPolicy.parse(conf.get("lightspeed", "allowed_hosts", fallback=None))


def settings_of(connection: Any) -> ConnectionSettings:
    """Read a connection object of Airflow (ORM row or Task SDK) without handing its values to any masker.

    :raises MissingCredentials: client ID or client secret is absent.
    :raises InvalidArgument: a field is wrong; see :func:`~airflow_provider_lightspeed.settings.read_settings`.
    :raises LightspeedDataError: Airflow cannot read the password; it was encrypted with another Fernet key.
    """
    conn_id = connection.conn_id
    extra = _extra_of(connection)
    try:
        password = connection.password
    except ValueError as error:  # Airflow's word for a missing Fernet key
        raise _unreadable(conn_id, "password", error) from error
    return read_settings(
        conn_id,
        login=connection.login,
        password=password,
        host=connection.host,
        port=connection.port,
        extra={key: value for key, value in extra.items() if value not in (None, "")},
        policy=host_policy(),
    )


def _extra_of(connection: Any) -> Mapping[str, Any]:
    """Return the extra as an object. Airflow checks that too, where it reads a row, with errors of its own."""
    try:
        raw = connection.extra
        found = (json.loads(raw) or {}) if raw else {}  # null means absent
    except (ValueError, RecursionError) as error:  # not JSON, nested without end, or a number of thousands of digits
        if _NO_KEY in str(error):
            raise _unreadable(connection.conn_id, "extra", error) from error
        found = None
    if not isinstance(found, dict):
        # What stands there may be a secret.
        msg = (
            f'connection {connection.conn_id!r}, extra: it is no JSON object; write it like {{"refresh_token": "..."}}, or '
            "clear it"
        )
        raise InvalidArgument(msg, field="extra", found="something else", allowed=("a JSON object",))
    return found


def _unreadable(conn_id: str, field: str, error: Exception) -> LightspeedDataError:
    msg = f"connection {conn_id!r}, {field}: it cannot be read ({type(error).__name__}); check Airflow's Fernet key"
    return LightspeedDataError(msg, conn_id=conn_id)


@dataclass(frozen=True, slots=True)
class Stored:
    """A user's connection as found now.

    :param origin: ``row:ID`` in the metadata database, or ``external``: nobody can write to an environment variable or
        a secrets backend.
    :param source: the same in words, for people.
    :param shadowed: there is a row as well, which Airflow does not look at.
    :param kind: its connection type. A task may use another type's connection; nobody connects an account with one.
    """

    settings: ConnectionSettings
    origin: str
    source: str = "metadata database"
    shadowed: bool = False
    team: str | None = None
    kind: str = CONNECTION_TYPE

    @property
    def place(self) -> Place:
        """Return where a ledger of this connection is used."""
        return Place(self.origin, deployment())


def of_row(row: Any) -> Stored:
    """Return the connection that a row of the metadata database holds.

    :raises InvalidArgument: a field of it is wrong.
    :raises MissingCredentials: client ID or client secret is absent.
    """
    team = getattr(row, "team_name", None)
    return Stored(settings_of(row), f"row:{row.id}", team=team, kind=row.conn_type)


def select_row(session: Session, conn_id: str, *, lock: bool = False, nowait: bool = False) -> Any | None:
    """Return a connection's row as it is now, if asked with its row lock."""
    from airflow.models.connection import Connection
    from sqlalchemy import select

    # A plain second select answers from the session's identity map, with what the row said before.
    query = select(Connection).where(Connection.conn_id == conn_id).execution_options(populate_existing=True)
    return session.scalar(query.with_for_update(nowait=nowait) if lock else query)


def home_id(session: Session, conn_id: str) -> str:
    """Return the ID that a connection's ledger goes by, for all spellings that Airflow takes for that connection.

    Airflow looks environment variables up in upper case; ``connection_ids`` lists them in lower case. On MySQL, the
    collation of IDs ignores case: the row says how it is spelled.
    """
    from airflow.secrets.environment_variables import EnvironmentVariablesBackend

    if EnvironmentVariablesBackend().get_conn_value(conn_id=conn_id) is not None:
        return conn_id.upper().lower()
    if session.get_bind().dialect.name != "mysql":
        return conn_id
    from airflow.models.connection import Connection
    from sqlalchemy import select

    spelled: str | None = session.scalar(select(Connection.conn_id).where(Connection.conn_id == conn_id))
    return spelled or conn_id


def team_of(conn_id: str) -> str | None:
    """Return the team that a stored connection belongs to, ``None`` without one or in a deployment without teams."""
    from sqlalchemy import select

    if not conf.getboolean("core", "multi_team", fallback=False):
        return None
    from airflow.models.connection import Connection

    session = new_session()
    try:
        team: str | None = session.scalar(select(Connection.team_name).where(Connection.conn_id == conn_id))
        return team
    finally:
        session.close()


def team_names() -> list[str]:
    """Return the teams of this deployment, none in one without teams."""
    from sqlalchemy import select

    if not conf.getboolean("core", "multi_team", fallback=False):
        return []
    from airflow.models.team import Team

    session = new_session()
    try:
        return sorted(session.scalars(select(Team.name)))
    finally:
        session.close()


def find(session: Session, conn_id: str) -> Stored | None:
    """Return the connection as Airflow would resolve it: secrets backends first, then the metadata database.

    :raises LightspeedRetriableError: a secrets backend does not answer. To go on to the next home would be to take
        another connection for this one.
    :raises LightspeedDataError: the connection's environment variable cannot be read.
    """
    row = select_row(session, conn_id)
    team = getattr(row, "team_name", None)
    for backend in secrets_backends():
        kind = type(backend).__name__
        try:
            connection = backend.get_connection(conn_id=conn_id)
        except Exception as error:  # noqa: BLE001 - whatever a third party's backend raises
            if kind == _ENVIRONMENT:
                msg = (
                    f"connection {conn_id!r}: Airflow cannot read its environment variable ({type(error).__name__}); it "
                    "takes a URI or a JSON object"
                )
                raise LightspeedDataError(msg, conn_id=conn_id) from None
            msg = f"connection {conn_id!r}: secrets backend {kind} failed ({type(error).__name__})"
            raise LightspeedRetriableError(msg, conn_id=conn_id) from None
        if connection is not None:
            source = "environment variable" if kind == _ENVIRONMENT else kind
            settings, kind = settings_of(connection), str(connection.conn_type)
            return Stored(settings, EXTERNAL, source, shadowed=row is not None, team=team, kind=kind)
    return of_row(row) if row is not None else None
