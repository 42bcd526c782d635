"""A sweep finds every difference between two lists of keys, and pays for few pages when there are few."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_lightspeed.extract.differences import LIST_BELOW, TAIL, Difference, difference


class Listing:
    """A list at the server, which notes what it is asked.

    :ivar units: spent.
    """

    def __init__(self, keys: np.ndarray) -> None:
        self.keys = np.sort(keys)
        self.units = 0.0

    def within(self, low: int, high: int) -> np.ndarray:
        return self.keys[(self.keys > low) & (self.keys <= high)]

    def count(self, low: int, high: int) -> int:
        self.units += 10
        return len(self.within(low, high))

    def listed(self, low: int, high: int) -> np.ndarray:
        found = self.within(low, high)
        self.units += len(found) // 100 + 1
        return found

    def against(self, known: np.ndarray) -> Difference:
        return difference(np.sort(known), self.count, self.listed)


keys = st.sets(st.integers(1, 60_000), max_size=300)


@settings(max_examples=30, deadline=None)
@given(size=st.integers(0, 30_000), gone=keys)
def test_every_deleted_key_is_found(size: int, gone: set[int]) -> None:
    """However many records there are, wherever the deleted ones lie."""
    known = np.arange(1, size + 1) * 2
    lost = np.intersect1d(known, np.array(sorted(gone), np.int64))
    found = Listing(np.setdiff1d(known, lost)).against(known)
    assert found.gone.tolist() == lost.tolist()
    assert found.new.tolist() == []


@settings(max_examples=30, deadline=None)
@given(size=st.integers(1, 20_000), gone=keys, new=keys)
def test_differences_both_ways_are_found_where_counts_tell(size: int, gone: set[int], new: set[int]) -> None:
    """What is reported is right; what is not was hidden by as many of the other kind in the same stretch."""
    known = np.arange(1, size + 1) * 2
    lost = np.intersect1d(known, np.array(sorted(gone), np.int64))
    added = np.array(sorted(key for key in new if key % 2 and key <= known[-1]), np.int64)
    found = Listing(np.concatenate([np.setdiff1d(known, lost), added])).against(known)
    assert set(found.gone) <= set(lost)
    assert set(found.new) <= set(added)
    if not len(added):
        assert set(found.gone) == set(lost)
    if len(known) <= LIST_BELOW:
        assert (set(found.gone), set(found.new)) == (set(lost), set(added))


def test_rows_that_turn_up_late_hide_no_deletion() -> None:
    """One more and one less among the last keys: they are listed, whatever the count says."""
    known = np.arange(1, 50_001) * 2
    live = np.sort(np.concatenate([np.setdiff1d(known, [99_990]), [99_991]]))
    found = Listing(live).against(known)
    assert (found.gone.tolist(), found.new.tolist()) == ([99_990], [99_991])


def test_nothing_deleted_costs_one_count_and_the_tail() -> None:
    """A million records are 10,000 pages; here they are some twenty units."""
    known = np.arange(1, 1_000_001)
    listing = Listing(known)
    assert len(listing.against(known).gone) == 0
    assert listing.units == 10 + TAIL // 100 + 1


def test_few_deletions_cost_few_units() -> None:
    """Ten single ones among a million: a count at each halving and twenty pages each, a seventh of all pages."""
    known = np.arange(1, 1_000_001)
    lost = np.arange(50_000, 1_000_000, 95_000)
    listing = Listing(np.setdiff1d(known, lost))
    assert listing.against(known).gone.tolist() == lost.tolist()
    halvings = math.ceil(math.log2(len(known) / LIST_BELOW))
    assert listing.units <= len(lost) * (halvings * 10 + 21) + 10 + TAIL // 100 + 1


@settings(max_examples=8, deadline=None)
@given(gone=st.sets(st.integers(1, 100_000), max_size=3_000))
def test_many_deletions_cost_little_more_than_all_pages(gone: set[int]) -> None:
    """Where counting would cost more than listing, the range is listed."""
    known = np.arange(1, 100_001)
    listing = Listing(np.setdiff1d(known, np.array(sorted(gone), np.int64)))
    found = listing.against(known)
    assert set(found.gone) == gone
    assert listing.units <= 1.1 * 1_000 + 60


def test_what_is_above_the_last_known_key_is_not_looked_at() -> None:
    """New records are the windows' business."""
    assert Listing(np.arange(1, 500)).against(np.arange(1, 100)).new.tolist() == []
    assert Listing(np.arange(1, 500)).against(np.empty(0, np.int64)).gone.tolist() == []
