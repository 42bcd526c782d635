"""``python -m tests.support.extract_child ORDER``: one try of an extract, in a process that can be killed.

``ORDER`` is JSON: where the simulator is (``base_url``, ``access_token``, ``account_id``), ``folder``, ``attempt``,
``name``, ``options`` of the job, ``most_chains``, and ``store_every``: a simulated read is as many times faster than a real one.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from airflow_provider_lightspeed.auth.source import StaticTokenSource
from airflow_provider_lightspeed.auth.token import Token
from airflow_provider_lightspeed.client.rest import RSeriesClient
from airflow_provider_lightspeed.client.transport import RequestsTransport
from airflow_provider_lightspeed.extract import attempt, chain, run
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.redact import Secret


def main(order: dict[str, Any]) -> None:
    """Extract, and print the summary."""
    for module in (chain, attempt):
        vars(module)["STORE_EVERY"] = order["store_every"]
    now = datetime.now(UTC)
    access = Secret(order["access_token"])
    token = Token(access, Secret(""), now, now + timedelta(days=1), account_id=order["account_id"])
    client = RSeriesClient(host=order["base_url"], tokens=StaticTokenSource(token), transport=RequestsTransport())
    summary = run.extract(
        client,
        Storage.at(order["folder"]),
        Job.of(order["name"], **order["options"]),
        RunFacts(),
        run_key="run",
        attempt=order["attempt"],
        most_chains=order["most_chains"],
    )
    sys.stdout.write(orjson.dumps(summary.as_xcom()).decode())


if __name__ == "__main__":
    main(orjson.loads(sys.argv[1]))
