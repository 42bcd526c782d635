"""Real api-server, scheduler and dag-processor processes, tasks run by LocalExecutor, a simulator with short tokens."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

pytest.importorskip("airflow.sdk")

from airflow_provider_lightspeed.resources.catalog import resource
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tools.airflow_api import wait_until
from tools.airflow_stack import AirflowStack
from tools.connect import consent

pytestmark = pytest.mark.timeout(420)
ROOT = Path(__file__).parents[2]
DAILY = "example_lightspeed_daily"


def key_of(name: str) -> str:
    """Return a resource's primary key field."""
    key = resource(name).primary_key
    assert key is not None
    return key


class Deployment:
    """Airflow, the account, and where the DAGs write."""

    def __init__(self, stack: AirflowStack, simulator: SimulatorProcess, lake: Path) -> None:
        self.stack, self.simulator, self.lake = stack, simulator, lake

    def run(self, dag_id: str) -> tuple[str, str]:
        """Trigger a DAG, wait for its end, return run id and state."""
        self.stack.api.wait_for_dag(dag_id)
        run_id = self.stack.api.trigger(dag_id)
        return run_id, self.stack.api.wait_for_run(dag_id, run_id, timeout=180)

    def manifest(self, name: str) -> dict[str, Any]:
        """Return a dataset's manifest."""
        found: dict[str, Any] = json.loads((self.lake / name / "_manifest.json").read_bytes())
        return found

    def keys(self, name: str) -> set[int]:
        """Return the keys in all live files of a dataset: unpausing a DAG starts a scheduled run as well."""
        files = [self.lake / name / file["path"] for file in self.manifest(name)["files"]]
        return set(pq.read_table(files)[key_of(name)].to_pylist())

    def expected(self, name: str) -> set[int]:
        """Return the keys of the account's records that had changed before the watermark."""
        found = resource(name)
        until = max(self.manifest(name)["watermarks"].values())
        truth = self.simulator.truth(name)
        changed = found.modified_field and found.entity.find(found.modified_field).name
        if changed is None:  # read through the sales
            sold = self.expected("Sale")
            return {row[key_of(name)] for row in truth if row["saleID"] in sold}
        return {row[key_of(name)] for row in truth if row[changed] < until}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("deployment")
    shutil.copytree(ROOT / "tests" / "system" / "dags", folder / "dags")
    shutil.copy(ROOT / "dags" / f"{DAILY}.py", folder / "dags")
    with (
        SimulatorProcess(sales=1_500, items=40, customers=30, days=20, no_limits=True, token_life=900) as simulator,
        AirflowStack(folder / "airflow", folder / "dags") as stack,
    ):
        token = consent(simulator)
        extra = {"auth_url": simulator.base_url, "refresh_token": token.refresh_token.reveal()}
        fields = {"login": simulator.client_id, "password": simulator.client_secret, "host": simulator.base_url}
        stack.api.add_connection("lightspeed_default", "lightspeed", **fields, extra=json.dumps(extra))
        stack.api.call("POST", "variables", {"key": "lightspeed_path", "value": str(folder / "lake")})
        yield Deployment(stack, simulator, folder / "lake")


def test_example_dag_extracts_and_the_rotated_pair_is_kept(deployment: Deployment) -> None:
    """Six mapped tasks share one refresh, which the api-server made for them; its refresh token is the live one."""
    run_id, state = deployment.run(DAILY)
    assert state == "success"
    tasks = deployment.stack.api.task_instances(DAILY, run_id)
    assert len(tasks) == 6
    for task in tasks:
        name = deployment.stack.api.xcom(DAILY, run_id, "extract", map_index=task["map_index"])["resource"]
        assert deployment.keys(name) == deployment.expected(name)
    refreshes = [entry for entry in deployment.simulator.audit("token")["requests"] if entry["status"] == 200]
    assert len(refreshes) == 2  # the consent's code, and one refresh
    exported = deployment.stack.run("connections", "export", "-", "--file-format", "json")
    found = json.loads(exported[exported.index("{") :])["lightspeed_default"]["extra"]
    refresh_token = (json.loads(found) if isinstance(found, str) else found)["refresh_token"]
    live = [name for grant in deployment.simulator.grants() for name in grant["live_refresh_tokens"]]
    assert any(hashlib.sha256(refresh_token.encode()).hexdigest().startswith(name) for name in live)


def test_asset_events_name_account_and_resource(deployment: Deployment) -> None:
    """Mapped tasks announce what they wrote through the alias."""
    events = deployment.stack.api.call("GET", "assets/events", limit=100)["asset_events"]
    uris = {event["uri"] for event in events}
    assert f"lightspeed://{deployment.simulator.account_id}/Sale" in uris
    assert all(event["extra"]["rows"] >= 0 and event["extra"]["watermark"] for event in events)


def test_killed_task_tried_again_leaves_one_complete_set(deployment: Deployment) -> None:
    """``kill -9`` in the middle of a read: the retry's files alone, all rows, nothing staged."""
    simulator, api = deployment.simulator, deployment.stack.api
    simulator.clear_audit()
    simulator.faults({"action": "slow", "path": "/Sale", "seconds": 0.5})
    api.wait_for_dag("slow_extract")
    run_id = api.trigger("slow_extract")
    wait_until(
        "four pages read",
        lambda: (
            True if len([r for r in simulator.audit("api")["requests"] if "load_relations" in r["path"]]) >= 4 else None
        ),
        timeout=90,
    )
    pid = api.task_instances("slow_extract", run_id)[0]["pid"]
    os.kill(pid, signal.SIGKILL)
    simulator.clear_faults()
    assert api.wait_for_run("slow_extract", run_id, timeout=180) == "success"
    task = api.task_instances("slow_extract", run_id)[0]
    assert task["try_number"] == 2
    query = [commit for commit in deployment.manifest("Sale")["commits"] if commit["attempt"] == "2"]
    assert len(query) == 1
    rows = sum(pq.read_metadata(deployment.lake / "Sale" / file["path"]).num_rows for file in query[0]["files"])
    assert rows == query[0]["rows"] == len(simulator.truth("Sale"))
    named = {file["path"] for file in deployment.manifest("Sale")["files"]}
    assert {path.name for path in deployment.lake.glob("Sale/*.parquet")} == named
    assert [path for path in (deployment.lake / "_staging").rglob("*") if path.is_file()] == []


def test_no_secret_reaches_a_log(deployment: Deployment) -> None:
    """Neither tokens nor the client secret stand in any log of any process."""
    logs = [path for path in deployment.stack.home.rglob("*.log") if path.is_file()]
    assert logs
    for path in logs:
        text = path.read_text(errors="replace")
        assert deployment.simulator.client_secret not in text, path
        assert "eyJhbGciOiJSUzI1NiI" not in text, path


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("providers", "list"), "airflow-provider-lightspeed"),
        (("providers", "get", "airflow-provider-lightspeed"), "0.1.0"),
        (("providers", "hooks"), "lightspeed"),
        (("config", "list", "--section", "lightspeed"), "allowed_hosts"),
        (("lightspeed", "resources"), "SalePayment"),
    ],
)
def test_airflows_commands_show_the_provider(deployment: Deployment, command: tuple[str, ...], words: str) -> None:
    """What an operator of Airflow looks at."""
    assert words in deployment.stack.run(*command)
