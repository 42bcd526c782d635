"""Many connections at once: each task has a share of them, and a thread for each connection that it asks for at a time."""

from __future__ import annotations

import os
import time

from airflow.sdk import dag, get_current_context, task


@dag(schedule=None)
def midnight() -> None:
    """Wait for the moment that the run's configuration names, then get a token for each connection and use it."""

    @task(retries=0)
    def ask(number: int) -> list[float]:
        from concurrent.futures import ThreadPoolExecutor

        from airflow_provider_lightspeed.hooks.lightspeed import LightspeedHook

        conf = get_current_context()["dag_run"].conf or {}
        start, connections, threads = float(conf["start"]), int(conf["connections"]), int(conf["threads"])
        mine = range(number, connections, int(os.environ["SOAK_WORKERS"]))

        def use(shop: int) -> float:
            LightspeedHook(f"shop_{shop}").count("Shop")
            return time.time() - start

        time.sleep(max(0.0, start - time.time()))
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(use, mine))

    ask.expand(number=list(range(int(os.environ["SOAK_WORKERS"]))))


midnight()
