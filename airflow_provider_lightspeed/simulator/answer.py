"""What the world says to one GET."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, before the limiters and the headers.

    :param status: HTTP status.
    :param body: JSON text.
    :param cost: drips, which follow from the request alone.
    :param rows: records in the body.
    :param seconds: how long the answer takes beyond the simulator's latency.
    """

    status: int
    body: bytes
    cost: float
    rows: int
    seconds: float = 0.0
