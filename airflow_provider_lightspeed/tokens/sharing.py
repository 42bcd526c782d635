"""Finds the other connection that holds a grant: two ledgers on one grant end each other's tokens.

A refresh token that this connection's ledger does not know may have been put in by a person, or copied with the whole
connection. So the ledgers of all other connections are asked before it is spent.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from airflow_provider_lightspeed.auth.ledger import Ledger, short
from airflow_provider_lightspeed.exceptions import LightspeedError
from airflow_provider_lightspeed.tokens import companion
from airflow_provider_lightspeed.tokens.home import Stored, find

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: Authorization server, client ID, and the fingerprints of each ledger, by the hash of what is stored: decrypting 500
#: ledgers takes a while, and they change once an hour.
_Known = tuple[tuple[str, ...], str]
_known: dict[bytes, _Known] = {}
_NOBODY: Final[_Known] = ((), "")


def holder(session: Session, stored: Stored) -> str:
    """Return which other connection's ledger knows this connection's refresh token, in words; empty if none does.

    Ledgers of connections that are gone do not count: a renamed connection goes on with its grant.
    """
    settings = stored.settings
    if not settings.refresh_token:
        return ""
    mark = short(settings.refresh_token)
    for other_id, (client, marks) in _ledgers(session, settings.conn_id).items():
        if mark in marks and client == settings.destination[1:]:
            found = _named(session, other_id, stored)
            if found:
                return found
    return ""


def _ledgers(session: Session, conn_id: str) -> dict[str, _Known]:
    global _known  # noqa: PLW0603 - replaced as a whole, so that what is no longer stored goes
    found, known = {}, {}
    for other_id, row in companion.others(session, conn_id):
        digest = hashlib.sha256(str(row["extra"]).encode(errors="replace")).digest()
        known[digest] = _known.get(digest) or _marks(companion.opened(row).ledger)
        found[other_id] = known[digest]
    _known = known
    return found


def _marks(ledger: Ledger) -> _Known:
    return (ledger.destination[1:], " ".join((*ledger.seeds, *ledger.rotated))) if ledger.destination else _NOBODY


def _named(session: Session, other_id: str, stored: Stored) -> str:
    """Return the other connection in words, empty if it is gone; its ID is no business of other teams."""
    try:
        other = find(session, other_id)
    except LightspeedError:  # it is there, and cannot be read
        other = stored
    if other is None:
        return ""
    return f"connection {other_id!r}" if other.team in (None, stored.team) else "a connection of another team"
