"""Which commits count: what each read had seen when it began decides, never a clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_lightspeed.extract.commit import Commit
from airflow_provider_lightspeed.extract.history import History, ReadStart
from airflow_provider_lightspeed.extract.manifest import live_commits
from airflow_provider_lightspeed.extract.window import Window
from tests.support.fakes import NOON


@dataclass
class Log:
    """The commits of one query, without files, and the keys that each of them holds."""

    commits: list[dict[str, Any]] = field(default_factory=list)
    keys: dict[str, frozenset[int]] = field(default_factory=dict)

    def begin(self, run: str, *, whole: bool = False, now: datetime = NOON) -> ReadStart:
        return History(list(self.commits)).begin(run, now, whole=whole)

    def commit(
        self,
        start: ReadStart,
        run: str,
        *,
        whole: bool = False,
        now: datetime = NOON,
        keys: frozenset[int] = frozenset(),
        sequence: int | None = None,
    ) -> dict[str, Any]:
        made = Commit(
            account_id="7",
            query="q",
            owner=run,
            attempt=str(len(self.commits)),
            window=Window(None, now - timedelta(minutes=5), moves_watermark=True),
            whole=whole,
            files={},
            schema="schema",
            at=now,
            state={},
            extracted_at=start.extracted_at,
            base_version=start.base_version,
            saw=start.saw,
        )
        document = made.document("Sale", sequence or max((each["sequence"] for each in self.commits), default=0) + 1)
        self.commits = sorted([*self.commits, document], key=lambda each: (each["sequence"], each["id"]))
        self.keys[document["id"]] = keys
        return document

    @property
    def live(self) -> list[str]:
        return [commit["id"] for commit in live_commits(self.commits)]

    @property
    def view(self) -> frozenset[int]:
        return frozenset().union(*(self.keys[found] for found in self.live))


@pytest.mark.parametrize("step", [0.0, -2.0, -7200.0, 3600.0])
def test_of_whole_reads_in_a_row_the_last_one_counts(step: float) -> None:
    """Whatever the clock does between them: each has seen the one before."""
    log = Log()
    for number in range(30):
        now = NOON + timedelta(seconds=step * number)
        last = log.commit(log.begin(f"run {number}", whole=True, now=now), f"run {number}", whole=True, now=now)
        assert log.live == [last["id"]]


@pytest.mark.parametrize("step", [0.0, -2.0])
@pytest.mark.parametrize("whole", [False, True])
def test_run_that_is_run_again_counts_once(step: float, whole: bool) -> None:
    """The second time replaces the first, which it has seen."""
    log = Log()
    for number in range(3):
        now = NOON + timedelta(seconds=step * number)
        last = log.commit(log.begin("run", whole=whole, now=now), "run", whole=whole, now=now)
        assert log.live == [last["id"]]


@pytest.mark.parametrize("step", [0.0, -2.0, 2.0])
@pytest.mark.parametrize("sequence", [2, None], ids=["the same place in the log", "one after the other"])
def test_whole_reads_that_overlap_leave_the_dataset_full(step: float, sequence: int | None) -> None:
    """Neither has seen the other: what the first has shown stays, however the clocks stand."""
    log = Log()
    before = log.commit(log.begin("before", whole=True), "before", whole=True)
    one = log.begin("one", whole=True)
    other = log.begin("other", whole=True, now=NOON + timedelta(seconds=step))
    shown = log.commit(one, "one", whole=True, keys=frozenset({1}))
    log.commit(other, "other", whole=True, keys=frozenset({2}), sequence=sequence)
    assert before["id"] not in log.live
    assert shown["id"] in log.live


def test_read_that_was_overtaken_and_never_shown_does_not_count() -> None:
    """It began first, and is committed after a whole read that it has not seen."""
    log = Log()
    slow = log.begin("slow")
    quick = log.commit(log.begin("quick", whole=True, now=NOON + timedelta(hours=1)), "quick", whole=True)
    log.commit(slow, "slow")
    assert log.live == [quick["id"]]


def test_read_begins_later_than_all_that_it_has_seen() -> None:
    """Rows are ordered by that time, in SQL too: it never goes back with the server's clock."""
    log = Log()
    first = log.begin("first")
    log.commit(first, "first")
    second = log.begin("second", now=NOON - timedelta(hours=1))
    assert second.extracted_at == first.extracted_at + timedelta(microseconds=1)
    assert log.begin("third", now=NOON + timedelta(hours=1)).extracted_at == NOON + timedelta(hours=1)


@dataclass
class _Run:
    name: str
    whole: bool
    start: ReadStart
    base: frozenset[int]
    is_open: bool = True


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "commit"]),
        st.sampled_from("abc"),
        st.booleans(),
        st.integers(-3, 3),
        st.frozensets(st.integers(1, 4)),
        st.integers(0, 5),
    ),
    max_size=24,
)


@given(_STEPS)
@settings(max_examples=400, deadline=None)
def test_no_key_leaves_the_view_but_by_a_whole_read_that_saw_it(
    steps: list[tuple[str, str, bool, int, Any, int]],
) -> None:
    """Runs of all kinds begin and commit in any order, some again, while the clock stands still or steps back."""
    log, now, begun = Log(), NOON, list[_Run]()
    for kind, name, whole, seconds, keys, choice in steps:
        now += timedelta(seconds=seconds)
        if kind == "begin":
            run = f"{name} {'whole' if whole else 'window'}"
            start = log.begin(run, whole=whole, now=now)
            # A window that is read again takes over what it replaces and no longer finds.
            base = frozenset[int]().union(*(log.keys[found] for found in start.saw)) if not whole else frozenset()
            begun.append(_Run(run, whole, start, base))
            continue
        if not begun:
            continue
        reading = begun.pop(choice % len(begun))
        before, shown_by = log.view, _shown_by(log)
        done = log.commit(reading.start, reading.name, whole=reading.whole, now=now, keys=keys | reading.base)
        for key in before - log.view:
            assert reading.whole, key
            assert shown_by[key] <= set(done["saw"]), key


def _shown_by(log: Log) -> Mapping[int, set[str]]:
    return {key: {found for found in log.live if key in log.keys[found]} for key in range(1, 5)}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.sampled_from("pq")), max_size=20))
def test_live_commits_are_the_last_of_each_run_since_the_last_whole_read(
    history: list[tuple[str, bool, str]],
) -> None:
    """Against the plainest model: replay the history into a dictionary."""
    commits = [
        {
            "id": str(n),
            "sequence": n,
            "owner": o,
            "whole": w,
            "query": q,
            "account_id": "7",
            "committed_at": "t",
            "window_end": "e",
        }
        for n, (o, w, q) in enumerate(history)
    ]
    model: dict[str, dict[str, str]] = {}
    for commit in commits:
        mine = model.setdefault(str(commit["query"]), {})
        if commit["whole"]:
            mine.clear()
        mine[str(commit["owner"])] = str(commit["id"])
    expected = {found for mine in model.values() for found in mine.values()}
    assert {commit["id"] for commit in live_commits(commits)} == expected
