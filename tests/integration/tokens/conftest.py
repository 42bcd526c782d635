"""Connections without a grant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess

Connect = Callable[..., str]
CONN = "lightspeed_default"


@pytest.fixture
def unconnected(connection: Connect, simulator: SimulatorProcess) -> Connect:
    """Return a function that stores a connection without a grant."""

    def add(conn_id: str = CONN, *, extra: dict[str, Any] | None = None, **fields: Any) -> str:
        connection(conn_id, extra={"refresh_token": "", **(extra or {})}, **fields)
        simulator.revoke(simulator.grants()[-1]["grant_id"])  # the one that came with it
        return conn_id

    return add
