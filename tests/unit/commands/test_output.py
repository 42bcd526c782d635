"""Times and sizes as commands print them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_lightspeed.commands.output import size, until

pytest.importorskip("airflow")


NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (timedelta(days=29, hours=23), "29 days"),
        (timedelta(hours=47), "47 h"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(seconds=-1), "over"),
    ],
)
def test_time_left_is_told_in_its_greatest_unit(left: timedelta, words: str) -> None:
    """Rounded down: nobody is promised more than there is."""
    assert until(NOW + left, NOW) == words


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KiB"), (200 * 2**20, "200 MiB")]
)
def test_size_is_told_in_a_unit_that_keeps_it_short(count: int, words: str) -> None:
    """Powers of 1,024, three digits or so."""
    assert size(count) == words
