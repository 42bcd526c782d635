"""Which commits count: what each read had seen when it began decides; held against a model that knows every commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_lightspeed.lake import rules
from airflow_provider_lightspeed.lake.records import Kind
from tests.support.fakes import NOON
from tests.support.lake_model import MemoryLake, Model, Read, Row, Shown


@dataclass
class Pair:
    """A dataset and its model, fed alike."""

    lake: MemoryLake = field(default_factory=MemoryLake)
    model: Model = field(default_factory=Model)

    def begin(self, run: str, kind: Kind = "window", *, seconds: float = 0.0) -> Read:
        return self.lake.begin(run, kind, NOON + timedelta(seconds=seconds))

    def commit(self, read: Read, *keys: int, gone: frozenset[int] = frozenset(), modified: int = 0) -> Shown:
        rows = {key: Row(modified, read.extracted_at) for key in keys}
        if read.kind == "window":
            # A window that is read again takes over what it replaces and no longer finds.
            for commit in self.model.live():
                if commit.read.run == read.run and commit.version <= read.base:
                    rows = {**commit.rows, **rows}
        shown = self.lake.commit(read, rows, gone)
        self.model.commits.append(shown)
        return shown

    @property
    def live(self) -> list[int]:
        return [file.version for file in self.lake.state.files]


@pytest.mark.parametrize("step", [0.0, -2.0, -7200.0, 3600.0])
def test_of_full_reads_in_a_row_the_last_one_counts(step: float) -> None:
    """Whatever the clock does between them: each has seen the one before."""
    pair = Pair()
    for number in range(30):
        shown = pair.commit(pair.begin(f"run {number}", "full", seconds=step * number), 1)
        assert pair.live == [shown.version]


@pytest.mark.parametrize("step", [0.0, -2.0])
@pytest.mark.parametrize("kind", ["full", "window"])
def test_run_that_is_run_again_counts_once(step: float, kind: Kind) -> None:
    """The second time replaces the first, which it has seen."""
    pair = Pair()
    for number in range(3):
        shown = pair.commit(pair.begin("run", kind, seconds=step * number), 1)
        assert pair.live == [shown.version]


@pytest.mark.parametrize("step", [0.0, -2.0, 2.0])
def test_full_reads_that_overlap_leave_the_dataset_full(step: float) -> None:
    """Neither has seen the other: what the first has shown stays, however the clocks stand."""
    pair = Pair()
    before = pair.commit(pair.begin("before", "full"), 1)
    one, other = pair.begin("one", "full"), pair.begin("other", "full", seconds=step)
    shown = pair.commit(one, 1)
    pair.commit(other, 2)
    assert before.version not in pair.live
    assert shown.version in pair.live


def test_read_that_was_overtaken_and_never_shown_does_not_count() -> None:
    """It began first, and is committed after a full read that it has not seen."""
    pair = Pair()
    slow = pair.begin("slow")
    quick = pair.commit(pair.begin("quick", "full", seconds=3600), 1)
    pair.commit(slow, 1, 2)
    assert pair.live == [quick.version]
    assert pair.lake.state.version == 2


def test_sweep_is_never_overtaken() -> None:
    """It says what no other read says."""
    pair = Pair()
    sweep = pair.begin("sweep", "sweep")
    pair.commit(pair.begin("quick", "full", seconds=3600), 1)
    shown = pair.commit(sweep, gone=frozenset({1}))
    assert shown.version in pair.live


def test_read_begins_later_than_all_that_it_has_seen() -> None:
    """Rows are ordered by that time, in SQL too: it never goes back with the server's clock."""
    pair = Pair()
    first = pair.begin("first")
    pair.commit(first)
    second = pair.begin("second", seconds=-3600)
    assert second.extracted_at == first.extracted_at + timedelta(microseconds=1)
    assert pair.begin("third", seconds=3600).extracted_at == NOON + timedelta(hours=1)


def test_full_read_takes_back_nothing_that_a_compaction_has_put_beside_what_it_had_seen() -> None:
    """The later part counts again as it was committed; without the compaction's entry the whole file stays."""
    for is_forgotten in (False, True):
        pair = Pair()
        pair.commit(pair.begin("one"), 1)
        full = pair.begin("full", "full")
        pair.commit(pair.begin("two", seconds=-1), 2)
        pair.lake.compact(pair.lake.state.files, NOON)
        if is_forgotten:
            pair.lake.entries.clear()
        shown = pair.lake.commit(full, {3: Row(0, full.extracted_at)})
        assert set(pair.lake.view()) == ({1, 2, 3} if is_forgotten else {2, 3})
        assert pair.lake.entries[shown.version].removes or is_forgotten


def test_compaction_of_files_that_are_not_live_any_more_is_refused() -> None:
    """Others have replaced them meanwhile."""
    pair = Pair()
    pair.commit(pair.begin("one"), 1)
    files = pair.lake.state.files
    assert rules.is_compactable(pair.lake.state, {"": files})
    pair.commit(pair.begin("full", "full"), 1)
    assert not rules.is_compactable(pair.lake.state, {"": files})


def test_what_was_superseded_is_live_in_the_state_before() -> None:
    """The log reads backwards too."""
    pair = Pair()
    pair.commit(pair.begin("one"), 1)
    before = {table: files for table, files in pair.lake.state.by_table() if files}
    pair.commit(pair.begin("full", "full"), 2)
    after = dict(pair.lake.state.by_table())
    assert rules.undo(after, pair.lake.entries[2]) == before


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "begin", "commit", "commit", "compact", "expire"]),
        st.integers(0, 19),
        st.sampled_from(["window", "window", "full", "sweep"]),
        st.sampled_from([-86400, -60, -1, 0, 0, 1, 60, 86400]),
        st.frozensets(st.integers(1, 5)),
        st.integers(0, 9),
    ),
    max_size=40,
)


@given(_STEPS)
@settings(max_examples=500, deadline=None)
def test_twenty_writers_show_what_the_model_shows(steps: list[tuple[str, int, Kind, int, Any, int]]) -> None:
    """Runs of all kinds begin and commit in any order, some again, while clocks jump both ways, files are compacted and forgotten.

    No key that a live commit shows leaves the view but by a tombstone, or by a full read that saw it.
    """
    pair, now, begun = Pair(), 0, list[Read]()
    forgets = False
    for kind, writer, read_kind, seconds, keys, choice in steps:
        now += seconds
        before, shown_by = pair.lake.view(), _shown_by(pair.model)
        match kind:
            case "begin":
                begun.append(pair.begin(f"{writer} {read_kind}", read_kind, seconds=now))
                continue
            case "commit" if begun:
                read = begun.pop(choice % len(begun))
                gone = keys if read_kind == "sweep" and read.kind == "sweep" else frozenset[int]()
                done = pair.commit(read, *(() if gone else keys), gone=gone, modified=choice)
                for key in set(before) - set(pair.lake.view()):
                    saw = shown_by[key] <= set(range(1, done.read.base + 1))
                    assert key in gone or (read.kind == "full" and saw), key
            case "compact" if len(pair.lake.state.files) > 1:
                files = pair.lake.state.files
                pair.lake.compact(files[choice % len(files) :], NOON + timedelta(seconds=now))
                assert pair.lake.view() == before
            case "expire":
                forgets = True
                pair.lake.entries.clear()
        if not forgets:
            assert pair.lake.view() == pair.model.view()


def _shown_by(model: Model) -> Mapping[int, set[int]]:
    live = model.live()
    return {key: {commit.version for commit in live if key in commit.rows} for key in range(1, 6)}
