"""Hundreds of connections whose tokens lapse at the same moment, while many tasks ask for theirs."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import requests
import sqlalchemy

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from soak.load import DEAD, SHOP
from soak.parts import Parts, Report, run_parts
from soak.report import Shape, Size, percentile, refreshes_per_minute
from soak.stacks import stack_of, startable
from tools.airflow_stack import AirflowStack

#: Seconds that the authorization server takes for a grant.
GRANT: Final = 0.25
#: Processes that ask; each has as many threads as there are tasks for it to play.
WORKERS: Final = 8
#: What has nothing to do with this provider: without the database, and with it.
ENDPOINTS: Final = ("version", "monitor/health")
_SESSIONS: Final = (
    "SELECT state, count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    " GROUP BY state"
)


def midnights(size: Size, folder: Path) -> Report:
    """Tokens of all connections lapse at once: with one API server process, and with four."""
    report: Report = {}
    for servers in (1, 4):
        shape = startable(Shape("postgres", servers))
        assert shape is not None
        with stack_of(folder / str(servers), shape, size, workers=WORKERS, seconds=1) as stack:
            report |= run_parts(midnight_parts(size, shape, stack), side_by_side=False)
    return report


def midnight_parts(size: Size, shape: Shape, stack: AirflowStack) -> Parts:
    """Return the night as a part."""
    return {f"{size.connections} connections at midnight, {shape}": partial(_night, size, stack)}


def _night(size: Size, stack: AirflowStack) -> Report:
    """All connections get their first token; when the last of these has lapsed, all need a new one at the same moment."""
    with SimulatorProcess(**SHOP, token_life=size.midnight_life) as simulator:
        _connect_all(stack, simulator, size.connections)
        simulator.faults({"action": "slow", "path": "/oauth/token", "seconds": GRANT, "count": None})
        quiet = _watched(stack, lambda: time.sleep(10))
        first = _wave(size, stack, simulator)
        time.sleep(size.midnight_life)
        midnight = _wave(size, stack, simulator)
        counters = simulator.counters()
    dead = int(sum(counters.get(name, 0) for name in DEAD))
    waves = (first, midnight)
    is_well = all({wave["connections_with_a_token"], wave["grants"]} == {size.connections} for wave in waves)
    return {
        "connections": size.connections,
        "asking_at_a_time": size.askers,
        "grant_ms": round(GRANT * 1000),
        "before": quiet,
        "first tokens": first,
        "midnight": midnight,
        "dead_attempts": dead,
        "ok": is_well and dead == 0,
    }


def _connect_all(stack: AirflowStack, simulator: SimulatorProcess, count: int) -> None:
    """Add connections as a deploy tool does, each with a consent of its own, of an account of its own."""
    for number in range(count):
        token = simulator.grant(account_id=str(1_000 + number))["refresh_token"]
        stack.api.add_connection(f"shop_{number}", "lightspeed", **simulator.connection(refresh_token=token))


def _wave(size: Size, stack: AirflowStack, simulator: SimulatorProcess) -> Report:
    simulator.clear_audit()
    api = stack.api
    api.wait_for_dag("midnight")
    start = time.time() + 60  # until all processes wait
    conf = {"start": start, "connections": size.connections, "threads": size.askers // WORKERS}
    run_id = api.trigger("midnight", conf)
    time.sleep(max(0.0, start - time.time()))

    def run() -> None:
        api.wait_for_run("midnight", run_id, timeout=900)

    watched = _watched(stack, run)
    took: list[float] = []
    for task in api.task_instances("midnight", run_id):
        took += api.xcom("midnight", run_id, "ask", map_index=task["map_index"]) or []
    granted = [entry for entry in simulator.audit("token")["requests"] if entry["status"] == 200]
    at = [entry["at"] for entry in granted]
    return {
        "connections_with_a_token": len(took),
        "all_have_tokens_after_s": round(max(took, default=0.0), 1),
        "half_have_tokens_after_s": round(percentile(took, 0.5), 1) if took else None,
        "grants": len(granted),
        "grants_in_the_busiest_minute": refreshes_per_minute(at),
        **watched,
    }


def _watched(stack: AirflowStack, run: Callable[[], object]) -> dict[str, Any]:
    """Run something; return how long others waited meanwhile, and how many database connections were held."""
    engine = sqlalchemy.create_engine(stack.database)
    with _sampled(partial(_sessions, engine)) as held, ThreadPoolExecutor(len(ENDPOINTS)) as pool:
        over = threading.Event()
        asking = {name: pool.submit(_latencies, f"{stack.url}/api/v2/{name}", over) for name in ENDPOINTS}
        try:
            run()
        finally:
            over.set()
        found = {f"p99_ms of {name}": round(percentile(each.result(), 0.99) * 1000) for name, each in asking.items()}
    engine.dispose()
    most: Counter[str] = Counter()
    for sample in held:
        most |= sample
    return {**found, "most_database_connections": dict(most)}


def _latencies(url: str, over: threading.Event) -> list[float]:
    found = list[float]()
    with requests.Session() as http:
        http.trust_env = False
        while not over.is_set():
            began = time.monotonic()
            http.get(url, timeout=120).raise_for_status()
            found.append(time.monotonic() - began)
            over.wait(0.1)
    return found


@contextmanager
def _sampled(look: Callable[[], Counter[str]]) -> Iterator[list[Counter[str]]]:
    over, found = threading.Event(), list[Counter[str]]()

    def sample() -> None:
        while not over.is_set():
            found.append(look())
            over.wait(0.5)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def _sessions(engine: sqlalchemy.Engine) -> Counter[str]:
    """Return the database server's sessions by what they do, and in all."""
    with engine.connect() as connection:
        found = Counter({str(state): int(count) for state, count in connection.execute(sqlalchemy.text(_SESSIONS))})
    found["all"] = found.total()
    return found
