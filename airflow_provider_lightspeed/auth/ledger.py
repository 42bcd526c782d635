"""The token ledger as a frozen value: what is stored beside a connection, and how it changes. Pure.

One ledger belongs to one connection. What may happen to it next is decided in :mod:`~.step`; this module says what it
holds and what each event makes of it. The refresh grant and its rotation are documented on Lightspeed's *Refresh Token*
page and in its changelog of 2026-01-15: a spent refresh token stays good until the new access token first authenticates
a request, so an unsaved grant can be repeated, at most 5 times a minute; unused for 30 days, it dies.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from airflow_provider_lightspeed.auth.token import Token
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.settings import ConnectionSettings

#: A refresh token that is not used for this long is dead (docs: authentication/refresh-token).
REFRESH_LIFE: Final = timedelta(days=30)
#: Fingerprints kept of refresh tokens that people put in, and of those that came by rotation (62 days, hourly).
REMEMBERED_SEEDS: Final = 500
REMEMBERED_ROTATED: Final = 1500
#: Pairs of lost races kept to be tried before a person is asked.
REMEMBERED_SIBLINGS: Final = 4


class Failure(StrEnum):
    """What sticks until the client ID, the secret or the seed changes, or somebody connects."""

    INVALID_CLIENT = "invalid_client"
    INVALID_GRANT = "invalid_grant"
    DISCONNECTED = "disconnected"


@dataclass(frozen=True, slots=True)
class Account:
    """What was last seen of the account, for people to look at; nothing is decided by it.

    :param level: of the leaky bucket, of ``size``, draining ``drip`` per second, at ``seen_at``.
    """

    name: str = ""
    level: float | None = None
    size: float | None = None
    drip: float | None = None
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """Everything known about the grant of one connection.

    :param generation: counts commits of a new pair; a writer that finds another number than it read has lost.
    :param token: the current pair, or ``None`` before the first refresh.
    :param predecessor: the refresh token before the current one; good until the current access token is first used.
    :param siblings: refresh tokens of pairs whose commit lost a race against the current one.
    :param seeds: short fingerprints of the refresh tokens that people put in, oldest first; each is adopted once.
    :param rotated: short fingerprints of those that came by rotation; found again in a connection, they are old news.
    :param failure: a sticky failure; ``failed_with`` names the credentials it was found with.
    :param dead: which refresh tokens were refused with which credentials since the last success, as fingerprints.
    :param destination: host, authorization server and client ID that the tokens belong to.
    :param origin: which stored connection they belong to: ``row:ID``, or ``external`` for one that nobody can write to.
    :param owner: the deployment that may spend them.
    :param refreshed_at: when the last grant was made, by the server's clock.
    :param refreshed_by: for whom.
    :param ahead: seconds that the server's clock was ahead of the refreshing side's.
    :param unchanged: the last grant returned the access token that was there before.
    :param account: what was last seen of the account, by whoever could write it down.
    """

    generation: int = 0
    token: Token | None = None
    predecessor: Secret | None = None
    siblings: tuple[Secret, ...] = ()
    seeds: tuple[str, ...] = ()
    rotated: tuple[str, ...] = ()
    failure: Failure | None = None
    failed_with: str = ""
    dead: tuple[str, ...] = ()
    destination: tuple[str, str, str] | None = None
    origin: str = ""
    owner: str = ""
    refreshed_at: datetime | None = None
    refreshed_by: str = ""
    ahead: float = 0.0
    unchanged: bool = False
    account: Account = Account()

    @property
    def lapses_at(self) -> datetime | None:
        """When the grant dies if nobody refreshes; aware UTC."""
        return self.refreshed_at + REFRESH_LIFE if self.refreshed_at and self.token else None

    def granted(
        self, settings: ConnectionSettings, token: Token, spent: Secret, *, place: Place, by: str, ahead: float = 0.0
    ) -> Ledger:
        """Return the ledger after a grant: the new pair, with the token that bought it as predecessor."""
        came = token.issued_at
        unchanged = self.token is not None and self.token.access_token == token.access_token
        if unchanged and self.token is not None:  # the older rule: no new life, so no new start of it either
            token = dataclasses.replace(token, issued_at=min(token.issued_at, self.token.issued_at))
        typed = settings.refresh_token
        is_ours = bool(typed) and short(typed) in self.rotated
        # Without a new refresh token (A8 in docs/live.md), the one before stays the predecessor, if it is of this grant.
        kept = self.predecessor if self.token and spent == self.token.refresh_token else None
        return dataclasses.replace(
            self,
            generation=self.generation + 1,
            token=token,
            predecessor=spent if spent != token.refresh_token else kept,
            siblings=(),
            seeds=self.seeds if is_ours else _remember(self.seeds, [typed], REMEMBERED_SEEDS),
            rotated=_remember(self.rotated, [spent, token.refresh_token], REMEMBERED_ROTATED),
            failure=None,
            failed_with="",
            dead=(),
            destination=settings.destination,
            origin=place.origin,
            owner=place.owner,
            refreshed_at=came,
            refreshed_by=by,
            ahead=ahead,
            unchanged=unchanged,
        )

    def refused(self, settings: ConnectionSettings, candidate: Secret) -> Ledger:
        """Return the ledger after ``invalid_grant`` for one candidate; it is not sent again with these credentials."""
        mark = grave(settings, candidate)
        return dataclasses.replace(self, dead=(*(each for each in self.dead if each != mark), mark)[-16:])

    def failed(self, settings: ConnectionSettings, failure: Failure) -> Ledger:
        """Return the ledger after a sticky failure. A seed that proved dead is adopted: it is no news any more."""
        tried = [settings.refresh_token] if failure is Failure.INVALID_GRANT else []
        seeds = _remember(self.seeds, tried, REMEMBERED_SEEDS)
        after = dataclasses.replace(self, failure=failure, seeds=seeds)
        return dataclasses.replace(after, failed_with=after.identity(settings))

    def connected(
        self, settings: ConnectionSettings, token: Token, *, place: Place, by: str, ahead: float = 0.0
    ) -> Ledger:
        """Return the ledger after a consent: a new grant that owes nothing to the one before."""
        return dataclasses.replace(
            self.granted(settings, token, token.refresh_token, place=place, by=by, ahead=ahead),
            predecessor=None,
            unchanged=False,
            account=self.account if self.token and self.token.account_id == token.account_id else Account(),
        )

    def disconnected(self, settings: ConnectionSettings, by: str, at: datetime) -> Ledger:
        """Return the ledger after the grant was revoked: no token is left, and none that was held is news again."""
        after = dataclasses.replace(
            self,
            generation=self.generation + 1,
            token=None,
            predecessor=None,
            siblings=(),
            seeds=_remember(self.seeds, [settings.refresh_token], REMEMBERED_SEEDS),
            failure=Failure.DISCONNECTED,
            dead=(),
            refreshed_at=at,
            refreshed_by=by,
        )
        return dataclasses.replace(after, failed_with=after.identity(settings))

    def is_disconnected(self, settings: ConnectionSettings) -> bool:
        """Tell whether somebody has disconnected; a new client secret brings nothing back, a new seed does."""
        return self.failure is Failure.DISCONNECTED and not self.is_news(settings.refresh_token)

    def shares_grant_with(self, other: Ledger) -> bool:
        """Tell whether both ever held the same refresh token: then they spend one grant."""
        return bool({*self.seeds, *self.rotated} & {*other.seeds, *other.rotated})

    def lost(self, token: Token) -> Ledger:
        """Return this winner's ledger with the pair of a loser noted: it may be the one that the server keeps."""
        if self.token and token.refresh_token == self.token.refresh_token:
            return self
        siblings = (*self.siblings, token.refresh_token)[-REMEMBERED_SIBLINGS:]
        return dataclasses.replace(
            self, siblings=siblings, rotated=_remember(self.rotated, [token.refresh_token], REMEMBERED_ROTATED)
        )

    def disowned(self) -> Ledger:
        """Return what a connection inherits that was deleted and created anew: the numbering, and nothing else."""
        return Ledger(generation=self.generation, seeds=self.seeds, rotated=self.rotated)

    def knows(self, seed: Secret) -> bool:
        """Tell whether this refresh token was ever held here."""
        return bool(seed) and (short(seed) in self.seeds or short(seed) in self.rotated)

    def is_news(self, seed: Secret) -> bool:
        """Tell whether a refresh token was put in by a person: never seen here before."""
        return bool(seed) and not self.knows(seed)

    def identity(self, settings: ConnectionSettings) -> str:
        """Name what a person would have to change for a sticky failure to be worth another try."""
        seed = settings.refresh_token.fingerprint() if self.is_news(settings.refresh_token) else ""
        return _digest(*settings.destination, settings.client_secret.reveal(), seed)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a ledger is being used: the stored connection it serves, and the deployment."""

    origin: str
    owner: str


def grave(settings: ConnectionSettings, candidate: Secret) -> str:
    """Name one refresh token tried with one set of credentials."""
    return _digest(*settings.destination, settings.client_secret.reveal(), candidate.reveal())[:16]


def short(secret: Secret) -> str:
    """Return the first 48 bits of a secret's SHA-256 in hex: enough to recognise it among a few thousand."""
    return secret.fingerprint()[:12]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _remember(known: Sequence[str], tokens: Sequence[Secret], limit: int) -> tuple[str, ...]:
    fresh = [short(token) for token in tokens if token]
    return (*(mark for mark in known if mark not in fresh), *dict.fromkeys(fresh))[-limit:]
