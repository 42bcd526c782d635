"""Windows are half-open and tile, whatever started the run; a window of no width is never read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.extract.window import SETTLE, NothingToRead, RunFacts, Window, resolve_window

NOW = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)
DAY = timedelta(days=1)
moments = st.timedeltas(timedelta(0), timedelta(days=334)).map(lambda after: datetime(2026, 1, 1, tzinfo=UTC) + after)


@given(st.lists(moments, min_size=2, max_size=12, unique=True))
def test_runs_without_intervals_tile(times: list[datetime]) -> None:
    """Each run starts where the one before ended, however irregular they come."""
    watermark: datetime | None = None
    for now in sorted(times):
        try:
            window = resolve_window(RunFacts(), server_now=now, watermark=watermark)
        except NothingToRead:
            continue
        assert window.start == watermark
        assert window.end <= now - SETTLE
        assert window.start is None or window.start < window.end
        watermark = window.end


def test_window_ends_before_the_settle_time() -> None:
    """A row stamped now may become visible later."""
    assert resolve_window(RunFacts(), server_now=NOW).end == NOW - SETTLE


def test_second_run_at_the_same_time_has_nothing_to_read() -> None:
    """The task is skipped rather than green and empty."""
    with pytest.raises(NothingToRead, match="committed already"):
        resolve_window(RunFacts(), server_now=NOW + timedelta(milliseconds=900), watermark=NOW - SETTLE)


@pytest.mark.parametrize("kind", ["scheduled", "manual", "asset"])
def test_zero_width_interval_counts_as_none(kind: str) -> None:
    """Airflow 3 gives ``@daily`` and manual runs equal ends."""
    run = RunFacts(kind, interval=(NOW - DAY, NOW - DAY))
    assert resolve_window(run, server_now=NOW, watermark=NOW - DAY).start == NOW - DAY


def test_interval_after_a_gap_starts_at_the_watermark() -> None:
    """A run that was missed leaves no hole."""
    run = RunFacts("scheduled", interval=(NOW - DAY, NOW - timedelta(hours=1)))
    window = resolve_window(run, server_now=NOW, watermark=NOW - 3 * DAY)
    assert (window.start, window.end) == (NOW - 3 * DAY, NOW - timedelta(hours=1))


def test_backfill_uses_the_step_before_and_never_moves_the_watermark() -> None:
    """Older data read again says nothing about how far reading has come."""
    run = RunFacts("backfill", logical_date=NOW - 5 * DAY, previous_schedule=NOW - 6 * DAY)
    window = resolve_window(run, server_now=NOW, watermark=NOW - DAY)
    assert (window.start, window.end, window.moves_watermark) == (NOW - 6 * DAY, NOW - 5 * DAY, False)


def test_run_again_reads_the_same_window() -> None:
    """Clearing a finished task must not shrink what it stands for."""
    before = Window(NOW - 2 * DAY, NOW - DAY, moves_watermark=True)
    window = resolve_window(RunFacts(), server_now=NOW, watermark=NOW, committed=before)
    assert (window.start, window.end) == (before.start, before.end)


def test_explicit_window_of_no_width_is_an_error_that_explains_airflow_3() -> None:
    """Templates with ``data_interval_start`` and ``_end`` are the usual way to get there."""
    with pytest.raises(InvalidArgument, match=r"holds no time.*Airflow 3"):
        resolve_window(RunFacts(start=NOW, end=NOW), server_now=NOW + DAY)


def test_naive_time_is_refused() -> None:
    """Whose midnight it is has to be said."""
    with pytest.raises(InvalidArgument, match="no time zone"):
        resolve_window(RunFacts(start=datetime(2026, 1, 1)), server_now=NOW)  # noqa: DTZ001 - the point


@given(moments, st.integers(1, 10_000), st.integers(-10, 10_010))
def test_filter_and_check_agree(start: datetime, width: int, at: int) -> None:
    """A row is admitted exactly when the half-open window holds its second."""
    start = start.replace(microsecond=0)
    window = Window(start, start + timedelta(seconds=width), start)
    moment = start + timedelta(seconds=at)
    assert window.admits(moment.strftime("%Y-%m-%dT%H:%M:%S+00:00")) is (0 <= at < width)


def test_first_read_sends_no_bound() -> None:
    """A row without a comparable time is in it; the watermark is the capped end all the same. A given end is sent."""
    first = resolve_window(RunFacts(), server_now=NOW)
    assert (first.filter_value(), first.end, first.moves_watermark) == (None, NOW - SETTLE, True)
    again = resolve_window(RunFacts(), server_now=NOW + DAY, watermark=first.end, committed=first)
    assert (again.filter_value(), again.end) == (None, first.end)
    assert resolve_window(RunFacts(end=NOW - DAY), server_now=NOW).filter_value() == "<=,2026-03-09T05:59:59+00:00"
