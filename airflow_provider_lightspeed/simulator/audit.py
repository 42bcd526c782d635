"""A record of every request, without any secret: tokens appear as SHA-256 fingerprints."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

_KEPT = 200_000


def fingerprint(token: str | None) -> str | None:
    """Return the SHA-256 of a token in hex, or None for none: names a token without being one."""
    return hashlib.sha256(token.encode()).hexdigest() if token else None


@dataclass(frozen=True, slots=True)
class Entry:
    """One request.

    :ivar at: epoch seconds by the simulator's clock, on arrival.
    :ivar kind: ``api``, ``token``, ``authorize``, ``revoke``, ``introspect`` or ``jwks``.
    :ivar path: with the query for ``api``, without it for the others: it may carry a PKCE challenge or a state.
    :ivar status: HTTP status; 0 when the connection ended without one.
    :ivar cost: drips charged; 0 when none.
    :ivar level: of the bucket after the request, None outside the API.
    :ivar rows: records in the answer.
    :ivar token: fingerprint of the access token (``api``) or of the refresh token spent (``token``).
    :ivar issued: fingerprint of the refresh token handed out.
    :ivar outcome: ``ok``, an OAuth error code, or the limiter that refused.
    :ivar fault: the action that hit the request.
    :ivar in_flight: API requests being answered, this one included.
    """

    at: float
    kind: str
    method: str
    path: str
    status: int
    cost: float = 0.0
    level: float | None = None
    rows: int = 0
    token: str | None = None
    issued: str | None = None
    outcome: str = "ok"
    fault: str | None = None
    in_flight: int = 0


class Audit:
    """The last 200,000 requests and counters over all of them."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=_KEPT)
        self.counts: Counter[str] = Counter()
        self.drips = 0.0
        self.max_in_flight = 0

    def add(self, entry: Entry) -> None:
        """Record a request."""
        self._entries.append(entry)
        self.counts["requests"] += 1
        self.counts[f"{entry.kind}_requests"] += 1
        self.counts[f"status_{entry.status}"] += 1
        self.counts["rows"] += entry.rows
        if entry.outcome.startswith("api-"):
            self.counts["bucket_429" if entry.outcome == "api-leaky-bucket" else "burst_429"] += 1
        if entry.fault:
            self.counts["faults"] += 1
        self.drips += entry.cost
        self.max_in_flight = max(self.max_in_flight, entry.in_flight)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.counts.clear()
        self.drips = 0.0
        self.max_in_flight = 0

    def report(self, *, kind: str | None = None, counters_only: bool = False) -> dict[str, Any]:
        """Return counters and entries as plain data.

        :param kind: only entries of this kind; the counters cover all.
        :param counters_only: leave the entries out.
        """
        counters = dict(self.counts) | {"drips": round(self.drips, 6), "max_in_flight": self.max_in_flight}
        if counters_only:
            return {"counters": counters}
        entries = [asdict(entry) for entry in self._entries if kind in (None, entry.kind)]
        return {"counters": counters, "requests": entries}
