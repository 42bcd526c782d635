"""What a reply says of the account's two limiters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RateHeaders:
    """The ``X-LS-*`` headers (docs: introduction/rate-limiting); ``None`` for what a reply does not say.

    :param level: of the bucket, after the request.
    :param drip: units that leave the bucket per second.
    :param cost: what the request was charged.
    :param burst_level: requests in the present window of one second, this one included.
    :param limiter: which limiter refused.
    """

    level: float | None = None
    size: float | None = None
    drip: float | None = None
    cost: float | None = None
    burst_level: float | None = None
    burst_limit: float | None = None
    limiter: str | None = None

    @classmethod
    def parse(cls, headers: Mapping[str, str]) -> RateHeaders:
        """Read the headers, in any of their spellings; unreadable ones count as absent."""
        found = {name.lower(): value for name, value in headers.items() if name.lower().startswith("x-ls-")}
        level, size = _pair(found.get("x-ls-api-bucket-level"))
        burst_level, burst_limit = _pair(found.get("x-ls-api-burst-level"))
        return cls(
            level=level,
            size=size,
            drip=_number(found.get("x-ls-api-drip-rate")),
            cost=_number(found.get("x-ls-api-request-cost")),
            burst_level=burst_level,
            burst_limit=burst_limit,
            limiter=found.get("x-ls-api-ratelimit-type"),
        )


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < 1e9 else None


def _pair(text: str | None) -> tuple[float | None, float | None]:
    level, _, size = (text or "").partition("/")
    return _number(level), _number(size)
