"""Cuts a list into stretches of primary keys, so that several chains of pages read it side by side. No I/O.

Lists come in ascending order of their primary key. Only the server knows how its rows are spread over the keys, so a
stretch is cut again where most of it is left: the density of what has been read says where that is.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_provider_lightspeed.client.query import PAGE_SIZE

#: Below the first key: nothing has been read.
BEGINNING: Final = -1
#: Pages that a stretch must have left to be worth cutting: each cut costs about half a page read twice.
WORTH_CUTTING: Final = 4.0


@dataclass(slots=True)
class Slice:
    """Keys above ``after`` up to ``upto``, read by one chain.

    :param upto: the last key, ``None`` for the end of the list; sinks when the slice is cut.
    :param reached: all rows up to this key have been read.
    :param stored: what an earlier try has stored of it durably, in order (``journal.Segment``).
    :param rows: read by this try.
    """

    after: int
    upto: int | None = None
    reached: int = BEGINNING
    stored: tuple[Any, ...] = ()
    rows: int = 0
    is_claimed: bool = False
    is_done: bool = False
    first: int = field(default=BEGINNING)

    def __post_init__(self) -> None:
        """A slice begins where it begins, unless part of it is stored."""
        self.reached = max(self.reached, self.after)
        self.first = self.reached


class Board:
    """The slices of one read, shared by its chains. Safe among threads."""

    def __init__(self, slices: Iterable[Slice]) -> None:
        self.slices = list(slices)
        self.last: int | None = None
        self._lock = threading.Lock()

    def claim(self) -> Slice | None:
        """Return a slice that nobody reads yet, lowest keys first; also one whose rows are stored to its end."""
        with self._lock:
            waiting = [found for found in self.slices if not found.is_claimed]
            if not waiting:
                return None
            chosen = min(waiting, key=lambda found: found.after)
            chosen.is_claimed = True
            return chosen

    def admit(self, found: Slice, keys: Sequence[int]) -> int:
        """Take a page's keys, in ascending order; return how many belong to the slice, which may have been cut meanwhile."""
        with self._lock:
            kept = len(keys) if found.upto is None else bisect_right(keys, found.upto)
            if kept:
                found.reached = keys[kept - 1]
                found.rows += kept
            if found.upto is not None and kept < len(keys):
                found.reached, found.is_done = found.upto, True
            return kept

    def finish(self, found: Slice) -> None:
        """Note that the slice's last page has been read."""
        with self._lock:
            found.is_done = True
            if found.upto is not None:
                found.reached = found.upto

    def open_slices(self) -> int:
        """Return how many slices are not read to their end."""
        with self._lock:
            return sum(not found.is_done for found in self.slices)

    def pages_left(self) -> float | None:
        """Return the estimated pages still to come over all slices; ``None`` while the last key is unknown."""
        with self._lock:
            return None if self.last is None else sum(self._left(found) for found in self.slices)

    def cut(self, parts: int) -> int:
        """Cut the slice with most pages left into so many parts, fewer if it is too short; return the slices gained."""
        with self._lock:
            if self.last is None or not self.slices:
                return 0
            longest = max(self.slices, key=self._left)
            parts = min(parts, int(self._left(longest) / WORTH_CUTTING))
            if parts < 2:
                return 0
            low, high = longest.reached, self.last if longest.upto is None else longest.upto
            marks = sorted({low + (high - low) * part // parts for part in range(1, parts)} - {low, high})
            ends: list[int | None] = [*marks[1:], longest.upto]
            if marks:
                longest.upto = marks[0]
            self.slices += [Slice(mark, end) for mark, end in zip(marks, ends, strict=False)]
            return len(marks)

    def cut_here(self) -> None:
        """End all slices that are being read where they are; what follows becomes slices of their own."""
        with self._lock:
            for found in [each for each in self.slices if each.is_claimed and not each.is_done]:
                if found.upto is None or found.reached < found.upto:
                    self.slices.append(Slice(found.reached, found.upto))
                    found.upto = found.reached

    def _left(self, found: Slice) -> float:
        if found.is_done or self.last is None:
            return 0.0
        high = self.last if found.upto is None else found.upto
        return max(0, high - found.reached) * self._density(found) / PAGE_SIZE

    def _density(self, found: Slice) -> float:
        """Rows per key: of the slice itself once it has shown a page, else of all that has been read."""
        keys = found.reached - found.first
        if found.rows >= PAGE_SIZE and keys > 0:
            return found.rows / keys
        rows = sum(each.rows for each in self.slices)
        keys = sum(each.reached - max(each.first, 0) for each in self.slices if each.rows)
        return rows / keys if keys > 0 else 1.0


def uncovered(stored: Sequence[Any], floor: int) -> list[Slice]:
    """Return the slices of a read of which parts are stored: each begins with stored segments and ends where others begin.

    :param stored: segments with ``after``, ``upto`` and ``is_end``; those that overlap an earlier one are left out.
    :param floor: the key above which the read begins.
    """
    runs: list[list[Any]] = []
    for segment in sorted(stored, key=lambda found: (found.after, -found.upto)):
        if runs and segment.after < runs[-1][-1].upto:
            continue
        if runs and segment.after == runs[-1][-1].upto:
            runs[-1].append(segment)
        else:
            runs.append([segment])
    slices, ends = [], {segment.upto for segment in stored if segment.is_end}
    if not runs or runs[0][0].after > floor:
        slices.append(Slice(floor, runs[0][0].after if runs else None))
    for place, run in enumerate(runs):
        end = runs[place + 1][0].after if place + 1 < len(runs) else None
        # Where others begin behind an end, rows were added after it: what lies between has not been read.
        whole = end is None and run[-1].upto in ends
        slices.append(Slice(run[0].after, end, run[-1].upto, tuple(run), is_done=whole))
    return slices


def chains_wanted(pages: float, cost: float, page_seconds: float, *, room: float, drip: float, burst: float) -> float:
    """Return how many chains empty the available bucket by the time the read ends.

    What is in the bucket now may be used up by then, no sooner: a read that outlasts the bucket needs little more than
    the drip, a read that fits into it is as fast as the burst window allows.

    :param pages: still to come.
    :param room: units that fit into the bucket now.
    :param burst: requests per second that may be sent.
    """
    needed = pages * cost - room
    rate = pages * drip / needed if needed > 0 else burst
    return 1.2 * page_seconds * min(rate, burst)
