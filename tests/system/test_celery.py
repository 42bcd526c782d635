"""Airflow with the Celery executor: Redis, Postgres, and two workers; what is killed in mid-task loses nothing.

The workers are given neither ``[database] sql_alchemy_conn`` nor the Fernet key (:mod:`tools.celery_stack`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest

pytest.importorskip("airflow.sdk")

from airflow_provider_lightspeed.resources.catalog import resource
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from soak import upset
from soak.report import refreshes_per_minute
from soak.stacks import connect
from tests.system.conftest import DAILY, ROOT
from tools.airflow_api import wait_until
from tools.celery_stack import CeleryStack
from tools.databases import migrated
from tools.redis_server import redis_is_installed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR"),
    pytest.mark.skipif(not redis_is_installed(), reason="redis-server is not installed (tools/install_servers.sh)"),
]
#: Tasks at once on one connection.
STORM = 32
#: As an operator would set it for a quick end of a test: the example waits five minutes before it tries again.
DELAY = ('retry_delay": timedelta(minutes=5)', 'retry_delay": timedelta(0)')


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CeleryStack]:
    """An API server, and two workers with eight slots each."""
    folder = tmp_path_factory.mktemp("celery")
    example = (ROOT / "dags" / f"{DAILY}.py").read_text()
    assert DELAY[0] in example
    (folder / "dags").mkdir()
    (folder / "dags" / f"{DAILY}.py").write_text(example.replace(*DELAY))
    shutil.copy(ROOT / "soak" / "dags" / "storm.py", folder / "dags")
    numbers = {"SOAK_TASKS": "1", "SOAK_UPSET_TASKS": str(STORM), "SOAK_SECONDS": "10"}
    with migrated("postgres", folder / "postgres") as database:
        environment = {**database, **numbers, "AIRFLOW_VAR_LIGHTSPEED_PATH": str(folder / "lake")}
        with CeleryStack(
            folder / "airflow",
            folder / "dags",
            environment=environment,
            is_migrated=True,
        ) as running:
            yield running


def test_daily_run_survives_its_worker(stack: CeleryStack) -> None:
    """``kill -9`` of a worker with all that it runs: its tasks are tried again, and every record is there."""
    lake = stack.home.parent / "lake"
    with SimulatorProcess(sales=300, items=30, customers=20, days=20, no_limits=True, token_life=60) as simulator:
        connect(stack, simulator)
        simulator.faults({"action": "slow", "path": r"/(Sale|Item)\.json", "seconds": 2.0, "count": None})
        stack.api.wait_for_dag(DAILY)
        run_id = stack.api.trigger(DAILY)

        def victim() -> str | None:
            """Return the host of a task that reads."""
            tasks = stack.api.task_instances(DAILY, run_id)
            hosts = [task["hostname"] for task in tasks if task["state"] == "running"]
            return hosts[0] if hosts and simulator.counters().get("api_requests", 0) >= 3 else None

        host = wait_until("a task reads", victim, timeout=300)
        stack.kill(host)
        simulator.clear_faults()
        stack.restart(host)
        assert stack.api.wait_for_run(DAILY, run_id, timeout=600) == "success"
        tasks = stack.api.task_instances(DAILY, run_id)
        assert max(task["try_number"] for task in tasks) > 1
        for name in ("Sale", "SaleLine", "SalePayment", "Item", "ItemShop", "Customer"):
            key = str(resource(name).primary_key)
            files = json.loads((lake / name / "_manifest.json").read_bytes())["files"]
            read = pq.read_table([lake / name / file["path"] for file in files])[key].to_pylist()
            assert set(read) == {row[key] for row in simulator.truth(name)}, name
        calls = [entry["at"] for entry in simulator.audit("token")["requests"]]
        assert 1 <= refreshes_per_minute(calls) <= 4
        assert simulator.counters().get("dead_refresh_tokens", 0) == 0


def test_storm_survives_worker_redis_and_api_server(stack: CeleryStack) -> None:
    """32 tasks on one connection: each ends well, with at most four grants a minute and no dead token spent."""
    with SimulatorProcess(sales=20, items=5, customers=5, days=3, no_limits=True, token_life=20) as simulator:
        connect(stack, simulator, upset.CONN)
        found = upset.storm(stack, simulator)
    assert upset.is_well(found, STORM), found
    assert found["hosts"] == sorted(stack.hosts)
    assert found["killed_in_mid_task"] >= 1
    assert found["tried_again"] >= 1
