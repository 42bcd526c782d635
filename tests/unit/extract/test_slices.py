"""Cutting a list into slices: whatever the keys, the cuts and the order of pages, every row is read once."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.client.query import PAGE_SIZE
from airflow_provider_lightspeed.extract.journal import Segment
from airflow_provider_lightspeed.extract.slices import (
    BEGINNING,
    WORTH_CUTTING,
    Board,
    Slice,
    chains_wanted,
    uncovered,
)

# -- lists to read --------------------------------------------------------------------------------------------------


def dense(chance: random.Random, count: int) -> list[int]:
    """Return keys without a gap, from 0 or 1 or later."""
    first = chance.choice((0, 1, 5_000))
    return list(range(first, first + count))


def sparse(chance: random.Random, count: int) -> list[int]:
    """Return keys of which most have been deleted, or are filtered out."""
    return sorted(chance.sample(range(40 * count + 1), count))


def skewed(chance: random.Random, count: int) -> list[int]:
    """Return keys that lie in clumps, far apart."""
    keys: set[int] = set()
    while len(keys) < count:
        first = chance.randrange(10**9)
        keys.update(range(first, first + chance.randint(1, count)))
    return sorted(keys)[:count]


SHAPES: tuple[Callable[[random.Random, int], list[int]], ...] = (dense, sparse, skewed)
chances = st.integers(0, 2**32).map(random.Random)


@dataclass
class Cursor:
    """A chain's place in its slice.

    :param upto: of the slice when the chain began: what it asked the server for.
    :param page: asked for, on its way.
    """

    found: Slice
    upto: int | None
    place: int
    stored: int
    page: list[int] | None = None


@dataclass
class Reading:
    """A list of keys, read as the chains do, in an order of pages that chance gives."""

    keys: list[int]
    board: Board
    chance: random.Random
    read: Counter[int] = field(default_factory=Counter)
    segments: list[Segment] = field(default_factory=list)
    cursors: list[Cursor] = field(default_factory=list)
    pages: int = 0

    def step(self, most: int = 5) -> bool:
        """Let something happen: a claim, a cut, a request or a reply; return whether anything is left to do."""
        if len(self.cursors) < most and self.chance.random() < 0.5:
            found = self.board.claim()
            if found is not None:
                self.begin(found)
                return True
        if not self.cursors:
            found = self.board.claim()
            if found is None:
                return False
            self.begin(found)
            return True
        if self.chance.random() < 0.2:
            self.cut(self.chance.randint(2, 6))
        cursor = self.chance.choice(self.cursors)
        if cursor.page is None:
            self.ask(cursor)
        else:
            self.take(cursor, cursor.page)
        return True

    def cut(self, parts: int) -> None:
        """Cut, and hold the tiling."""
        before, count = tiles(self.board.slices), len(self.board.slices)
        gained = self.board.cut(parts)
        assert len(self.board.slices) == count + gained <= count + parts - 1
        assert tiles(self.board.slices) == before

    def begin(self, found: Slice) -> None:
        """Start a chain; what is stored of its slice it takes over."""
        for segment in found.stored:
            self.read.update(self.between(segment.after, segment.upto))
        if not found.is_done:
            self.cursors.append(Cursor(found, found.upto, found.reached, found.reached))

    def ask(self, cursor: Cursor) -> None:
        """Let the server answer; the reply is on its way."""
        first = bisect_right(self.keys, cursor.place)
        last = len(self.keys) if cursor.upto is None else bisect_right(self.keys, cursor.upto)
        cursor.page = self.keys[first : min(first + PAGE_SIZE, last)]
        self.pages += 1

    def take(self, cursor: Cursor, page: list[int]) -> None:
        """Admit a page and go on, or end."""
        found = cursor.found
        is_last = len(self.between(cursor.place, cursor.upto)) <= PAGE_SIZE
        self.read.update(page[: self.board.admit(found, page)])
        if is_last and not found.is_done:
            self.board.finish(found)
        cursor.place, cursor.page = (page[-1] if page else cursor.place), None
        if found.is_done or self.chance.random() < 0.3:
            is_end = found.is_done and found.upto is None
            self.segments.append(Segment("", cursor.stored, found.reached, 0, is_end=is_end))
            cursor.stored = found.reached
        if found.is_done:
            self.cursors.remove(cursor)

    def between(self, after: int, upto: int | None) -> list[int]:
        """Return the keys of a stretch."""
        last = len(self.keys) if upto is None else bisect_right(self.keys, upto)
        return self.keys[bisect_right(self.keys, after) : last]


def tiles(slices: Sequence[Slice]) -> tuple[int, int | None]:
    """Return where slices begin and end, if each begins where another ends."""
    ordered = sorted(slices, key=lambda found: found.after)
    for found, following in pairwise(ordered):
        assert found.upto == following.after, "gap or overlap"
        assert found.after < following.after
        assert found.after <= found.reached <= following.after
    assert ordered[-1].upto is None or ordered[-1].after < ordered[-1].upto
    return ordered[0].after, ordered[-1].upto


# -- reading --------------------------------------------------------------------------------------------------------


@given(chances, st.sampled_from(SHAPES), st.integers(0, 9_000), st.booleans())
def test_chains_that_interleave_in_any_order_read_every_key_once(
    chance: random.Random, shape: Callable[[random.Random, int], list[int]], count: int, is_grown: bool
) -> None:
    """Cuts come between a request and its reply, too; and rows may have been added since the last key was asked for."""
    keys = shape(chance, count)
    reading = Reading(keys, Board([Slice(BEGINNING)]), chance)
    reading.board.last = keys[len(keys) // 2 if is_grown else -1] if keys else None
    while reading.step():
        assert tiles(reading.board.slices) == (BEGINNING, None)
    assert reading.read == Counter(keys)
    assert reading.board.open_slices() == 0


@given(chances, st.sampled_from(SHAPES), st.integers(0, 9_000))
def test_price_of_a_read_in_slices_is_a_page_for_each_at_most(
    chance: random.Random, shape: Callable[[random.Random, int], list[int]], count: int
) -> None:
    """What a cut throws away of the page that crosses it, and the half-filled last page."""
    keys = shape(chance, count)
    reading = Reading(keys, Board([Slice(BEGINNING)]), chance)
    reading.board.last = keys[-1] if keys else None
    while reading.step():
        pass
    whole = max(1, -(-len(keys) // PAGE_SIZE))
    # Two for each cut: one on its side of the mark that crosses it, and one that the other side does not fill.
    assert reading.pages <= whole + 2 * (len(reading.board.slices) - 1)


@given(chances, st.sampled_from(SHAPES), st.integers(0, 6_000), st.integers(1, 4))
def test_read_that_dies_again_and_again_gets_every_key_once(
    chance: random.Random, shape: Callable[[random.Random, int], list[int]], count: int, deaths: int
) -> None:
    """Each try goes on from the segments of all before it; some of them are of tries that were thought dead."""
    keys = shape(chance, count)
    stored: list[Segment] = []
    for _ in range(deaths):
        known = list(stored)
        for _zombie in range(chance.randint(1, 2)):
            reading = Reading(keys, Board(uncovered(known, BEGINNING)), chance)
            reading.board.last = keys[-1] if keys else None
            for _ in range(chance.randrange(3 * (count // PAGE_SIZE) + 3)):
                reading.step()
            stored += reading.segments
    reading = Reading(keys, Board(uncovered(stored, BEGINNING)), chance)
    reading.board.last = keys[-1] if keys else None
    while reading.step():
        pass
    assert reading.read == Counter(keys)
    whole = uncovered([*stored, *reading.segments], BEGINNING)
    assert len(whole) == 1, "what all tries have stored is the whole read, without a gap"
    assert whole[0].is_done


# -- admission ------------------------------------------------------------------------------------------------------


def test_rows_behind_a_cut_are_left_to_the_slice_that_it_made() -> None:
    """The page was asked for before; the slice ends at the cut, not at its last row."""
    board = Board([Slice(BEGINNING, 250)])
    found = board.claim()
    assert found is not None
    assert board.admit(found, range(100, 200)) == 100
    assert board.open_slices() == 1
    assert board.admit(found, [*range(200, 240), *range(260, 320)]) == 40
    assert board.open_slices() == 0
    assert found.reached == 250


def test_slice_that_is_stored_to_its_end_is_still_handed_out() -> None:
    """Nothing is left to read of it, but its rows belong to the result."""
    board = Board(uncovered([Segment("a", BEGINNING, 40, 40, is_end=True)], BEGINNING))
    found = board.claim()
    assert found is not None
    assert found.is_done
    assert [segment.name for segment in found.stored] == ["a"]
    assert board.claim() is None


def test_slices_are_handed_out_once_each_lowest_keys_first() -> None:
    """A reader of the files gets the beginning of a list first."""
    board = Board([Slice(500), Slice(BEGINNING, 100), Slice(100, 500)])
    claimed = [found.after for found in iter(board.claim, None)]
    assert claimed == [BEGINNING, 100, 500]


# -- cuts -----------------------------------------------------------------------------------------------------------


@given(chances, st.sampled_from(SHAPES), st.integers(0, 20_000), st.integers(2, 8))
def test_cut_takes_the_longest_slice_and_leaves_no_part_that_is_not_worth_it(
    chance: random.Random, shape: Callable[[random.Random, int], list[int]], count: int, parts: int
) -> None:
    """By the estimate of the moment: each part keeps ten pages, or nothing is cut."""
    keys = shape(chance, count)
    reading = Reading(keys, Board([Slice(BEGINNING)]), chance)
    reading.board.last = keys[-1] if keys else None
    for _ in range(chance.randrange(40)):
        reading.step()
    slices = list(reading.board.slices)
    left = [reading.board._left(found) for found in slices]
    ends = [found.upto for found in slices]
    gained = reading.board.cut(parts)
    changed = [place for place, found in enumerate(slices) if found.upto != ends[place]]
    assert len(changed) == (1 if gained else 0)
    for place in changed:
        assert left[place] == max(left)
        assert left[place] / (gained + 1) >= WORTH_CUTTING
        assert slices[place].reached < (slices[place].upto or 0)
    if max(left) >= parts * WORTH_CUTTING:
        assert gained == parts - 1


def test_nothing_is_cut_before_the_last_key_is_known() -> None:
    """Where to cut would be a guess."""
    board = Board([Slice(BEGINNING)])
    assert board.pages_left() is None
    assert board.cut(8) == 0
    board.last = 9_999
    assert board.pages_left() == 100
    assert board.cut(8) == 7


@given(st.integers(1_000, 10**6), st.integers(1, 50))
def test_estimate_of_evenly_spread_keys_is_right_after_one_page(count: int, step: int) -> None:
    """The density of what has been read stands for the rest."""
    board = Board([Slice(BEGINNING)])
    found = board.claim()
    assert found is not None
    board.last = count * step
    board.admit(found, [key * step for key in range(1, PAGE_SIZE + 1)])
    left = board.pages_left()
    assert left is not None
    assert abs(left - (count - PAGE_SIZE) / PAGE_SIZE) <= 0.02 * count / PAGE_SIZE


# -- what is stored already -----------------------------------------------------------------------------------------

keys_of_segments = st.integers(BEGINNING, 60)
any_segments = st.lists(
    st.builds(
        lambda after, width, is_end: Segment("", after, after + width, 0, is_end=is_end),
        keys_of_segments,
        st.integers(0, 20),
        st.booleans(),
    ),
    max_size=12,
).map(lambda found: [replace(segment, name=str(number)) for number, segment in enumerate(found)])


@given(any_segments, keys_of_segments)
def test_slices_around_any_stored_segments_tile_the_list(stored: list[Segment], floor: int) -> None:
    """Also where those of a try that was thought dead overlap: stored stretches follow each other, and none twice."""
    slices = uncovered(stored, floor)
    first, end = tiles(slices)
    assert first == min([floor, *(segment.after for segment in stored)])
    assert end is None
    for found in slices:
        reached = found.after
        for segment in found.stored:
            assert segment.after == reached
            reached = segment.upto
        assert found.reached == reached
        is_end = any(segment.is_end and segment.upto == reached for segment in stored)
        assert found.is_done == bool(found.upto is None and found.stored and is_end)
    used = Counter(segment.name for found in slices for segment in found.stored)
    assert set(used.values()) <= {1}


@given(any_segments, keys_of_segments)
def test_no_segment_is_left_out_without_an_overlap(stored: list[Segment], floor: int) -> None:
    """What was paid for is used."""
    used = {segment.name for found in uncovered(stored, floor) for segment in found.stored}
    for segment in stored:
        if segment.name not in used:
            assert any(other.after <= segment.after < other.upto for other in stored if other.name in used), (
                "only what lies in another one"
            )


@given(any_segments, keys_of_segments, chances)
def test_what_is_stored_later_does_not_change_what_was_taken(
    stored: list[Segment], floor: int, chance: random.Random
) -> None:
    """The gaps that were read are filled by new segments: then the whole is one stretch, of the same old ones."""
    before = uncovered(stored, floor)
    filled = list(stored)
    for place, found in enumerate(before):
        if not found.is_done:
            end = 200 if found.upto is None else found.upto
            middle = chance.randint(found.reached, end)
            filled.append(Segment(f"new {place}", found.reached, middle, 0))
            filled.append(Segment(f"newer {place}", middle, end, 0, is_end=found.upto is None))
    chance.shuffle(filled)
    after = uncovered(filled, floor)
    assert len(after) == 1
    assert after[0].is_done
    used = {(segment.after, segment.upto) for segment in after[0].stored}
    taken = {(segment.after, segment.upto) for found in before for segment in found.stored}
    assert {stretch for stretch in taken if stretch[0] < stretch[1]} <= used


# -- how many chains ------------------------------------------------------------------------------------------------

amounts = st.floats(0, 10_000)
drips = st.floats(0.1, 100)
bursts = st.floats(1, 100)
seconds = st.floats(0, 30)


@given(amounts, st.floats(0.5, 10), seconds, seconds, amounts, drips, bursts)
def test_slower_pages_want_more_chains(
    pages: float, cost: float, one: float, other: float, room: float, drip: float, burst: float
) -> None:
    """Each chain has one page on its way at a time; a page that takes no time needs no second chain."""
    fast, slow = sorted((one, other))
    few, many = (chains_wanted(pages, cost, each, room=room, drip=drip, burst=burst) for each in (fast, slow))
    assert 0 <= few <= many
    assert chains_wanted(pages, cost, 0, room=room, drip=drip, burst=burst) == 0


@given(amounts, st.floats(0.5, 10), seconds, amounts, amounts, drips, bursts)
def test_more_room_never_wants_fewer_chains(
    pages: float, cost: float, page_seconds: float, one: float, other: float, drip: float, burst: float
) -> None:
    """And none wants more than the burst window lets through."""
    little, much = sorted((one, other))
    few, many = (chains_wanted(pages, cost, page_seconds, room=each, drip=drip, burst=burst) for each in (little, much))
    assert few <= many * (1 + 1e-9)
    assert many <= 1.2 * page_seconds * burst


@given(st.floats(1, 10_000), st.floats(0.5, 10), st.floats(0.01, 30), amounts, drips, bursts)
def test_chains_ask_for_no_more_than_the_bucket_takes_until_the_read_ends(
    pages: float, cost: float, page_seconds: float, room: float, drip: float, burst: float
) -> None:
    """At the wanted rate, what is in the bucket and what drips out meanwhile pays for the read, unless the burst brakes."""
    rate = chains_wanted(pages, cost, page_seconds, room=room, drip=drip, burst=burst) / (1.2 * page_seconds)
    lasts = pages / rate
    paid = room + drip * lasts
    assert paid >= pages * cost * (1 - 1e-9)
    if rate < burst * (1 - 1e-9):
        assert paid <= pages * cost * (1 + 1e-6) + 1e-6
