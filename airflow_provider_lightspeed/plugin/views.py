"""What the page shows, made ready for its templates. Nothing secret comes this far."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from airflow_provider_lightspeed.auth.scopes import READ_ONLY, SCOPES
from airflow_provider_lightspeed.tokens.journal import LAPSE_WARNING
from airflow_provider_lightspeed.tokens.status import Status

_TONES: Final = {"fresh": "good", "stale": "good", "expired": "calm", "none": "off"}
#: A worker's clock may be an hour wrong.
_AHEAD: Final = timedelta(hours=2)
_WORDS: Final = {
    "fresh": "Connected",
    "stale": "Connected",
    "expired": "Connected, idle",
    "none": "Not connected",
}


@dataclass(frozen=True, slots=True)
class Card:
    """One connection on the page.

    :param tone: ``good``, ``calm``, ``off`` or ``bad``: how the state is painted; the words say it too.
    :param may_edit: the user may connect, test, disconnect and take over.
    """

    status: Status
    tone: str
    word: str
    may_edit: bool
    scopes: tuple[str, ...]
    expires: str
    lapses: str
    refreshed: str
    bucket: str

    @property
    def is_connected(self) -> bool:
        """Whether there is a token."""
        return self.status.token != "none"  # noqa: S105 - a state

    @classmethod
    def of(cls, status: Status, *, may_edit: bool, now: datetime | None = None) -> Card:
        """Make a card of a status."""
        now = now or datetime.now(UTC)
        is_unreadable = not status.source
        needs_person = bool(status.attention) and (is_unreadable or status.token != "none")  # noqa: S105 - a state
        return cls(
            status,
            "bad" if needs_person else _TONES[status.token],
            "Needs attention" if needs_person else _WORDS[status.token],
            may_edit,
            scopes=tuple(status.scope.split()),
            expires=f"{status.expires_at:%d %b %Y %H:%M} UTC" if status.expires_at else "",
            lapses=_lapses(status.lapses_at, now),
            refreshed=_ago(status.refreshed_at, now),
            bucket=_bucket(status, now),
        )


@dataclass(frozen=True, slots=True)
class ScopeChoice:
    """One scope of the checklist."""

    name: str
    meaning: str
    is_chosen: bool
    is_read_only: bool


def scope_choices(chosen: tuple[str, ...]) -> list[ScopeChoice]:
    """Return the checklist; what only reads comes first, and is chosen unless something else is."""
    taken = {name for name in chosen if name in SCOPES} or set(READ_ONLY)
    return [ScopeChoice(name, meaning, name in taken, name in READ_ONLY) for name, meaning in SCOPES.items()]


def newest_bucket(status: Status, event: Mapping[str, Any] | None) -> Status:
    """Return the status with the bucket of an extract's asset event, if that saw it later than we did.

    Whoever may create asset events decides what is in them; what is no bucket is left out.
    """
    try:
        seen_at = datetime.fromisoformat((event or {})["bucket_seen_at"]).astimezone(UTC)
        level, size, drip = (float((event or {})[f"bucket_{name}"]) for name in ("level", "size", "drip"))
    except (KeyError, TypeError, ValueError, OverflowError):
        return status
    if not all(map(math.isfinite, (level, size, drip))) or seen_at > datetime.now(UTC) + _AHEAD:
        return status
    if status.bucket.seen_at and status.bucket.seen_at >= seen_at:
        return status
    bucket = dataclasses.replace(status.bucket, level=level, size=size, drip=drip, seen_at=seen_at)
    return dataclasses.replace(status, bucket=bucket)


def _lapses(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return "-"
    days = (moment - now).days
    if days < 0:
        return f"lapsed on {moment:%d %b %Y}"
    soon = " - refresh it" if moment - now < LAPSE_WARNING else ""
    return f"in {days} day{'' if days == 1 else 's'} ({moment:%d %b %Y}) unless refreshed{soon}"


def _ago(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return "-"
    seconds = max(0, int((now - moment).total_seconds()))
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now"


def _bucket(status: Status, now: datetime) -> str:
    bucket = status.bucket
    if bucket.level is None or bucket.size is None or bucket.drip is None:
        return "not seen yet"
    return f"{bucket.level:.1f} of {bucket.size:.0f}, drips {bucket.drip:g}/s ({_ago(bucket.seen_at, now)})"
