"""Real api-server, scheduler and dag-processor processes, tasks run by LocalExecutor, a simulator with short tokens."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

pytest.importorskip("airflow.sdk")

from airflow_provider_lightspeed.resources.catalog import resource
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.system.conftest import DAILY, RunningAirflow
from tools.airflow_api import wait_until
from tools.airflow_stack import AirflowStack
from tools.connect import consent

pytestmark = [pytest.mark.timeout(420), pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR")]


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
        """Return the keys of the account's records: a first read has no bound."""
        return {row[key_of(name)] for row in self.simulator.truth(name)}


@pytest.fixture(scope="module")
def deployment(airflow: RunningAirflow) -> Iterator[Deployment]:
    stack, lake = airflow.stack, airflow.folder / "lake"
    with SimulatorProcess(sales=1_500, items=40, customers=30, days=20, no_limits=True, token_life=900) as simulator:
        token = consent(simulator)
        fields = simulator.connection(refresh_token=token.refresh_token.reveal())
        stack.api.add_connection("lightspeed_default", "lightspeed", **fields)
        stack.api.call("POST", "variables", {"key": "lightspeed_path", "value": str(lake)})
        yield Deployment(stack, simulator, lake)


@pytest.fixture(scope="module")
def daily(deployment: Deployment) -> str:
    """The ID of the example DAG's run that read everything.

    Unpausing the DAG starts a scheduled run beside the one that is triggered. One of them comes first; the other finds
    nothing new, and its tasks are skipped.
    """
    api = deployment.stack.api
    deployment.run(DAILY)
    runs = {run["dag_run_id"]: run["state"] for run in runs_of(deployment, DAILY)}
    assert set(runs.values()) == {"success"}
    states = {run_id: {task["state"] for task in api.task_instances(DAILY, run_id)} for run_id in runs}
    whole: str
    (whole,) = [run_id for run_id, found in states.items() if found == {"success"}]
    assert [found for run_id, found in states.items() if run_id != whole] == [{"skipped"}] * (len(states) - 1)
    return whole


def test_example_dag_extracts_and_the_rotated_pair_is_kept(deployment: Deployment, daily: str) -> None:
    """Six mapped tasks share one refresh, which the api-server made for them; its refresh token is the live one."""
    tasks = deployment.stack.api.task_instances(DAILY, daily)
    assert len(tasks) == 6
    for task in tasks:
        name = deployment.stack.api.xcom(DAILY, daily, "extract", map_index=task["map_index"])["resource"]
        assert deployment.keys(name) == deployment.expected(name)
    refreshes = [entry for entry in deployment.simulator.audit("token")["requests"] if entry["status"] == 200]
    assert len(refreshes) == 2  # the consent's code, and one refresh
    exported = deployment.stack.run("connections", "export", "-", "--file-format", "json")
    found = json.loads(exported[exported.index("{") :])["lightspeed_default"]["extra"]
    refresh_token = (json.loads(found) if isinstance(found, str) else found)["refresh_token"]
    kept = str([pq.read_table(file).to_pylist() for file in deployment.lake.rglob("*.parquet")])
    kept += str([pq.read_schema(file).metadata for file in deployment.lake.rglob("*.parquet")])
    assert refresh_token not in kept
    assert deployment.simulator.client_secret not in kept
    assert "eyJ" not in kept
    live = [name for grant in deployment.simulator.grants() for name in grant["live_refresh_tokens"]]
    assert any(hashlib.sha256(refresh_token.encode()).hexdigest().startswith(name) for name in live)


def test_asset_events_name_account_and_resource(deployment: Deployment, daily: str) -> None:
    """Mapped tasks announce what they wrote through the alias."""
    events = deployment.stack.api.call("GET", "assets/events", limit=100)["asset_events"]
    uris = {event["uri"] for event in events}
    assert f"lightspeed://{deployment.simulator.account_id}/Sale" in uris
    assert all(event["extra"]["rows"] >= 0 and event["extra"]["watermark"] for event in events)


def test_lineage_and_links_of_mapped_tasks(deployment: Deployment, daily: str) -> None:
    """OpenLineage hears of each task what its result says, Airflow draws its buttons, and no secret is in either."""
    api, account, run_id = deployment.stack.api, deployment.simulator.account_id, daily
    tasks = api.task_instances(DAILY, run_id)
    results = {task["map_index"]: api.xcom(DAILY, run_id, "extract", map_index=task["map_index"]) for task in tasks}

    def told() -> dict[str, dict[str, Any]] | None:
        """Return the events by the commit that they name, once all are there: a task ends before it tells."""
        texts = [file.read_text() for file in (deployment.lake.parent / "lineage").iterdir()]
        try:
            events = [
                event for event in map(json.loads, texts) if event["eventType"] == "COMPLETE" and event["outputs"]
            ]
        except ValueError:  # one is being written
            return None
        found = {event["outputs"][0]["facets"]["version"]["datasetVersion"]: event for event in events}
        return found if found.keys() >= {result["commit"] for result in results.values()} else None

    events = wait_until("all lineage events", told, timeout=60)
    for map_index, result in results.items():
        (source,), (dataset, *through) = (events[result["commit"]][side] for side in ("inputs", "outputs"))
        assert source["name"] == f"{account}/{result['resource']}"
        assert (dataset["namespace"], dataset["name"]) == ("file", str(deployment.lake / result["resource"]))
        told_of = dataset["outputFacets"]["outputStatistics"]
        assert told_of["rowCount"] == result["rows"]
        if through:  # payments are read through their sales, whose keys are a table of their own
            assert [each["name"] for each in through] == [f"{deployment.lake / 'SalePayment'}.Sale"]
        else:
            assert (told_of["size"], told_of["fileCount"]) == (result["bytes"], result["files"])
        assert {column["name"] for column in dataset["facets"]["schema"]["fields"]} > {key_of(result["resource"])}
        links = api.links(DAILY, run_id, "extract", map_index=map_index)
        assert links == {
            "Dataset": f"{deployment.stack.url}/assets?name_pattern=lightspeed%2F{account}%2F{result['resource']}",
            "Lightspeed": f"https://developers.lightspeedhq.com/retail/endpoints/{result['resource']}/",
        }
    everything = json.dumps(list(events.values()))
    assert deployment.simulator.client_secret not in everything
    assert "eyJ" not in everything


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
    log = [json.loads(path.read_bytes()) for path in (deployment.lake / "Sale" / "_log").glob("*[0-9].json")]
    (commit,) = [found for found in log if found["attempt_number"] == "2"]
    rows = sum(pq.read_metadata(deployment.lake / "Sale" / file["path"]).num_rows for file in commit["files"][""])
    assert rows == commit["rows"] == len(simulator.truth("Sale"))
    named = {file["path"] for file in deployment.manifest("Sale")["files"]}
    assert {path.name for path in deployment.lake.glob("Sale/*.parquet")} == named
    assert [path for path in (deployment.lake / "_staging").rglob("*") if path.is_file()] == []


def sold(deployment: Deployment, start: str | None, end: str) -> int:
    """Return how many sales changed in a window, by the account's own truth; without a start, all sales there are."""
    times = [datetime.fromisoformat(sale["updateTime"]) for sale in deployment.simulator.truth("Sale")]
    if start is None:
        return len(times)
    return sum(datetime.fromisoformat(start) <= time < datetime.fromisoformat(end) for time in times)


def runs_of(deployment: Deployment, dag_id: str, **query: Any) -> list[dict[str, Any]]:
    """Return the ended runs of a DAG, oldest first; waits until there is one and none is under way."""

    def look() -> list[dict[str, Any]] | None:
        runs: list[dict[str, Any]] = deployment.stack.api.call(
            "GET", f"dags/{dag_id}/dagRuns", order_by="run_after", **query
        )["dag_runs"]
        return runs if runs and all(run["state"] in ("success", "failed") for run in runs) else None

    return wait_until(f"runs of {dag_id} ended", look, timeout=120)


@pytest.mark.parametrize("name", ["daily", pytest.param("every_hour", marks=pytest.mark.slow), "intervals"])
def test_scheduled_run_then_manual_run_tile(deployment: Deployment, name: str) -> None:
    """Whatever interval Airflow gives the runs: the windows join, and each holds exactly its sales."""
    api, dag_id = deployment.stack.api, f"windows_{name}"
    api.wait_for_dag(dag_id)
    api.call("PATCH", f"dags/{dag_id}", {"is_paused": False}, update_mask="is_paused")
    (scheduled, *_) = runs_of(deployment, dag_id, run_type="scheduled")
    manual = api.trigger(dag_id)
    assert api.wait_for_run(dag_id, manual) == "success"
    results = [api.xcom(dag_id, run, "extract") for run in (scheduled["dag_run_id"], manual)]
    (task,) = api.task_instances(dag_id, manual)
    assert results[0]["rows"] == sold(deployment, results[0]["window_start"], results[0]["window_end"]) > 0
    if results[1] is None:
        assert task["state"] == "skipped"  # within the same second there is nothing to read, and it says so
    else:
        assert results[1]["window_start"] == results[0]["window_end"] < results[1]["window_end"]


def test_asset_triggered_run_reads_since_the_watermark(deployment: Deployment) -> None:
    """Such a run has no schedule at all; the first reads everything."""
    api, dag_id = deployment.stack.api, "windows_by_asset"
    api.wait_for_dag(dag_id)
    api.call("PATCH", f"dags/{dag_id}", {"is_paused": False}, update_mask="is_paused")
    (asset,) = api.call("GET", "assets", uri_pattern="x-test://windows")["assets"]
    api.call("POST", "assets/events", {"asset_id": asset["id"]})
    (run,) = runs_of(deployment, dag_id)
    assert (run["run_type"], run["state"]) == ("asset_triggered", "success")
    result = api.xcom(dag_id, run["dag_run_id"], "extract")
    assert result["rows"] == sold(deployment, None, result["window_end"])


def test_backfilled_days_hold_exactly_their_sales(deployment: Deployment) -> None:
    """Each run stands for the day before its date; the watermark stays where it was."""
    api, dag_id = deployment.stack.api, "windows_daily"
    before = deployment.manifest("windows/windows_daily/Sale")["watermarks"]
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    span = {"from_date": (today - timedelta(days=4)).isoformat(), "to_date": (today - timedelta(days=2)).isoformat()}
    api.call("POST", "backfills", {"dag_id": dag_id, **span, "max_active_runs": 1, "reprocess_behavior": "completed"})
    runs = runs_of(deployment, dag_id, run_type="backfill")
    results = [api.xcom(dag_id, run["dag_run_id"], "extract") for run in runs]
    days = [(today - timedelta(days=back)).isoformat() for back in (5, 4, 3, 2)]
    assert sorted((result["window_start"], result["window_end"]) for result in results) == list(pairwise(days))
    for result in results:
        assert result["rows"] == sold(deployment, result["window_start"], result["window_end"]) > 0
    assert deployment.manifest("windows/windows_daily/Sale")["watermarks"] == before


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
        (("lightspeed", "resources"), "SalePayment"),
        *(
            pytest.param(command, words, marks=pytest.mark.slow)
            for command, words in (
                (("providers", "list"), "airflow-provider-lightspeed"),
                (("providers", "get", "airflow-provider-lightspeed"), "0.1.0"),
                (("providers", "hooks"), "lightspeed"),
                (("providers", "links"), "links.lightspeed.DatasetLink"),
                (("config", "list", "--section", "lightspeed"), "allowed_hosts"),
            )
        ),
    ],
)
def test_airflows_commands_show_the_provider(deployment: Deployment, command: tuple[str, ...], words: str) -> None:
    """What an operator of Airflow looks at."""
    assert words in deployment.stack.run(*command)
