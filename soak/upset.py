"""A storm of tasks on one connection while a worker, Redis and the API server die: nothing is lost, every task ends well."""

from __future__ import annotations

import time
from functools import partial

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from soak.load import DEAD, SHOP
from soak.parts import Parts, Report
from soak.report import Size, refreshes_per_minute
from soak.stacks import connect
from tools.airflow_api import wait_until
from tools.celery_stack import CeleryStack

CONN = "upset"
DAG = "upset_storm"


def upset_parts(size: Size, stack: CeleryStack) -> Parts:
    """Return the storm as a part."""
    return {"worker, Redis and API server killed": partial(_upset, size, stack)}


def _upset(size: Size, stack: CeleryStack) -> Report:
    with SimulatorProcess(**SHOP, token_life=size.life) as simulator:
        connect(stack, simulator, CONN)
        found = storm(stack, simulator)
    return found | {"ok": is_well(found, size.upset_tasks)}


def is_well(report: Report, tasks: int) -> bool:
    """Tell whether all tasks ended well, with no dead refresh token spent and at most four grants a minute."""
    return bool(
        report["tasks"] == {"success": tasks}
        and report["dead_attempts"] == 0
        and 1 <= report["most_grants_a_minute"] <= 4
    )


def storm(stack: CeleryStack, simulator: SimulatorProcess) -> Report:
    """Run the DAG of this module; when its tasks read, kill a worker, then Redis, then the API server."""
    api = stack.api
    api.wait_for_dag(DAG)
    run_id = api.trigger(DAG)

    def hosts() -> set[str] | None:
        """Return where tasks are running, once that is on every host."""
        found = {task["hostname"] for task in api.task_instances(DAG, run_id) if task["state"] == "running"}
        return found if found >= set(stack.hosts) else None

    wait_until("tasks run on every host", hosts, timeout=300)
    before = reads(simulator)
    wait_until("tasks read", lambda: True if reads(simulator) > before else None, timeout=300)
    victim = stack.hosts[0]
    lost = [
        task for task in api.task_instances(DAG, run_id) if (task["state"], task["hostname"]) == ("running", victim)
    ]
    began = time.monotonic()
    stack.kill(victim)
    stack.redis.restart()
    stack.kill("api-server")
    stack.restart("api-server")
    stack.restart(victim)
    back = time.monotonic() - began
    api.wait_for_run(DAG, run_id, timeout=900)
    ended = api.task_instances(DAG, run_id)
    states = [task["state"] for task in ended]
    calls = [entry["at"] for entry in simulator.audit("token")["requests"]]
    counters = simulator.counters()
    return {
        "tasks": {state: states.count(state) for state in sorted(set(states))},
        "killed_in_mid_task": len(lost),
        "tried_again": sum(task["try_number"] > 1 for task in ended),
        "hosts": sorted({task["hostname"] for task in ended}),
        "all_processes_back_after_s": round(back, 1),
        "requests": reads(simulator),
        "grants": int(counters.get("refreshes", 0)),
        "most_grants_a_minute": refreshes_per_minute(calls),
        "dead_attempts": int(sum(counters.get(name, 0) for name in DEAD)),
    }


def reads(simulator: SimulatorProcess) -> int:
    """Return how many requests for data the account has answered."""
    return int(simulator.counters().get("api_requests", 0))
