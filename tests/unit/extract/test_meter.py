"""Where the estimates of a read come from."""

from __future__ import annotations

import pytest

from airflow_provider_lightspeed.client.rate_limit import BucketSnapshot
from airflow_provider_lightspeed.extract.meter import Outlook

EMPTY = BucketSnapshot(level=0.0, size=90.0, drip=1.0)


def test_outlook_is_free_while_the_bucket_has_room() -> None:
    """Twenty pages fit into an empty bucket: nothing keeps them but the wire."""
    assert Outlook.of(20, 1.0, EMPTY) == Outlook(20, 20.0, 0.0)


def test_outlook_takes_as_long_as_the_bucket_needs_to_drain() -> None:
    """1,990 pages are 1,990 drips: what does not fit waits for the drip, which strangers share."""
    assert Outlook.of(1_990, 1.0, EMPTY).seconds == pytest.approx(1_990 - 90)
    shared = BucketSnapshot(level=90.0, size=90.0, drip=2.0, strangers=1.0)
    assert Outlook.of(1_990, 4.0, shared).seconds == pytest.approx(1_990 * 4)
