"""Keeps the grants of quiet connections alive: a refresh token that is not used for 30 days dies.

Connections with a daily extract need no such DAG.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_lightspeed.hooks.lightspeed import LightspeedHook

CONNECTIONS = ["lightspeed_default"]


@dag(
    schedule="@weekly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["lightspeed", "example"],
    doc_md=__doc__,
)
def example_lightspeed_keep_alive() -> None:
    """Refresh what is due."""

    @task(retries=3)
    def keep_alive(conn_id: str) -> dict[str, Any]:
        return LightspeedHook(conn_id).keep_alive()

    keep_alive.expand(conn_id=CONNECTIONS)


example_lightspeed_keep_alive()
