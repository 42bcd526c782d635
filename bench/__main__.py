"""Measure the way from wire bytes to Parquet against its floor: fetching and decoding the same bytes alone.

Everything measured runs in a fresh process of its own (bench/halves.py), against one simulator without limits, so that
CPU time and peak memory belong to one thing each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from bench.halves import measured
from bench.lake import lake
from bench.limits import limits
from bench.memory import memory
from bench.night import night
from bench.pace import pace
from bench.rivals.compare import compare

SALES: Final = 200_000
SHORT: Final = 20_000
IMPORTS: Final = {
    "airflow": "import airflow.sdk",
    "operator": "import airflow_provider_lightspeed.operators.lightspeed",
}


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


def extract(*, short: bool) -> dict[str, Any]:
    """Measure the extract beside its floor, its memory beside that of a tenth of the sales, and what its import costs.

    :param short: 20,000 sales instead of 200,000.
    """
    sales = SHORT if short else SALES
    with (
        tempfile.TemporaryDirectory() as folder,
        SimulatorProcess(sales=sales, items=2000, customers=2000, days=365, no_limits=True, grant=True) as simulator,
    ):
        simulator.advance(600)
        facts = dict(simulator.facts)
        floor_, extract_ = (measured(half, facts, str(Path(folder) / half)) for half in ("floor", "extract"))
        tenth = {**facts, "filters": {"saleID": f"<=,{sales // 10}"}}
        small = measured("extract", tenth, str(Path(folder) / "tenth"))
    return {
        "sales": sales,
        "floor": floor_,
        "extract": extract_,
        "rows_per_cpu_second": round(extract_["rows"] / extract_["cpu_s"]),
        "cpu_ratio_to_floor": round(extract_["cpu_s"] / floor_["cpu_s"], 2),
        "peak_mib_of_a_tenth": small["peak_mib"],
        "peak_ratio_to_a_tenth": round(extract_["peak_mib"] / small["peak_mib"], 2),
        **import_cost(),
    }


SCENARIOS: Final[dict[str, Callable[..., dict[str, Any]]]] = {
    "extract": extract,
    "limits": limits,
    "pace": pace,
    "memory": memory,
    "night": night,
    "lake": lake,
    "rivals": compare,
}


def main() -> None:
    """Print the results as JSON, one key per scenario."""
    options = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    options.add_argument("--short", action="store_true", help="fewer rows")
    options.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; default all")
    arguments = options.parse_args()
    if unknown := set(arguments.scenarios) - set(SCENARIOS):
        options.error(f"unknown scenario {', '.join(sorted(unknown))}; known: {', '.join(SCENARIOS)}")
    results = {}
    for name in arguments.scenarios or SCENARIOS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        results[name] = SCENARIOS[name](short=arguments.short)
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
