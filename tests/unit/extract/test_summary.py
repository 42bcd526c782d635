"""What a read tells of itself, while it runs and at its end."""

from __future__ import annotations

from airflow_provider_lightspeed.extract.summary import Paced, Progress, lasting


def test_durations_are_for_people() -> None:
    """As the log has them."""
    assert [lasting(seconds) for seconds in (40, 921.6, 9_000)] == ["40 s", "15 min", "2.5 h"]


def test_paced_progress_passes_one_in_an_interval() -> None:
    """A read that is over before the first interval says nothing."""
    told: list[float] = []
    paced = Paced(lambda progress: told.append(progress.seconds), every=10.0)
    for seconds in (0.0, 4.0, 9.9, 11.0, 12.0, 20.9, 21.0, 60.0):
        paced(Progress(rows=1, requests=1, seconds=seconds, bucket_level=0.0, bucket_size=90.0))
    assert told == [11.0, 21.0, 60.0]
