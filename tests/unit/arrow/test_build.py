"""Columns from texts, and the constants beside them."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pytest

from airflow_provider_lightspeed.arrow import build


@pytest.mark.parametrize(
    "text", ["2026-03-08T01:59:59.999999-05:00", "1969-12-31T23:59:59.5+00:00", "0001-01-01T00:00:00+00:00"]
)
def test_moment_is_exact_whatever_class_the_time_is_of(text: str) -> None:
    """Airflow hands over pendulum's, whose differences are of a class of their own."""
    pendulum = pytest.importorskip("pendulum")
    expected = pa.scalar(datetime.fromisoformat(text), pa.timestamp("us", tz="UTC"))
    assert build.moment(datetime.fromisoformat(text)) == expected
    assert build.moment(pendulum.parse(text)) == expected
