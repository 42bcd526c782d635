"""Finds the keys that two lists do not share, for few units of the rate limit. Pure: the questions are passed in.

A page of keys costs a unit, the count of a range ten, whatever its length. Where the count says what is known, nothing
has changed, and no page of the range is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from airflow_provider_lightspeed.client.query import BASE_COST, COUNT_COST, PAGE_SIZE

#: Keys in a range that are listed without counting first: the pages cost no more than two counts.
LIST_BELOW: Final = int(2 * COUNT_COST / BASE_COST) * PAGE_SIZE
#: The last keys are always listed: rows may still turn up among them, and one more would hide one less.
TAIL: Final = 1_000


@dataclass(frozen=True, slots=True)
class Difference:
    """Keys in ascending order.

    :param gone: known, and no longer listed.
    :param new: listed, and not known.
    """

    gone: np.ndarray
    new: np.ndarray


def difference(
    known: np.ndarray, count: Callable[[int, int], int], listed: Callable[[int, int], np.ndarray]
) -> Difference:
    """Return how a list differs from what is known of it, up to the last known key.

    :param known: in ascending order.
    :param count: returns how many keys lie above the first number, up to the second.
    :param listed: returns these keys.
    """
    if not len(known):
        return Difference(known, known)
    found = _Search(known, count, listed)
    tail = int(known[-TAIL - 1]) if len(known) > TAIL else -1
    found.list(tail, int(known[-1]))
    if tail >= 0:
        found.search(-1, tail)
    live = np.sort(np.concatenate(found.pages)) if found.pages else np.empty(0, np.int64)
    covered = np.concatenate(found.covered) if found.covered else np.empty(0, np.int64)
    return Difference(np.setdiff1d(covered, live), np.setdiff1d(live, covered))


class _Search:
    def __init__(
        self, known: np.ndarray, count: Callable[[int, int], int], listed: Callable[[int, int], np.ndarray]
    ) -> None:
        self._known = known
        self._count = count
        self._listed = listed
        self.pages: list[np.ndarray] = []
        self.covered: list[np.ndarray] = []

    def _between(self, low: int, high: int) -> np.ndarray:
        first, last = np.searchsorted(self._known, [low, high], side="right")
        return self._known[first:last]

    def list(self, low: int, high: int) -> None:
        """Read the keys of a range."""
        self.pages.append(self._listed(low, high))
        self.covered.append(self._between(low, high))

    def search(self, low: int, high: int, count: int | None = None) -> None:
        """Find what differs in a range.

        :param count: how many keys it has, if that is known already.
        """
        known = self._between(low, high)
        if not len(known):
            return None
        if count is None:
            if len(known) <= LIST_BELOW:
                return self.list(low, high)
            count = self._count(low, high)
        differ = abs(count - len(known))
        if differ == 0:
            return None
        if len(known) <= LIST_BELOW or _counts_cost(differ, len(known)) >= len(known) / PAGE_SIZE * BASE_COST:
            return self.list(low, high)
        middle = int(known[len(known) // 2 - 1])
        lower = self._count(low, middle)
        self.search(low, middle, lower)
        return self.search(middle, high, count - lower)


def _counts_cost(differ: int, known: int) -> float:
    """Return the units that finding single changes takes: a count at each halving, then the pages of what is left."""
    halvings = np.ceil(np.log2(known / LIST_BELOW))
    return float(differ * (halvings * COUNT_COST + LIST_BELOW / PAGE_SIZE * BASE_COST))
