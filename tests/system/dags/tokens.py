"""Tasks that use a token, and do what could print it: a talking HTTP client, printed objects, a failure."""

from __future__ import annotations

import http.client
import logging
from typing import Any

from airflow.sdk import dag, task


@dag(schedule=None)
def tokens() -> None:
    """Three tasks at once that read, one that fails with a token among its locals."""

    @task
    def use(number: int) -> dict[str, Any]:
        from airflow_provider_lightspeed.hooks.lightspeed import LightspeedHook

        logging.getLogger().setLevel(logging.DEBUG)
        http.client.HTTPConnection.debuglevel = 1
        hook = LightspeedHook("tokens")
        count = hook.count("Shop")
        print(number, "the hook", vars(hook), "its client", vars(hook.client), vars(hook.client._tokens))  # noqa: T201
        return {"count": count, **hook.keep_alive()}

    @task(retries=0)
    def fail() -> None:
        from airflow_provider_lightspeed.hooks.lightspeed import LightspeedHook

        hook = LightspeedHook("tokens")
        token = hook.client._tokens.token()
        raise ValueError(f"{hook.client._tokens} {token} {vars(hook.client)}")

    use.expand(number=[1, 2, 3])
    fail()


tokens()
