"""Whole Airflow 3 deployments: tasks that cannot reach the database, API servers that refresh for them."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from soak.load import SHOP, judge_grants
from soak.report import Size, percentile
from tools.airflow_stack import AirflowStack
from tools.databases import DATABASES

DAGS: Final = Path(__file__).parent / "dags"
CONN: Final = "lightspeed_default"


@contextmanager
def stack_of(folder: Path, database: str, *, api_servers: int = 1, **environment: str) -> Iterator[AirflowStack]:
    """Yield a running Airflow on a database of this kind."""
    with DATABASES[database](folder / database) as reached:
        environment |= dict(reached) | {"PYTHONPATH": os.pathsep.join(_paths(reached))}
        config = {"core__parallelism": environment.pop("parallelism", "4"), "api__workers": str(api_servers)}
        with AirflowStack(folder / "airflow", DAGS, config=config, environment=environment) as stack:
            yield stack


def _paths(reached: dict[str, str]) -> list[str]:
    return [path for path in (reached.get("PYTHONPATH"), str(Path(__file__).parents[1])) if path]


def connect(stack: AirflowStack, simulator: SimulatorProcess) -> dict[str, Any]:
    """Add the connection as a person does, by the API; return its extra."""
    fields = simulator.connection(refresh_token=simulator.grant()["refresh_token"])
    stack.api.add_connection(CONN, "lightspeed", **fields)
    extra: dict[str, Any] = json.loads(fields["extra"])
    return extra


def storms(size: Size, folder: Path) -> dict[str, Any]:
    """Mapped tasks under LocalExecutor, with one and with several API server processes, and with wrong clocks."""
    report: dict[str, Any] = {}
    seconds = size.seconds * size.workers / size.tasks
    for database, servers, skew in size.shapes:
        name = f"{database}, {servers} API servers, clocks {skew:.0f} s wrong"
        environment = {
            "SOAK_TASKS": str(size.tasks),
            "SOAK_SECONDS": str(seconds),
            "SOAK_SKEW": str(skew),
            "parallelism": str(size.workers),
        }
        with (
            SimulatorProcess(**SHOP, token_life=size.life) as simulator,
            stack_of(folder / str(len(report)), database, api_servers=servers, **environment) as stack,
        ):
            connect(stack, simulator)
            stack.api.wait_for_dag("storm")
            run_id = stack.api.trigger("storm")
            state = stack.api.wait_for_run("storm", run_id, timeout=size.seconds * 4 + 300)
            states = [task["state"] for task in stack.api.task_instances("storm", run_id)]
            found = judge_grants(simulator, size.life) | {"tasks": {each: states.count(each) for each in set(states)}}
            found["ok"] &= state == "success" and states.count("success") == size.tasks
            report[name] = found
    return report


def one_api_server(size: Size, folder: Path) -> dict[str, Any]:
    """A hung grant with many waiters; form saves between slow grants; kills of the API server."""
    with stack_of(folder, "postgres", SOAK_TASKS="1", SOAK_SECONDS="1") as stack:
        return {
            "waiters on a hung grant": _hung_grant(size, stack),
            "form saves between slow grants": _saves(size, stack),
            "API server killed": _killed_servers(max(2, size.kills // 50), stack),
        }


def _hung_grant(size: Size, stack: AirflowStack) -> dict[str, Any]:
    with SimulatorProcess(**SHOP) as simulator:
        seen = Secret(connect(stack, simulator)["refresh_token"]).fingerprint()
        simulator.faults({"action": "hang", "path": "/oauth/token", "seconds": 60, "count": None})
        quiet = asyncio.run(_latencies(stack, seen, waiters=0, seconds=8))
        loud = asyncio.run(_latencies(stack, seen, waiters=size.waiters, seconds=9))
        calls = len(simulator.audit("token")["requests"])
        stack.api.call("DELETE", f"connections/{CONN}")
    p99 = {"p99_ms_without": round(percentile(quiet, 0.99) * 1000), "p99_ms_with": round(percentile(loud, 0.99) * 1000)}
    return {"waiters": size.waiters, "requests": len(loud), **p99, "token_calls": calls, "ok": 1 <= calls <= 4}


async def _latencies(stack: AirflowStack, seen: str, *, waiters: int, seconds: float) -> list[float]:
    """Ask an endpoint that has nothing to do with us, while so many tasks wait for the same refresh."""
    import httpx

    end, found = time.monotonic() + seconds, list[float]()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)

    async def wait(http: httpx.AsyncClient, number: int) -> None:
        await asyncio.sleep(number / max(1, waiters))
        while time.monotonic() < end:
            reply = await http.post(f"{stack.url}/lightspeed/refresh/{CONN}", json={"seen": seen})
            await asyncio.sleep(reply.json()["retry_after"] * (1 + (number % 10) / 20))

    async def look(http: httpx.AsyncClient) -> None:
        while time.monotonic() < end:
            began = time.monotonic()
            (await http.get(f"{stack.url}/api/v2/version")).raise_for_status()
            found.append(time.monotonic() - began)
            await asyncio.sleep(0.05)

    async with httpx.AsyncClient(timeout=60, limits=limits, trust_env=False) as http:
        await asyncio.gather(look(http), *(wait(http, number) for number in range(waiters)))
    return found


def _saves(size: Size, stack: AirflowStack) -> dict[str, Any]:
    """Save what the form showed before, during and after refreshes, which are slow and always due."""
    import threading

    with SimulatorProcess(**SHOP, token_life=1, refreshes_per_minute=1_000) as simulator:
        extra = connect(stack, simulator)
        simulator.faults({"action": "slow", "path": "/oauth/token", "seconds": 1.5, "count": None})
        over = threading.Event()
        asked: list[str] = []

        def ask() -> None:
            while not over.is_set():
                asked.append(stack.refresh(CONN))
                over.wait(0.2)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            for number in range(size.saves):
                # The form as it was opened first: with the first refresh token, which is spent long since.
                body = {
                    "connection_id": CONN,
                    "conn_type": "lightspeed",
                    "extra": json.dumps(extra),
                    "port": number + 1,
                }
                stack.api.call("PATCH", f"connections/{CONN}", body, update_mask=["extra", "port"])
                over.wait(0.3)
        finally:
            over.set()
            asking.join()
        time.sleep(61 if asked.count("unavailable") else 1.1)  # four a minute
        last = stack.refresh(CONN)
        counters = simulator.counters()
        stack.api.call("DELETE", f"connections/{CONN}")
    return {
        "saves": size.saves,
        "refreshes": int(counters.get("refreshes", 0)),
        "dead_attempts": int(counters.get("dead_refresh_tokens", 0)),
        "last": last,
        "ok": last == "refreshed" and not counters.get("dead_refresh_tokens", 0),
    }


def _killed_servers(count: int, stack: AirflowStack) -> dict[str, Any]:
    """``kill -9`` the API server while it waits for a grant's answer; the next one goes on."""
    import threading

    with SimulatorProcess(**SHOP, token_life=1, refreshes_per_minute=1_000) as simulator:
        connect(stack, simulator)
        outcomes = []
        for _ in range(count):
            simulator.faults({"action": "slow", "path": "/oauth/token", "seconds": 2.0})
            before = len(simulator.audit("token")["requests"])
            asking = threading.Thread(target=lambda: outcomes.append(stack.refresh(CONN)))
            asking.start()
            while asking.is_alive() and len(simulator.audit("token")["requests"]) == before:
                time.sleep(0.05)
            stack.kill("api-server")
            asking.join()
            stack.restart("api-server")
        simulator.clear_faults()
        deadline = time.monotonic() + 150
        while (last := stack.refresh(CONN)) != "refreshed" and time.monotonic() < deadline:
            time.sleep(1)
        dead = int(simulator.counters().get("dead_refresh_tokens", 0))
        stack.api.call("DELETE", f"connections/{CONN}")
    return {"kills": count, "last": last, "dead_attempts": dead, "ok": last == "refreshed" and dead == 0}
