"""Whole Airflow 3 deployments: tasks that cannot reach the database, API servers that refresh for them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from soak import upset
from soak.load import SHOP, judge_grants
from soak.parts import Report, run_parts
from soak.report import CELERY, LOCAL, Shape, Size, percentile
from soak.stacks import connect, stack_of, startable
from tools.airflow_stack import AirflowStack
from tools.celery_stack import CeleryStack


def _stack_for_storm(size: Size, folder: Path, shape: Shape) -> AbstractContextManager[AirflowStack]:
    seconds = size.seconds * size.workers / size.tasks
    return stack_of(folder, shape, size, workers=size.workers, seconds=seconds)


def storms(size: Size, folder: Path) -> Report:
    """Mapped tasks on every shape: databases, pooler, executors, API server processes, wrong clocks."""
    report: Report = {}
    for number, shape in enumerate(filter(None, map(startable, size.shapes))):
        with _stack_for_storm(size, folder / str(number), shape) as stack:
            report |= run_parts(_storm_parts(size, shape, stack), side_by_side=False)
    return report


def one_api_server(size: Size, folder: Path) -> Report:
    """A hung grant with many waiters; form saves between slow grants; kills of the API server: under each executor."""
    report: Report = {}
    for executor in (LOCAL, CELERY):
        if (shape := startable(Shape("postgres", executor=executor))) is None or shape.executor != executor:
            continue
        with stack_of(folder / executor, shape, size, workers=4, seconds=1) as stack:
            parts = _waiter_parts(size, stack) | _save_parts(size, stack) | _kill_parts(size, stack)
            report[executor] = run_parts(parts, side_by_side=False)
    return report


def upset_storm(size: Size, folder: Path) -> Report:
    """A storm under Celery while a worker, Redis and the API server are killed."""
    shape = startable(Shape("postgres", 2, executor=CELERY))
    if shape is None or shape.executor != CELERY:
        return {}
    with stack_of(folder, shape, size, workers=size.workers, seconds=15) as stack:
        assert isinstance(stack, CeleryStack)
        return run_parts(upset.upset_parts(size, stack), side_by_side=False)


def on_one_stack(size: Size, folder: Path) -> Report:
    """The same on the first shape. What waits runs beside the storm; what loads or ends the API server comes after it."""
    shape = startable(size.shapes[0])
    assert shape is not None
    with _stack_for_storm(size, folder, shape) as stack:
        report = run_parts(_storm_parts(size, shape, stack) | _save_parts(size, stack), side_by_side=True)
        report |= run_parts(_waiter_parts(size, stack) | _kill_parts(size, stack), side_by_side=False)
        if isinstance(stack, CeleryStack):
            report |= run_parts(upset.upset_parts(size, stack), side_by_side=False)
        return report


def _storm_parts(size: Size, shape: Shape, stack: AirflowStack) -> dict[str, Callable[[], Report]]:
    return {str(shape): partial(_storm, size, stack)}


def _waiter_parts(size: Size, stack: AirflowStack) -> dict[str, Callable[[], Report]]:
    return {"waiters on a hung grant": partial(_hung_grant, size, stack)}


def _save_parts(size: Size, stack: AirflowStack) -> dict[str, Callable[[], Report]]:
    return {"form saves between slow grants": partial(_saves, size, stack)}


def _kill_parts(size: Size, stack: AirflowStack) -> dict[str, Callable[[], Report]]:
    return {"API server killed": partial(_killed_servers, size.server_kills, stack)}


def _storm(size: Size, stack: AirflowStack) -> Report:
    with SimulatorProcess(**SHOP, token_life=size.life) as simulator:
        connect(stack, simulator)
        stack.api.wait_for_dag("storm")
        run_id = stack.api.trigger("storm")
        state = stack.api.wait_for_run("storm", run_id, timeout=size.seconds * 4 + 300)
        states = [task["state"] for task in stack.api.task_instances("storm", run_id)]
        found = judge_grants(simulator, size.life) | {"tasks": {each: states.count(each) for each in set(states)}}
        found["ok"] &= state == "success" and states.count("success") == size.tasks
        return found


def _hung_grant(size: Size, stack: AirflowStack) -> Report:
    conn_id = "hung"
    with SimulatorProcess(**SHOP) as simulator:
        seen = Secret(connect(stack, simulator, conn_id)["refresh_token"]).fingerprint()
        simulator.faults({"action": "hang", "path": "/oauth/token", "seconds": 60, "count": None})
        quiet = asyncio.run(_latencies(stack, conn_id, seen, waiters=0, seconds=8))
        loud = asyncio.run(_latencies(stack, conn_id, seen, waiters=size.waiters, seconds=9))
        calls = len(simulator.audit("token")["requests"])
    p99 = {"p99_ms_without": round(percentile(quiet, 0.99) * 1000), "p99_ms_with": round(percentile(loud, 0.99) * 1000)}
    return {"waiters": size.waiters, "requests": len(loud), **p99, "token_calls": calls, "ok": 1 <= calls <= 4}


async def _latencies(stack: AirflowStack, conn_id: str, seen: str, *, waiters: int, seconds: float) -> list[float]:
    """Ask an endpoint that has nothing to do with us, while so many tasks wait for the same refresh."""
    import httpx

    found = list[float]()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)

    async def wait(http: httpx.AsyncClient, number: int) -> None:
        await asyncio.sleep(number / max(1, waiters))
        while time.monotonic() < end:
            reply = await http.post(f"{stack.url}/lightspeed/refresh/{conn_id}", json={"seen": seen})
            await asyncio.sleep(reply.json()["retry_after"] * (1 + (number % 10) / 20))

    async def look(http: httpx.AsyncClient) -> None:
        while time.monotonic() < end:
            began = time.monotonic()
            (await http.get(f"{stack.url}/api/v2/version")).raise_for_status()
            found.append(time.monotonic() - began)
            await asyncio.sleep(0.05)

    async with httpx.AsyncClient(timeout=60, limits=limits, trust_env=False) as http:
        end = time.monotonic() + seconds
        await asyncio.gather(look(http), *(wait(http, number) for number in range(waiters)))
    return found


def _saves(size: Size, stack: AirflowStack) -> Report:
    """Save what the form showed before, during and after refreshes, which are slow and always due."""
    import threading

    conn_id = "saved"
    with SimulatorProcess(**SHOP, token_life=1, refreshes_per_minute=1_000) as simulator:
        extra = connect(stack, simulator, conn_id)
        simulator.faults({"action": "slow", "path": "/oauth/token", "seconds": 1.5, "count": None})
        over = threading.Event()
        asked: list[str] = []

        def ask() -> None:
            while not over.is_set():
                asked.append(stack.refresh(conn_id))
                over.wait(0.2)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            for number in range(size.saves):
                # The form as it was opened first: with the first refresh token, which is spent long since.
                body = {
                    "connection_id": conn_id,
                    "conn_type": "lightspeed",
                    "extra": json.dumps(extra),
                    "description": f"save {number}",
                }
                stack.api.call("PATCH", f"connections/{conn_id}", body, update_mask=["extra", "description"])
                over.wait(0.3)
        finally:
            over.set()
            asking.join()
        time.sleep(61 if asked.count("unavailable") else 1.1)  # four a minute
        last = stack.refresh(conn_id)
        counters = simulator.counters()
    return {
        "saves": size.saves,
        "refreshes": int(counters.get("refreshes", 0)),
        "dead_attempts": int(counters.get("dead_refresh_tokens", 0)),
        "last": last,
        "ok": last == "refreshed" and not counters.get("dead_refresh_tokens", 0),
    }


def _killed_servers(count: int, stack: AirflowStack) -> Report:
    """``kill -9`` the API server while it waits for a grant's answer; the next one goes on."""
    import threading

    conn_id = "killed"
    with SimulatorProcess(**SHOP, token_life=1, refreshes_per_minute=1_000) as simulator:
        connect(stack, simulator, conn_id)
        outcomes = []
        for _ in range(count):
            simulator.faults({"action": "slow", "path": "/oauth/token", "seconds": 2.0})
            before = len(simulator.audit("token")["requests"])
            asking = threading.Thread(target=lambda: outcomes.append(stack.refresh(conn_id)))
            asking.start()
            while asking.is_alive() and len(simulator.audit("token")["requests"]) == before:
                time.sleep(0.05)
            stack.kill("api-server")
            asking.join()
            stack.restart("api-server")
        simulator.clear_faults()
        deadline = time.monotonic() + 150
        while (last := stack.refresh(conn_id)) != "refreshed" and time.monotonic() < deadline:
            time.sleep(1)
        dead = int(simulator.counters().get("dead_refresh_tokens", 0))
    return {"kills": count, "last": last, "dead_attempts": dead, "ok": last == "refreshed" and dead == 0}
