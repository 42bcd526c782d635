"""What `make bench` measures, each in a fresh process of its own: one half of a comparison reads one list.

``python -m bench.halves NAME FOLDER`` takes the simulator's facts on stdin and prints what the half took. A rival's
environment holds neither this provider nor Airflow, so nothing but the standard library is imported up here.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

Facts = dict[str, Any]


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


def sale_list(facts: Facts) -> tuple[str, dict[str, str]]:
    """Return address and query of the list that every half reads: sales with lines, archived ones included."""
    query = {"load_relations": '["SaleLines"]', "archived": "true", "limit": "100"}
    return f"{facts['base_url']}/API/V3/Account/{facts['account_id']}/Sale.json", query | facts.get("filters", {})


def floor(facts: Facts, folder: str) -> dict[str, Any]:
    """Fetch all pages and decode them, nothing else."""
    import orjson
    import requests

    del folder
    session, rows, size = requests.Session(), 0, 0
    session.trust_env = False
    session.headers["Authorization"] = f"Bearer {facts['access_token']}"
    address, query = sale_list(facts)
    url = f"{address}?{urlencode(query)}"
    while url:
        body = session.get(url, timeout=60).content
        page = orjson.loads(body)
        rows, size = rows + len(page["Sale"]), size + len(body)
        url = page["@attributes"]["next"]
    return {"rows": rows, "wire_bytes": size}


def extract(facts: Facts, folder: str) -> dict[str, Any]:
    """Run the extract as the operator does."""
    from airflow_provider_lightspeed.extract.plan import Job
    from airflow_provider_lightspeed.extract.run import extract as run
    from airflow_provider_lightspeed.extract.window import RunFacts
    from airflow_provider_lightspeed.lake.storage import Storage

    client = client_of(facts["base_url"], facts["access_token"], facts["account_id"])
    job = Job.of("Sale", mode="full", relations=["SaleLines"], filters=facts.get("filters"))
    summary = run(client, Storage.at(folder), job, RunFacts(), run_key="bench", attempt="1")
    return {"rows": summary.rows, "parquet_bytes": summary.bytes}


def nothing(folder: str) -> dict[str, int]:
    """Count nothing: the floor writes no files and has counted its rows on the way."""
    del folder
    return {}


def lines(folder: str) -> dict[str, int]:
    """Count the lines in the extract's files."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    column = ds.dataset(folder, format="parquet").to_table(columns=["SaleLines"])["SaleLines"]
    return {"lines": pc.sum(pc.list_value_length(column)).as_py()}


class Half(NamedTuple):
    """What is measured, and what counts afterwards and unmeasured what it wrote."""

    read: Callable[[Facts, str], dict[str, Any]]
    written: Callable[[str], dict[str, int]]


HALVES: Final = {"floor": Half(floor, nothing), "extract": Half(extract, lines)}


def half_of(name: str) -> Half:
    """Return a half by name: one of this module, or the module of a rival, such as ``bench.rivals.with_dlt``.

    :raises ModuleNotFoundError: if there is neither, or the rival's own packages are not installed.
    """
    if name in HALVES:
        return HALVES[name]
    rival = importlib.import_module(name)
    return Half(rival.read, rival.written)


def measured(half: str, facts: Facts, folder: str, python: str = sys.executable) -> dict[str, Any]:
    """Run one half in a fresh process.

    :param python: interpreter of the half's environment.
    :returns: what the half says (``rows`` and more), ``cpu_s`` (user and system), ``wall_s``, ``peak_mib``.
    :raises RuntimeError: if the half fails; with the end of its stderr.
    """
    os.makedirs(folder, exist_ok=True)
    command = [python, "-m", "bench.halves", half, folder]
    done = subprocess.run(command, input=json.dumps(facts), capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"{half} ended with status {done.returncode}: {done.stderr[-4000:]}"
        raise RuntimeError(msg)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run_half(half: str, folder: str) -> None:
    """Do one half and print what it took, importing its packages and its child processes included."""
    facts = json.loads(sys.stdin.read())
    wall, began = time.monotonic(), cpu_seconds()
    chosen = half_of(half)
    found = chosen.read(facts, folder)
    used, wall = cpu_seconds() - began, time.monotonic() - wall
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    found |= chosen.written(folder)
    print(json.dumps(found | {"cpu_s": round(used, 2), "wall_s": round(wall, 2), "peak_mib": peak // 1024}))


def cpu_seconds() -> float:
    """Return user and system time of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    run_half(*sys.argv[1:])
