"""``test_connection``: says whether the stored grant works, and never spends a refresh token that it could not save.

Airflow tests a form before it is saved, under a random connection ID (the *Test* button), or a copy of it on a worker
(``enqueue-test``). A refresh there would end the grant: its successor would go nowhere. So the copy is traced back to the
stored connection by its refresh token, and that one is tested, with the locked refresh; a copy that belongs to no stored
connection is only looked at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from airflow_provider_lightspeed.auth.ledger import Account
from airflow_provider_lightspeed.compat import AirflowNotFoundException, database_is_reachable
from airflow_provider_lightspeed.exceptions import (
    LightspeedAuthError,
    LightspeedError,
    LightspeedRetriableError,
    ReconnectRequired,
    Unreachable,
)
from airflow_provider_lightspeed.provider_info import CONNECTION_TYPE
from airflow_provider_lightspeed.redact import sealed
from airflow_provider_lightspeed.settings import ConnectionSettings
from airflow_provider_lightspeed.tokens.source import DatabaseDesk, Desk, LedgerTokenSource, TaskDesk
from airflow_provider_lightspeed.tokens.status import connection_ids, report_fault
from airflow_provider_lightspeed.tokens.store import locked_ledger, peek

#: Seconds that a test waits for a token, and for what it reads: a person waits for the answer.
PATIENCE: Final = 15.0
_SAVE_FIRST = (
    "the form is complete, but its refresh token is not stored yet, and a test would spend it without being able to keep "
    "the next one. Save the connection, then test it again"
)


@sealed
def probe(conn_id: str) -> tuple[bool, str]:
    """Return success and a sentence for the person who tests."""
    try:
        desk = _desk(conn_id)
        source = _source(desk)
        return True, _account(desk, source.view().settings, source)
    except (LightspeedError, AirflowNotFoundException) as error:
        return False, str(error)
    except Exception as error:  # noqa: BLE001 - a person asked, and gets a sentence
        return False, report_fault(conn_id, error)


def _source(desk: Desk) -> LedgerTokenSource:
    # No masking: in an API server the masker's pattern would grow with every rotation.
    return LedgerTokenSource(desk, mask=lambda _: None, patience=PATIENCE)


def _desk(conn_id: str) -> Desk:
    if not database_is_reachable():
        desk = TaskDesk(conn_id)
        view = _source(desk).view()
        if view.fault:
            raise Unreachable(view.fault, conn_id=conn_id)
        if view.ledger.token is None:
            msg = f"connection {conn_id!r}: no token is stored that this process can read. {_SAVE_FIRST}"
            raise ReconnectRequired(msg, conn_id=conn_id)
        return desk
    found = peek(conn_id)
    if found.stored is None:
        msg = f"the conn_id {conn_id!r} isn't defined"
        raise LightspeedAuthError(msg, conn_id=conn_id)
    if found.stored.kind != CONNECTION_TYPE:  # its refresh token is for somebody else
        msg = f"connection {conn_id!r} is of type {found.stored.kind}, not {CONNECTION_TYPE}"
        raise LightspeedAuthError(msg, conn_id=conn_id)
    copy = found.stored.settings
    if not copy.refresh_token and not found.ledger.token:
        msg = "there is no refresh token: connect the account (give consent at Lightspeed) and put the token in"
        raise ReconnectRequired(msg, conn_id=conn_id)
    for stored_id in [conn_id, *connection_ids()]:
        if _is_home(stored_id, copy, is_named=stored_id == conn_id):
            return DatabaseDesk(stored_id)
    raise ReconnectRequired(_SAVE_FIRST, conn_id=conn_id)


def _is_home(conn_id: str, copy: ConnectionSettings, *, is_named: bool) -> bool:
    """Tell whether this stored connection is the one that the copy was made of.

    :param is_named: the copy bears its ID: an environment variable of that name may be the copy itself, so only a
        ledger that knows its token makes it a stored one.
    """
    try:
        return _is_same(conn_id, copy, is_named=is_named)
    except LightspeedError:
        return False
    except Exception as error:  # noqa: BLE001 - a bad connection keeps no other from being tested
        report_fault(conn_id, error)
        return False


def _is_same(conn_id: str, copy: ConnectionSettings, *, is_named: bool) -> bool:
    found = peek(conn_id)
    stored = found.stored
    if stored is None or stored.settings.destination != copy.destination:
        return False
    if found.ledger.knows(copy.refresh_token):
        return True
    if stored.origin.startswith("row:"):
        return stored.settings.refresh_token == copy.refresh_token
    return is_named and found.ledger.token is not None and not copy.refresh_token


def _account(desk: Desk, settings: ConnectionSettings, source: LedgerTokenSource) -> str:
    from airflow_provider_lightspeed.client.rest import RSeriesClient
    from airflow_provider_lightspeed.client.transport import RequestsTransport

    client = RSeriesClient(
        host=settings.host, tokens=source, transport=RequestsTransport(), account_id=settings.account_id
    )
    account = client.get("/Account").get("Account")
    name = str(account.get("name") or "") if isinstance(account, Mapping) else ""
    if isinstance(desk, DatabaseDesk):
        bucket = client.bucket()
        _write_down(settings.conn_id, Account(name, bucket.level, bucket.size, bucket.drip, client.server_now()))
    return f"Connected to {name or 'the account'} (account {client.account_id})"


def _write_down(conn_id: str, account: Account) -> None:
    """Keep what was seen for the page; while somebody refreshes, or the database fails, the account is no less good."""
    with suppress(LightspeedRetriableError), locked_ledger(conn_id) as locked:
        found = locked.read()
        if found.stored is not None and found.ledger.token:
            ledger = dataclasses.replace(found.ledger, account=account)
            locked.save(ledger, found.stored, expected=ledger.generation)
