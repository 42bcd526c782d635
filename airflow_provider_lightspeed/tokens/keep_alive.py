"""Keeping a quiet connection's grant alive: unused for 30 days, a refresh token dies (docs: refresh-token)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from airflow_provider_lightspeed.redact import sealed
from airflow_provider_lightspeed.tokens.source import LedgerTokenSource, desk_for


@dataclass(frozen=True, slots=True)
class Kept:
    """A grant that is alive; nothing secret in it, so a task may return it.

    :param expires_at: end of the access token; aware UTC.
    :param lapses_at: when the grant dies if nothing is refreshed until then.
    """

    generation: int
    expires_at: datetime
    lapses_at: datetime | None


@sealed
def keep_alive(conn_id: str) -> Kept:
    """Make sure that the connection has a fresh access token; if it has one, nothing is sent.

    :raises LightspeedAuthError: a person is needed.
    :raises LightspeedRetriableError: no fresh token within five minutes.
    """
    source = LedgerTokenSource(desk_for(conn_id))
    token = source.token()
    ledger = source.view().ledger
    return Kept(ledger.generation, token.expires_at, ledger.lapses_at)
