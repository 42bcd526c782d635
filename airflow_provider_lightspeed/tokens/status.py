"""The state of every Lightspeed connection, for people: no secret in it."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from datetime import datetime

from airflow_provider_lightspeed.auth.ledger import Account, Ledger
from airflow_provider_lightspeed.auth.step import inherits, is_moved, owns, server_time
from airflow_provider_lightspeed.compat import new_session
from airflow_provider_lightspeed.exceptions import LightspeedError
from airflow_provider_lightspeed.provider_info import CONNECTION_TYPE
from airflow_provider_lightspeed.redact import Secret, describe_fault, sealed
from airflow_provider_lightspeed.tokens.companion import LEDGER_TYPES, ledger_id
from airflow_provider_lightspeed.tokens.copies import LEDGER_SUFFIX
from airflow_provider_lightspeed.tokens.home import Stored, team_of
from airflow_provider_lightspeed.tokens.journal import LAPSE_WARNING
from airflow_provider_lightspeed.tokens.sharing import holder
from airflow_provider_lightspeed.tokens.store import Snapshot, peek

log = logging.getLogger(__name__)

_PREFIX = "AIRFLOW_CONN_"
_WHAT_HELPS = (
    "If Airflow's Fernet key was replaced without a rotation, put the old key behind the new one ([core] fernet_key = "
    "new,old). If it is lost, connect, or put in a new refresh token: only Lightspeed can give new tokens"
)


@dataclass(frozen=True, slots=True)
class Status:
    """One connection's state.

    :param source: where Airflow reads the connection: metadata database, environment variable, or a secrets backend.
    :param token: ``fresh``, ``stale``, ``expired``, or ``none`` before the first refresh.
    :param bucket: the leaky bucket as last seen, if it was.
    :param is_foreign: the tokens belong to another deployment.
    :param attention: what a person should do something about, empty if nothing.
    """

    conn_id: str
    source: str = ""
    team: str | None = None
    client_id: str = ""
    auth_url: str = ""
    account_id: str = ""
    account_name: str = ""
    scope: str = ""
    token: str = "none"  # noqa: S105 - a state
    expires_at: datetime | None = None
    refreshed_at: datetime | None = None
    refreshed_by: str = ""
    lapses_at: datetime | None = None
    generation: int = 0
    bucket: Account = field(default_factory=Account)
    is_foreign: bool = False
    attention: tuple[str, ...] = ()


def connection_ids() -> list[str]:
    """Return the IDs of all Lightspeed connections that can be listed.

    Rows of the metadata database, environment variables, and connections of a secrets backend that were ever refreshed;
    a secrets backend itself cannot be listed.
    """
    from airflow.models.connection import Connection
    from sqlalchemy import select

    session = new_session()
    try:
        kinds = (CONNECTION_TYPE, *LEDGER_TYPES)
        rows = session.execute(
            select(Connection.conn_id, Connection.conn_type).where(Connection.conn_type.in_(kinds))
        ).all()
    finally:
        session.close()
    found = {conn_id.removesuffix(LEDGER_SUFFIX) if kind in LEDGER_TYPES else conn_id for conn_id, kind in rows}
    known = {conn_id.upper() for conn_id in found}
    for name, value in os.environ.items():
        looks = value.startswith(f"{CONNECTION_TYPE}:") or f'"{CONNECTION_TYPE}"' in value.replace(" ", "")
        if name.startswith(_PREFIX) and looks and name.removeprefix(_PREFIX) not in known:
            found.add(name.removeprefix(_PREFIX).lower())
    return sorted(found)


@sealed
def status(conn_id: str) -> Status:
    """Return one connection's state. A connection that cannot be read has the reason as its state; nothing is raised."""
    try:
        return _status(conn_id)
    except LightspeedError as error:
        return Status(conn_id, team=_team(conn_id), attention=(str(error),))
    except Exception as error:  # noqa: BLE001 - one bad connection must not hide the others
        return Status(conn_id, team=_team(conn_id), attention=(report_fault(conn_id, error),))


def report_fault(conn_id: str, error: Exception) -> str:
    """Log an unexpected error without its text, which may quote a secret. Return a sentence for people."""
    log.error("connection %r: unexpected error: %s", conn_id, describe_fault(error))
    return f"unexpected error ({type(error).__name__}); the log of this process says where. Please report it"


def _status(conn_id: str) -> Status:
    found = peek(conn_id)
    if found.stored is None:
        left = "the connection is gone; its tokens are left over"
        words = left if found.ledger.generation else "there is no such connection"
        return Status(conn_id, team=_team(conn_id), attention=(words,))
    if found.stored.kind != CONNECTION_TYPE:
        return Status(
            conn_id, team=found.stored.team, attention=(f"of type {found.stored.kind}, not {CONNECTION_TYPE}",)
        )
    ledger, settings = found.ledger, found.stored.settings
    now = server_time(ledger, found.now)
    token = ledger.token
    return Status(
        conn_id,
        source=found.stored.source,
        team=found.stored.team,
        client_id=settings.client_id,
        auth_url=settings.auth_url,
        account_name=ledger.account.name,
        account_id=(token and token.account_id) or settings.account_id or "",
        scope=" ".join((token and token.scope) or settings.scope),
        token=token.state(now).value if token else "none",
        expires_at=token.expires_at if token else None,
        refreshed_at=ledger.refreshed_at,
        refreshed_by=ledger.refreshed_by,
        lapses_at=ledger.lapses_at,
        generation=ledger.generation,
        bucket=ledger.account,
        is_foreign=not owns(ledger, found.stored.place),
        attention=tuple(_attention(found, found.stored, ledger, now)),
    )


def _team(conn_id: str) -> str | None:
    """Return the team of what cannot be read, or is only left over: its ID is no business of other teams either."""
    return team_of(conn_id) or team_of(ledger_id(conn_id))


def _attention(found: Snapshot, stored: Stored, ledger: Ledger, now: datetime) -> list[str]:
    settings = stored.settings
    remarks = _grant_remarks(found, stored, ledger)
    if is_moved(ledger, settings) and not ledger.is_news(settings.refresh_token):
        remarks.append("host, auth_url or client ID changed since the tokens were issued: reconnect")
    if not inherits(ledger, settings, stored.place):
        remarks.append("created anew since the tokens were issued: reconnect")
    if not owns(ledger, stored.place):
        remarks.append(f"tokens belong to deployment {ledger.owner!r}: take over or reconnect")
    if ledger.lapses_at and ledger.lapses_at - now < LAPSE_WARNING:
        days = (ledger.lapses_at - now).days
        remarks.append("the grant has lapsed" if days < 0 else f"the grant lapses in {days} days: refresh")
    if stored.shadowed:
        remarks.append(f"a row of this ID in the metadata database is not used: the {stored.source} comes first")
    if found.rolled_back:
        remarks.append("the companion connection was overwritten with an older one; the next refresh puts it right")
    return remarks


def _grant_remarks(found: Snapshot, stored: Stored, ledger: Ledger) -> list[str]:
    """Return why the connection has no grant that it could spend."""
    settings = stored.settings
    remarks = [f"its tokens are lost: {found.fault}. {_WHAT_HELPS}"] if found.fault else []
    if ledger.is_disconnected(settings):
        remarks.append(f"disconnected by {ledger.refreshed_by}: connect")
    elif ledger.failure and ledger.failed_with == ledger.identity(settings):
        remarks.append(f"Lightspeed said {ledger.failure.value}: correct the connection or reconnect")
    elif not settings.refresh_token and not ledger.token:
        remarks.append("no refresh token: connect")
    other = _holder(stored) if ledger.is_news(settings.refresh_token) else ""
    if other:
        remarks.append(f"its refresh token is of the grant that {other} uses: use that one, or connect this one")
    return remarks


def _holder(stored: Stored) -> str:
    session = new_session()
    try:
        return holder(session, stored)
    finally:
        session.close()


def partners(conn_id: str) -> list[str]:
    """Return the IDs of the other connections that spend the same grant: what ends it here ends it there."""
    ours = peek(conn_id)
    return [other_id for other_id in connection_ids() if other_id != conn_id and _is_partner(ours, other_id)]


def _is_partner(ours: Snapshot, other_id: str) -> bool:
    try:
        other = peek(other_id)
        if ours.stored is None or other.stored is None:
            return False
        same_client = other.stored.settings.destination[1:] == ours.stored.settings.destination[1:]
        return same_client and _share(ours, other)
    except LightspeedError:
        return False
    except Exception as error:  # noqa: BLE001 - one bad connection must not hide the others
        report_fault(other_id, error)
        return False


def _share(ours: Snapshot, other: Snapshot) -> bool:
    def held(snapshot: Snapshot) -> Secret:
        return snapshot.stored.settings.refresh_token if snapshot.stored else Secret("")

    known = ours.ledger.knows(held(other)) or other.ledger.knows(held(ours))
    same = bool(held(ours)) and held(ours) == held(other)
    return known or same or ours.ledger.shares_grant_with(other.ledger)
