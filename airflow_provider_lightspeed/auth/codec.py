"""The ledger as JSON, for the encrypted column that keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from airflow_provider_lightspeed.auth.ledger import Account, Failure, Ledger
from airflow_provider_lightspeed.auth.token import Token
from airflow_provider_lightspeed.exceptions import LightspeedDataError
from airflow_provider_lightspeed.redact import Secret

VERSION: Final = 1


def dump(ledger: Ledger) -> dict[str, Any]:
    """Return the ledger as JSON-able data **with its secrets in clear**, for the encrypted column only."""
    return {
        "version": VERSION,
        "generation": ledger.generation,
        "token": ledger.token and dump_token(ledger.token),
        "predecessor_token": ledger.predecessor.reveal() if ledger.predecessor else None,
        "sibling_tokens": [sibling.reveal() for sibling in ledger.siblings],
        "seeds": " ".join(ledger.seeds),
        "rotated": " ".join(ledger.rotated),
        "failure": ledger.failure and ledger.failure.value,
        "failed_with": ledger.failed_with,
        "dead": " ".join(ledger.dead),
        "destination": ledger.destination and list(ledger.destination),
        "origin": ledger.origin,
        "owner": ledger.owner,
        "refreshed_at": ledger.refreshed_at and ledger.refreshed_at.isoformat(),
        "refreshed_by": ledger.refreshed_by,
        "ahead": ledger.ahead,
        "unchanged": ledger.unchanged,
        "account": {
            "name": ledger.account.name,
            "level": ledger.account.level,
            "size": ledger.account.size,
            "drip": ledger.account.drip,
            "seen_at": ledger.account.seen_at and ledger.account.seen_at.isoformat(),
        },
    }


def dump_token(token: Token) -> dict[str, Any]:
    """Return a pair as JSON-able data **with its secrets in clear**, for an encrypted column only."""
    return {
        "access_token": token.access_token.reveal(),
        "refresh_token": token.refresh_token.reveal(),
        "issued_at": token.issued_at.isoformat(),
        "expires_at": token.expires_at.isoformat(),
        "scope": list(token.scope),
        "account_id": token.account_id,
    }


def load_token(data: Mapping[str, Any]) -> Token:
    """Return the pair from what :func:`dump_token` made."""
    return Token(
        access_token=Secret(data["access_token"]),
        refresh_token=Secret(data["refresh_token"]),
        issued_at=_moment(data["issued_at"]),
        expires_at=_moment(data["expires_at"]),
        scope=tuple(data.get("scope") or ()),
        account_id=data.get("account_id"),
    )


def load(data: Mapping[str, Any]) -> Ledger:
    """Return the ledger from what :func:`dump` made; an empty mapping is a new ledger.

    :raises LightspeedDataError: it was written by a newer version of this package, which must be installed everywhere
        before anything is written back.
    """
    if not data:
        return Ledger()
    if data.get("version") != VERSION:
        msg = (
            f"the stored token ledger has version {data.get('version')!r}, this package reads {VERSION}: install the "
            "same version of airflow-provider-lightspeed on API servers and workers"
        )
        raise LightspeedDataError(msg, found=data.get("version"), allowed=(VERSION,))
    predecessor = data.get("predecessor_token")
    return Ledger(
        generation=int(data["generation"]),
        token=load_token(data["token"]) if data["token"] else None,
        predecessor=Secret(predecessor) if predecessor else None,
        siblings=tuple(Secret(sibling) for sibling in data["sibling_tokens"]),
        seeds=tuple(data["seeds"].split()),
        rotated=tuple(data["rotated"].split()),
        failure=Failure(data["failure"]) if data["failure"] else None,
        failed_with=data["failed_with"],
        dead=tuple(data["dead"].split()),
        destination=tuple(data["destination"]) if data["destination"] else None,
        origin=data["origin"],
        owner=data["owner"],
        refreshed_at=_moment(data["refreshed_at"]) if data["refreshed_at"] else None,
        refreshed_by=data["refreshed_by"],
        ahead=float(data["ahead"]),
        unchanged=bool(data["unchanged"]),
        account=_account(data.get("account") or {}),
    )


def _account(data: Mapping[str, Any]) -> Account:
    seen_at = data.get("seen_at")
    return Account(
        data.get("name") or "",
        data.get("level"),
        data.get("size"),
        data.get("drip"),
        _moment(seen_at) if seen_at else None,
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
