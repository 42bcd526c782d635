"""Run the soak and print its figures as JSON; exit status 1 if one of them is not what was promised."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from soak import kills, load, restored
from soak.parts import AIRFLOW, Report, failures, run_parts
from soak.report import SHORT, WHOLE, Size
from tools.deployment import deployed

Scenario = Callable[[Size, Path], dict[str, Any]]


def scenarios() -> dict[str, Scenario]:
    """Return what can be proved on the installed Airflow."""
    found: dict[str, Scenario] = {
        "storm": load.storms,
        "bad days": load.bad_days,
        "kills": kills.kills,
        "restored database": restored.restores,
    }
    if AIRFLOW.startswith("3."):
        from soak import midnight, week, whole

        found |= {
            "whole storm": whole.storms,
            "one API server": whole.one_api_server,
            "upset storm": whole.upset_storm,
            "midnight": midnight.midnights,
            "week": week.weeks,
        }
    return found


def short_scenarios() -> dict[str, Scenario]:
    """Return the same rules with one deployment each for all that can share it; ``tests/contract`` has the busy weeks."""
    found: dict[str, Scenario] = {"one database": on_one_database}
    if AIRFLOW.startswith("3."):
        from soak import whole

        found["one stack"] = whole.on_one_stack
    return found


def on_one_database(size: Size, folder: Path) -> Report:
    """Storm, bad days and kills side by side: each part has a simulator and a connection of its own."""
    kind = size.databases[-1]
    with deployed(kind, folder) as deployment:
        parts = {
            **load.storm_parts(size, kind, deployment),
            **load.bad_day_parts(size, deployment),
            **kills.kill_parts(size, deployment),
        }
        return run_parts(parts, side_by_side=True)


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few minutes, side by side")
    names = [*scenarios(), *short_scenarios()]
    parser.add_argument("--only", action="append", choices=names, help="one scenario; may be repeated")
    arguments = parser.parse_args()
    size, chosen = (SHORT, short_scenarios()) if arguments.short else (WHOLE, scenarios())
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        parts = {
            name: partial(run, size, Path(folder) / str(number))
            for number, (name, run) in enumerate(chosen.items())
            if not arguments.only or name in arguments.only
        }
        report = run_parts(parts, side_by_side=arguments.short)
    print(json.dumps({"airflow": AIRFLOW, **report, "took_s": round(time.monotonic() - began)}, indent=2))
    missed = list(failures(report))
    for path in missed:
        print(f"not as promised: {path}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
