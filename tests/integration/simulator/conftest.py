"""A simulator that is served on loopback, by a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from airflow_provider_lightspeed.simulator.state import Settings
from tests.support.served import FakeWorld, Served, on_loopback


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Return a function that starts a simulator; all are stopped at the end of the test."""
    with ExitStack() as running:

        def start(settings: Settings | None = None, world: FakeWorld | None = None) -> Served:
            return running.enter_context(on_loopback(world or FakeWorld(), settings))

        yield start


@pytest.fixture
def world() -> FakeWorld:
    """Return a world whose cost, status and registers a test may change before it is served."""
    return FakeWorld()
