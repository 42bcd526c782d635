"""What may happen to a ledger next: one pure decision for everybody who asks for a refresh.

Whoever refreshes holds the ledger's lock, asks :func:`next_step`, does what it says, stores the result and asks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from airflow_provider_lightspeed.auth.ledger import Failure, Ledger, Place, grave
from airflow_provider_lightspeed.auth.token import Token, TokenState
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.settings import ConnectionSettings

#: Grant attempts per minute over all processes; the server allows 5 (changelog 2026-01-15).
ATTEMPTS_PER_MINUTE: Final = 4
#: The minute as this side counts it: an attempt is on record some moments before the server sees it.
_MINUTE: Final = timedelta(seconds=65)
#: A token that the API refused although it looked fresh is replaced at most this often.
FORCED_INTERVAL: Final = timedelta(minutes=1)
#: A difference of clocks below this is the resolution of an HTTP date and the way there.
_SAME_CLOCK: Final = 2.0
#: A stored moment further ahead than this was written before the clock was set back. Nobody waits for it.
_AHEAD: Final = timedelta(seconds=5)
#: The longest wait that is named at a time, but for a pause that the authorization server asked for.
_LONGEST_WAIT: Final = 60.0
#: The longest pause that the authorization server may ask for, in seconds.
LONGEST_PAUSE: Final = 3600.0


class Outcome(StrEnum):
    """How a request for a refresh ended. Nothing in it is secret."""

    REFRESHED = "refreshed"
    FRESH = "fresh"
    NO_MATCH = "no_match"
    BUSY = "busy"
    UNAVAILABLE = "unavailable"
    NO_GRANT = "no_grant"
    FOREIGN = "foreign"
    SHARED = "shared"
    INVALID_CLIENT = "invalid_client"
    INVALID_GRANT = "invalid_grant"
    DISCONNECTED = "disconnected"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a caller knows and has seen.

    :param seen: SHA-256 (hex) of the token the caller holds: the access token, or the seed before the first refresh.
    :param refused: the API answered 401 to that access token.
    :param used: that access token has authenticated a request, so the refresh token before it is dead for certain.
    """

    seen: str
    refused: bool = False
    used: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """How long the authorization server asked to send nothing (``Retry-After``; RFC 9110, section 10.2.3).

    :param at: when that was recorded, by the database's clock; aware UTC.
    :param seconds: how long, from then on; more than one hour counts as one hour.
    """

    at: datetime
    seconds: float

    def rest(self, now: datetime) -> float:
        """Return how many seconds are left at ``now``, 0 when it is over.

        A pause dated ahead of ``now`` was recorded before the clock was set back; it counts as over, or as just begun if
        it is only a little ahead.
        """
        if self.at - now > _AHEAD:
            return 0.0
        seconds = min(self.seconds, LONGEST_PAUSE)
        return min(seconds, max(0.0, seconds - (now - self.at).total_seconds()))


@dataclass(frozen=True, slots=True)
class Step:
    """What the holder of the lock does next: answer, or send.

    :param outcome: the answer if there is nothing to send, else ``None``.
    :param candidate: the refresh token to spend.
    :param sticks: the outcome is a failure that is to be stored.
    :param retry_after: seconds, with ``UNAVAILABLE``.
    """

    outcome: Outcome | None = None
    candidate: Secret | None = None
    sticks: bool = False
    retry_after: float = 0.0


def next_step(
    ledger: Ledger,
    settings: ConnectionSettings,
    claim: Claim,
    *,
    place: Place,
    now: datetime,
    attempts: Sequence[datetime] = (),
    pause: Pause | None = None,
    limit: int = ATTEMPTS_PER_MINUTE,
) -> Step:
    """Decide what a request for a refresh leads to.

    :param now: of the side that refreshes; no other clock counts.
    :param attempts: when grants were sent lately, over all processes.
    :param pause: what the authorization server asked for last.
    :param limit: grants a minute.
    """
    if not holds(ledger, settings, claim, place):
        return Step(Outcome.NO_MATCH)
    if not inherits(ledger, settings, place):
        ledger = ledger.disowned()
    news = ledger.is_news(settings.refresh_token)
    if ledger.failure and (ledger.is_disconnected(settings) or ledger.failed_with == ledger.identity(settings)):
        return Step(Outcome(ledger.failure))
    token = None if is_moved(ledger, settings) else ledger.token
    if token and not news:
        wait = _due_in(ledger, token, claim, server_time(ledger, now))
        if wait:
            return Step(Outcome.UNAVAILABLE, retry_after=wait)
        if wait is None:
            return Step(Outcome.FRESH)
    if not owns(ledger, place) and not news:
        return Step(Outcome.FOREIGN)
    return _spend(ledger, settings, claim, now=now, attempts=attempts, pause=pause, limit=limit)


def _spend(
    ledger: Ledger,
    settings: ConnectionSettings,
    claim: Claim,
    *,
    now: datetime,
    attempts: Sequence[datetime],
    pause: Pause | None,
    limit: int,
) -> Step:
    held = candidates(ledger, settings, claim)
    if not held:
        return Step(Outcome.NO_GRANT)
    alive = [token for token in held if grave(settings, token) not in ledger.dead]
    if not alive:
        return Step(Outcome(Failure.INVALID_GRANT), sticks=True)
    wait = max(pause.rest(now) if pause else 0.0, _limited_for(recent(attempts, now), now, limit))
    return Step(Outcome.UNAVAILABLE, retry_after=wait) if wait else Step(candidate=alive[0])


def _limited_for(lately: Sequence[datetime], now: datetime, limit: int) -> float:
    """Return how many seconds the limit of grants a minute asks to wait."""
    if len(lately) < limit:
        return 0.0
    return min(_LONGEST_WAIT, (lately[-limit] + _MINUTE - now).total_seconds())


def candidates(ledger: Ledger, settings: ConnectionSettings, claim: Claim) -> tuple[Secret, ...]:
    """Return the refresh tokens worth sending, best first.

    A seed that a person put in wins. Then the current one; then, each tried once before a person is asked, its
    predecessor (unless its successor has been used: then it is dead for certain) and the siblings of lost races.
    """
    moved = is_moved(ledger, settings)
    current = None if moved else ledger.token
    seed = settings.refresh_token if ledger.is_news(settings.refresh_token) or not ledger.token else None
    found = [seed, current.refresh_token if current else None]
    if not moved:
        settled = claim.used and current is not None and claim.seen == current.access_token.fingerprint()
        found += [None if settled else ledger.predecessor, *ledger.siblings]
    return tuple(dict.fromkeys(token for token in found if token))


def holds(ledger: Ledger, settings: ConnectionSettings, claim: Claim, place: Place) -> bool:
    """The caller proves with a hash that it could read what is stored; who holds nothing learns nothing."""
    if ledger.token and claim.seen == ledger.token.access_token.fingerprint():
        return True
    seed = settings.refresh_token
    stands = ledger.is_news(seed) or ledger.token is None or not inherits(ledger, settings, place)
    return bool(seed) and stands and claim.seen == seed.fingerprint()


def inherits(ledger: Ledger, settings: ConnectionSettings, place: Place) -> bool:
    """Tell whether the ledger is this connection's own: a deleted and re-created one must name a token of it."""
    return ledger.origin in ("", place.origin) or ledger.knows(settings.refresh_token)


def owns(ledger: Ledger, place: Place) -> bool:
    """Tell whether this deployment may spend the tokens: not one that runs on a copy of the metadata database.

    An owner is a metadata database, and a base URL if one is configured; a process without one is given the doubt.
    """
    if not ledger.owner:
        return True
    (theirs, _, their_url), (ours, _, our_url) = ledger.owner.partition(" "), place.owner.partition(" ")
    return theirs == ours and (not their_url or not our_url or their_url == our_url)


def is_moved(ledger: Ledger, settings: ConnectionSettings) -> bool:
    """Tell whether the connection now points elsewhere: then nothing that belongs to the old place is sent."""
    return ledger.destination is not None and ledger.destination != settings.destination


def server_time(ledger: Ledger, now: datetime) -> datetime:
    """Return what the authorization server's clock says when ours says ``now``."""
    return now + timedelta(seconds=ledger.ahead) if abs(ledger.ahead) > _SAME_CLOCK else now


def recent(attempts: Sequence[datetime], now: datetime) -> list[datetime]:
    """Return the attempts of the last minute.

    One dated a little ahead (two machines' clocks) counts as just made. One dated further ahead was recorded before the
    clock was set back: nobody can tell how long ago, so nobody waits for it.
    """
    return sorted(min(at, now) for at in attempts if -_AHEAD <= now - at < _MINUTE)


def _due_in(ledger: Ledger, token: Token, claim: Claim, now: datetime) -> float | None:
    """Return 0 if the token is to be replaced now, seconds if a forced refresh must wait, ``None`` if it is fresh."""
    state = token.state(now)
    if state is TokenState.EXPIRED or (state is TokenState.STALE and not ledger.unchanged):
        return 0.0
    if not (claim.refused and claim.seen == token.access_token.fingerprint()):
        return None
    since = now - (ledger.refreshed_at or token.issued_at)
    if since < -_AHEAD:  # the clock was set back; the refresh that follows measures it anew
        return 0.0
    interval = min(FORCED_INTERVAL, token.lifetime / 2)
    return max(0.0, min(interval, interval - since).total_seconds())
