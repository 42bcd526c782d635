"""The rules of the token ledger: what is stored beside a connection, and what may happen to it. Pure.

One ledger belongs to one connection. Whoever refreshes holds its lock, asks :func:`next_step` what to do, does it and
stores the ledger that :meth:`Ledger.granted` or :meth:`Ledger.failed` returns. The refresh grant and its rotation are
documented on Lightspeed's *Refresh Token* page and in its changelog of 2026-01-15: a spent refresh token stays good until
the new access token first authenticates a request, so an unsaved grant can be repeated, at most 5 times a minute.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from airflow_provider_lightspeed.auth.token import Token, TokenState
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.settings import ConnectionSettings

#: Grant attempts per minute over all processes; the server allows 5 (changelog 2026-01-15).
ATTEMPTS_PER_MINUTE: Final = 4
#: A token that the API refused although it looked fresh is replaced at most this often.
FORCED_INTERVAL: Final = timedelta(minutes=1)
#: How many fingerprints of former refresh tokens are remembered.
REMEMBERED: Final = 500


class Failure(StrEnum):
    """Failures that stick until the client ID, the secret or the seed changes."""

    INVALID_CLIENT = "invalid_client"
    INVALID_GRANT = "invalid_grant"


class Outcome(StrEnum):
    """How a request for a refresh ended. Nothing in it is secret."""

    REFRESHED = "refreshed"
    FRESH = "fresh"
    NO_MATCH = "no_match"
    BUSY = "busy"
    UNAVAILABLE = "unavailable"
    NO_GRANT = "no_grant"
    INVALID_CLIENT = "invalid_client"
    INVALID_GRANT = "invalid_grant"


@dataclass(frozen=True, slots=True)
class Step:
    """What the holder of the lock does next.

    :param outcome: the answer if there is nothing to send, else ``None``.
    :param candidates: refresh tokens to try, in this order.
    :param retry_after: seconds, with ``UNAVAILABLE``.
    """

    outcome: Outcome | None = None
    candidates: tuple[Secret, ...] = ()
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Ledger:
    """Everything known about the grant of one connection.

    :param generation: counts commits of a new pair; a writer that finds another number than it read has lost.
    :param token: the current pair, or ``None`` before the first refresh.
    :param predecessor: the refresh token before the current one; good until the current access token is first used.
    :param seeds: short fingerprints of all refresh tokens ever held, oldest first; one found here again is old news.
    :param attempts: when grants were sent in the last minute.
    :param failure: a sticky failure and what it was found with.
    :param destination: host, authorization server and client ID that the tokens belong to.
    """

    generation: int = 0
    token: Token | None = None
    predecessor: Secret | None = None
    seeds: tuple[str, ...] = ()
    attempts: tuple[datetime, ...] = ()
    failure: Failure | None = None
    failed_with: str = ""
    destination: tuple[str, str, str] | None = None
    refreshed_by: str = ""

    def attempted(self, now: datetime) -> Ledger:
        """Return the ledger with one more grant attempt; stored before the grant is sent."""
        recent = tuple(at for at in self.attempts if timedelta(0) <= now - at < timedelta(minutes=1))
        return dataclasses.replace(self, attempts=(*recent, now))

    def granted(self, settings: ConnectionSettings, token: Token, spent: Secret, by: str) -> Ledger:
        """Return the ledger after a grant: the new pair, with the token that bought it as predecessor."""
        return dataclasses.replace(
            self,
            generation=self.generation + 1,
            token=token,
            predecessor=spent if spent != token.refresh_token else self.predecessor,
            seeds=_remember(self.seeds, settings.refresh_token, spent, token.refresh_token),
            failure=None,
            failed_with="",
            destination=settings.destination,
            refreshed_by=by,
        )

    def failed(self, settings: ConnectionSettings, failure: Failure) -> Ledger:
        """Return the ledger after a sticky failure."""
        return dataclasses.replace(self, failure=failure, failed_with=_identity(settings))

    def is_news(self, seed: Secret) -> bool:
        """Tell whether a refresh token was put in by a person: never seen here before."""
        return bool(seed) and _short(seed) not in self.seeds


def next_step(ledger: Ledger, settings: ConnectionSettings, *, seen: str, refused: bool, now: datetime) -> Step:
    """Decide what a request for a refresh leads to.

    :param seen: SHA-256 (hex) of the token the caller holds: the access token, or the seed before the first refresh.
    :param refused: the API answered 401 to that access token.
    :param now: of the side that refreshes; no other clock counts.
    """
    news = ledger.is_news(settings.refresh_token)
    if not _holds(ledger, settings, seen, news=news):
        return Step(Outcome.NO_MATCH)
    if ledger.failure and ledger.failed_with == _identity(settings):
        return Step(Outcome(ledger.failure))
    moved = ledger.destination is not None and ledger.destination != settings.destination
    token = None if moved else ledger.token
    if token and not news and not _is_due(token, refused=refused, now=now):
        return Step(Outcome.FRESH)
    held = [] if moved else [token.refresh_token if token else None, ledger.predecessor]
    candidates = _distinct([settings.refresh_token if news else None, *held])
    if not candidates:
        return Step(Outcome.NO_GRANT)
    recent = ledger.attempted(now).attempts[:-1]
    if len(recent) >= ATTEMPTS_PER_MINUTE:
        return Step(Outcome.UNAVAILABLE, retry_after=60.0 - (now - recent[0]).total_seconds())
    return Step(candidates=candidates)


def _holds(ledger: Ledger, settings: ConnectionSettings, seen: str, *, news: bool) -> bool:
    """The caller proves with a hash that it could read what is stored; who holds nothing learns nothing."""
    if ledger.token and seen == ledger.token.access_token.fingerprint():
        return True
    seed = settings.refresh_token
    return bool(seed) and (news or ledger.token is None) and seen == seed.fingerprint()


def _is_due(token: Token, *, refused: bool, now: datetime) -> bool:
    if token.state(now) is not TokenState.FRESH:
        return True
    return refused and now - token.issued_at >= min(FORCED_INTERVAL, token.lifetime / 2)


def _identity(settings: ConnectionSettings) -> str:
    """Name what a person would have to change for a sticky failure to be worth another try."""
    text = "\0".join((*settings.destination, settings.client_secret.reveal(), settings.refresh_token.reveal()))
    return hashlib.sha256(text.encode()).hexdigest()


def _short(secret: Secret) -> str:
    return secret.fingerprint()[:16]


def _remember(seeds: Sequence[str], *tokens: Secret) -> tuple[str, ...]:
    fresh = [_short(token) for token in tokens if token]
    return (*(seed for seed in seeds if seed not in fresh), *dict.fromkeys(fresh))[-REMEMBERED:]


def _distinct(tokens: Sequence[Secret | None]) -> tuple[Secret, ...]:
    return tuple(dict.fromkeys(token for token in tokens if token))


def dump(ledger: Ledger) -> dict[str, Any]:
    """Return the ledger as JSON-able data **with its secrets in clear**, for the encrypted column only."""
    token = ledger.token
    return {
        "version": 1,
        "generation": ledger.generation,
        "token": token
        and {
            "access_token": token.access_token.reveal(),
            "refresh_token": token.refresh_token.reveal(),
            "issued_at": token.issued_at.isoformat(),
            "expires_at": token.expires_at.isoformat(),
            "scope": list(token.scope),
            "account_id": token.account_id,
        },
        "predecessor_token": ledger.predecessor.reveal() if ledger.predecessor else None,
        "seeds": list(ledger.seeds),
        "attempts": [at.isoformat() for at in ledger.attempts],
        "failure": ledger.failure and ledger.failure.value,
        "failed_with": ledger.failed_with,
        "destination": ledger.destination and list(ledger.destination),
        "refreshed_by": ledger.refreshed_by,
    }


def load(data: Mapping[str, Any]) -> Ledger:
    """Return the ledger from what :func:`dump` made; an empty mapping is a new ledger."""
    if not data:
        return Ledger()
    token = data.get("token")
    return Ledger(
        generation=int(data["generation"]),
        token=token
        and Token(
            access_token=Secret(token["access_token"]),
            refresh_token=Secret(token["refresh_token"]),
            issued_at=_moment(token["issued_at"]),
            expires_at=_moment(token["expires_at"]),
            scope=tuple(token.get("scope") or ()),
            account_id=token.get("account_id"),
        ),
        predecessor=Secret(data["predecessor_token"]) if data.get("predecessor_token") else None,
        seeds=tuple(data.get("seeds") or ()),
        attempts=tuple(_moment(at) for at in data.get("attempts") or ()),
        failure=Failure(data["failure"]) if data.get("failure") else None,
        failed_with=data.get("failed_with") or "",
        destination=tuple(data["destination"]) if data.get("destination") else None,
        refreshed_by=data.get("refreshed_by") or "",
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
