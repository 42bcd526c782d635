"""Many tasks at once that read the API for a while; numbers come from the environment."""

from __future__ import annotations

import os

from airflow.sdk import dag, task


@dag(schedule=None)
def storm() -> None:
    """Read, many times over."""

    @task(retries=0)
    def read(number: int) -> int:
        from soak.crowd import work
        from tools.skewed_clock import SKEW, skew_the_clock

        os.environ[SKEW] = str(float(os.environ.get(SKEW, "0")) * (-1) ** number)
        skew_the_clock()
        return work(float(os.environ["SOAK_SECONDS"]))

    read.expand(number=list(range(int(os.environ["SOAK_TASKS"]))))


storm()
