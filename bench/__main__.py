"""Measure the way from wire bytes to Parquet against its floor: fetching and decoding the same bytes alone.

Both halves run in fresh processes of their own, against one simulator without limits, so that CPU time and peak memory
belong to one thing each.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess

SALES: Final = 200_000
SHORT: Final = 20_000
IMPORTS: Final = {
    "airflow": "import airflow.sdk",
    "operator": "import airflow_provider_lightspeed.operators.lightspeed",
}


def client_of(base_url: str, access_token: str, account_id: str) -> Any:
    """Return a client with a token that lasts for the whole measurement."""
    from airflow_provider_lightspeed.auth.source import StaticTokenSource
    from airflow_provider_lightspeed.auth.token import Token
    from airflow_provider_lightspeed.client.rest import RSeriesClient
    from airflow_provider_lightspeed.client.transport import RequestsTransport
    from airflow_provider_lightspeed.redact import Secret

    now = datetime.now(UTC)
    token = Token(Secret(access_token), Secret(""), now, now + timedelta(days=1), account_id=account_id)
    return RSeriesClient(host=base_url, tokens=StaticTokenSource(token), transport=RequestsTransport())


def first_url(base_url: str, account_id: str) -> str:
    """Return the list that both halves read: sales with lines, archived ones included."""
    relations = "%5B%22SaleLines%22%5D"
    return f"{base_url}/API/V3/Account/{account_id}/Sale.json?load_relations={relations}&archived=true&limit=100"


def floor(facts: dict[str, Any], folder: str) -> dict[str, Any]:
    """Fetch all pages and decode them, nothing else."""
    import orjson
    import requests

    del folder
    session, rows, size = requests.Session(), 0, 0
    session.trust_env = False
    session.headers["Authorization"] = f"Bearer {facts['access_token']}"
    url = first_url(facts["base_url"], facts["account_id"])
    while url:
        body = session.get(url, timeout=60).content
        page = orjson.loads(body)
        rows, size = rows + len(page["Sale"]), size + len(body)
        url = page["@attributes"]["next"]
    return {"rows": rows, "wire_bytes": size}


def extract(facts: dict[str, Any], folder: str) -> dict[str, Any]:
    """Run the extract as the operator does."""
    from airflow_provider_lightspeed.extract.plan import Job
    from airflow_provider_lightspeed.extract.run import extract as run
    from airflow_provider_lightspeed.extract.storage import Storage
    from airflow_provider_lightspeed.extract.window import RunFacts

    client = client_of(facts["base_url"], facts["access_token"], facts["account_id"])
    job = Job.of("Sale", mode="full", relations=["SaleLines"], filters=facts.get("filters"))
    summary = run(client, Storage.at(folder), job, RunFacts(), run_key="bench", attempt="1")
    return {"rows": summary.rows, "parquet_bytes": summary.bytes}


def measured(half: str, facts: dict[str, Any], folder: str) -> dict[str, Any]:
    """Run one half in a fresh process."""
    command = [sys.executable, "-m", "bench", "--half", half, "--folder", folder]
    done = subprocess.run(command, input=json.dumps(facts), capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run_half(half: str, folder: str) -> None:
    """Do one half and print what it took."""
    facts = json.loads(sys.stdin.read())
    wall, began = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    found = {"floor": floor, "extract": extract}[half](facts, folder)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime - began.ru_utime - began.ru_stime
    found |= {"cpu_s": round(cpu, 2), "wall_s": round(time.monotonic() - wall, 2), "peak_mib": used.ru_maxrss // 1024}
    print(json.dumps(found))


def import_cost() -> dict[str, float]:
    """Return what importing the operator module costs a DAG parser on top of Airflow: the best of five, in ms."""
    code = (
        "import time; {airflow}; import airflow.providers.common.compat.sdk as s; s.BaseOperator, s.ObjectStoragePath; "
        "t = time.perf_counter(); {operator}; print(1000 * (time.perf_counter() - t))"
    ).format(**IMPORTS)
    times = [
        float(
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()[-1]
        )
        for _ in range(5)
    ]
    return {"operator_import_ms": round(min(times), 1)}


def main() -> None:
    """Print the results as JSON."""
    options = argparse.ArgumentParser(prog="make bench", description=__doc__)
    options.add_argument("--short", action="store_true", help=f"{SHORT} sales instead of {SALES}")
    options.add_argument("--half", choices=["floor", "extract"], help=argparse.SUPPRESS)
    options.add_argument("--folder", default="", help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if arguments.half:
        run_half(arguments.half, arguments.folder)
        return
    sales = SHORT if arguments.short else SALES
    with (
        tempfile.TemporaryDirectory() as folder,
        SimulatorProcess(sales=sales, items=2000, customers=2000, days=365, no_limits=True, grant=True) as simulator,
    ):
        simulator.advance(600)
        facts = dict(simulator.facts)
        floor_, extract_ = (measured(half, facts, str(Path(folder) / half)) for half in ("floor", "extract"))
        tenth = {**facts, "filters": {"saleID": f"<=,{sales // 10}"}}
        small = measured("extract", tenth, str(Path(folder) / "tenth"))
    print(
        json.dumps(
            {
                "sales": sales,
                "floor": floor_,
                "extract": extract_,
                "rows_per_cpu_second": round(extract_["rows"] / extract_["cpu_s"]),
                "cpu_ratio_to_floor": round(extract_["cpu_s"] / floor_["cpu_s"], 2),
                "peak_mib_of_a_tenth": small["peak_mib"],
                "peak_ratio_to_a_tenth": round(extract_["peak_mib"] / small["peak_mib"], 2),
                **import_cost(),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
