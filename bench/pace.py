"""How near a real extract over real HTTP comes to the fastest that the rate limit allows, by the wall clock."""

from __future__ import annotations

import sys
import tempfile
import time
from typing import Any, Final, NamedTuple

from airflow_provider_lightspeed.simulator.limits import bucket_size, drip_rate
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from bench.halves import client_of

#: A page of sales with their lines.
COST: Final = 1.4


class Case(NamedTuple):
    """An account and a read.

    :ivar latency_ms: of every answer.
    """

    registers: int
    pages: int
    latency_ms: int


FULL: Final = (Case(40, 3_000, 250), Case(40, 3_000, 280), Case(40, 3_000, 350))
SHORT: Final = (Case(40, 1_000, 280),)


def pace(*, short: bool) -> dict[str, Any]:
    """Return wall time by lower bound, and drips by those of the pages alone, per case.

    :param short: one case of 1,000 pages instead of three of 3,000.
    """
    return {
        f"{case.registers} registers, {case.pages} pages, {case.latency_ms} ms": _case(case)
        for case in (SHORT if short else FULL)
    }


def _case(case: Case) -> dict[str, Any]:
    from airflow_provider_lightspeed.extract.plan import Job
    from airflow_provider_lightspeed.extract.run import extract
    from airflow_provider_lightspeed.extract.window import RunFacts
    from airflow_provider_lightspeed.lake.storage import Storage

    shop = {"sales": case.pages * 100, "items": 500, "customers": 500, "days": 365, "registers": case.registers}
    with (
        tempfile.TemporaryDirectory() as folder,
        SimulatorProcess(python=sys.executable, **shop, latency_ms=case.latency_ms, grant=True) as simulator,
    ):
        simulator.advance(600)
        client = client_of(simulator.base_url, simulator.facts["access_token"], simulator.account_id)
        job = Job.of("Sale", mode="full", relations=["SaleLines"])
        began = time.monotonic()
        summary = extract(client, Storage.at(folder), job, RunFacts(), run_key="bench", attempt="1")
        wall = time.monotonic() - began
        counters = simulator.counters()
        last = simulator.audit("api")["requests"][-1]["cost"]
    # An empty bucket at the start; nobody else. What it holds at the end need not have dripped out.
    bound = (counters["drips"] - last - bucket_size(case.registers)) / drip_rate(case.registers)
    return {
        "rows": summary.rows,
        "wall_s": round(wall, 1),
        "lower_bound_s": round(bound, 1),
        "wall_to_bound": round(wall / bound, 3),
        "drips_to_cheapest": round(counters["drips"] / (case.pages * COST), 3),
        "bucket_429": int(counters.get("bucket_429", 0)),
        "burst_429": int(counters.get("burst_429", 0)),
        "most_in_flight": int(counters["max_in_flight"]),
    }
