"""What tests of extracts start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess


@pytest.fixture
def shop() -> Iterator[SimulatorProcess]:
    """A small shop of its own, in which records may change, without limits."""
    with SimulatorProcess(
        sales=330, items=120, customers=60, days=20, no_limits=True, grant=True, token_life=10_000_000
    ) as running:
        running.advance(600)
        yield running
