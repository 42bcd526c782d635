"""Many tasks at once that read the API for a while; numbers come from the environment."""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import dag, task


def _storm(dag_id: str, conn_id: str, tasks: int, retries: int) -> None:
    @dag(dag_id=dag_id, schedule=None)
    def storm() -> None:
        """Read, many times over."""

        @task(retries=retries, retry_delay=timedelta(seconds=5))
        def read(number: int) -> int:
            from soak.crowd import work
            from tools.skewed_clock import SKEW, skew_the_clock

            os.environ[SKEW] = str(float(os.environ.get(SKEW, "0")) * (-1) ** number)
            skew_the_clock()
            return work(float(os.environ["SOAK_SECONDS"]), conn_id)

        read.expand(number=list(range(tasks)))

    storm()


_storm("storm", "lightspeed_default", int(os.environ["SOAK_TASKS"]), retries=0)
# A task that is lost with its worker or with its API server is tried again.
_storm("upset_storm", "upset", int(os.environ["SOAK_UPSET_TASKS"]), retries=20)
