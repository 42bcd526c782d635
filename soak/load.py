"""The crowd: 64 tasks in 16 worker processes on one grant, in good and in bad days."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from soak.parts import Parts, Report, conn_id_of, run_parts
from soak.report import Size, refreshes_per_minute
from tools.databases import available
from tools.deployment import Deployment, deployed, finish, release
from tools.skewed_clock import SKEW

SHOP: Final[dict[str, Any]] = {"sales": 20, "items": 5, "customers": 5, "days": 3, "no_limits": True}
DEAD: Final = ("dead_refresh_tokens", "unknown_refresh_tokens", "foreign_refresh_tokens")


def judge_grants(simulator: SimulatorProcess, life: float) -> dict[str, Any]:
    """Return the grants issued beside those that the time between first and last request needs."""
    requests = simulator.audit("api")["requests"]
    seconds = requests[-1]["at"] - requests[0]["at"]
    counters = simulator.counters()
    needed, made = math.ceil(seconds / life), int(counters.get("refreshes", 0))
    dead = int(sum(counters.get(name, 0) for name in DEAD))
    return {
        "seconds": round(seconds),
        "requests": len(requests),
        "grants": made,
        "grants_needed": needed,
        "dead_attempts": dead,
        "ok": abs(made - needed) <= 1 and dead == 0,
    }


def crowd(deployment: Deployment, size: Size, conn_id: str, seconds: float, *, skew: float = 0.0) -> Counter[str]:
    """Run the tasks in worker processes that reach the database, half of them with a clock behind, half ahead."""
    command = ("-m", "soak.crowd", conn_id, str(seconds), str(size.tasks // size.workers))
    workers = deployment.start_all([(command, {SKEW: str(skew * (-1) ** n)}) for n in range(size.workers)])
    release(workers)
    total: Counter[str] = Counter()
    for status, line in map(finish, workers):
        total.update(json.loads(line) if status == 0 else {"died": 1})
    return total


def storms(size: Size, folder: Path) -> Report:
    """Tasks that reach the database (Airflow 2.11, CLI): one grant per token life, on each database."""
    missing = [kind for kind in size.databases if kind not in available()]
    report: Report = {"left out, not installed": missing} if missing else {}
    for kind in size.databases:
        if kind in missing:
            continue
        with deployed(kind, folder / kind) as deployment:
            report |= run_parts(storm_parts(size, kind, deployment), side_by_side=False)
    return report


def storm_parts(size: Size, kind: str, deployment: Deployment) -> Parts:
    """Return a storm for each skew of the clocks."""

    def storm(name: str, skew: float) -> Report:
        with SimulatorProcess(**SHOP, token_life=size.life) as simulator:
            deployment.connect(simulator, conn_id_of(name))
            ended = crowd(deployment, size, conn_id_of(name), size.seconds, skew=skew)
            found = judge_grants(simulator, size.life) | {"tasks": dict(ended)}
            found["ok"] &= ended["success"] == size.tasks
            return found

    names = {f"{kind}, clocks {skew:.0f} s wrong": skew for skew in size.skews}
    return {name: partial(storm, name, skew) for name, skew in names.items()}


def bad_days(size: Size, folder: Path) -> Report:
    """The same tasks with a regenerated secret, a dead grant, a token endpoint that is down, and one that hangs."""
    with deployed(size.databases[-1], folder) as deployment:
        return run_parts(bad_day_parts(size, deployment), side_by_side=False)


def bad_day_parts(size: Size, deployment: Deployment) -> Parts:
    """Return a crowd for each kind of bad day."""
    down = {"action": "status", "path": "/oauth/token", "status": 503, "count": None}
    hangs = {"action": "hang", "path": "/oauth/token", "seconds": 60, "count": None}
    days: Mapping[str, Callable[[SimulatorProcess], object]] = {
        "regenerated secret": lambda simulator: simulator.call("POST", "clients", {"regenerate_secret": True}),
        "dead grant": lambda simulator: simulator.revoke(),
        "token endpoint down": lambda simulator: simulator.faults(down),
        "token endpoint hangs 60 s": lambda simulator: simulator.faults(hangs),
    }

    def bad_day(name: str) -> Report:
        with SimulatorProcess(**SHOP, token_life=size.life) as simulator:
            deployment.connect(simulator, conn_id_of(name))
            days[name](simulator)
            ended = crowd(deployment, size, conn_id_of(name), size.bad_seconds)
            calls = [entry["at"] for entry in simulator.audit("token")["requests"]]
            most = refreshes_per_minute(calls)
            sticky = not name.startswith("token endpoint")
            found = {"token_calls": len(calls), "most_a_minute": most, "tasks": dict(ended)}
            return found | {"ok": len(calls) == 1 if sticky else 1 <= most <= 4}

    return {name: partial(bad_day, name) for name in days}
