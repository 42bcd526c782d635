"""A deferred extract under Airflow's own scheduler and triggerer: the slot is free while the bucket drains."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

pytest.importorskip("airflow.sdk")

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tools.airflow_api import wait_until
from tools.airflow_stack import PROCESSES, AirflowStack
from tools.connect import consent

ROOT = Path(__file__).parents[2]
#: 200 pages: two buckets of the smallest account and some.
SALES = 20_000


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_deferred_extract_frees_its_slot_loses_no_row_and_no_time(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Deferred at least once, all rows, each page once, and the bucket never stands empty: about as fast as waiting."""
    (tmp_path / "dags").mkdir()
    (tmp_path / "lineage").mkdir()
    lineage = {"type": "file", "log_file_path": str(tmp_path / "lineage" / "event")}
    shutil.copy(ROOT / "tests" / "system" / "dags" / "deferred.py", tmp_path / "dags")
    with (
        SimulatorProcess(sales=SALES, items=40, customers=30, days=20) as simulator,
        AirflowStack(
            tmp_path / "airflow",
            tmp_path / "dags",
            processes=(*PROCESSES, "triggerer"),
            config={"openlineage__transport": json.dumps(lineage)},
        ) as stack,
    ):
        simulator.advance(600)
        token = consent(simulator)
        fields = simulator.connection(refresh_token=token.refresh_token.reveal())
        stack.api.add_connection("lightspeed_default", "lightspeed", **fields)
        stack.api.call("POST", "variables", {"key": "lightspeed_path", "value": str(tmp_path / "lake")})
        seconds = {}
        for kind in ("deferred", "waiting"):
            simulator.advance(300)  # an empty bucket for each
            simulator.clear_audit()
            run_id, seconds[kind], states = _run(stack, f"{kind}_extract")
            assert ("deferred" in states) is (kind == "deferred"), states
            counters = simulator.counters()
            assert "bucket_429" not in counters
            pages = -(-len(simulator.truth("Sale")) // 100)
            asked = [entry["path"] for entry in simulator.audit("api")["requests"]]
            # Beside the pages: the account, whose answer dates the window, and the list's last key.
            beside = [path for path in asked if "Sale.json" not in path or "sort=-" in path]
            assert len(beside) == 2, beside
            # A read that is cut into chains near its end pays for about one page twice.
            assert pages <= len(asked) - 2 <= 1.02 * pages, [path for path in asked if "after=" not in path]
            files = json.loads((tmp_path / "lake" / kind / "Sale" / "_manifest.json").read_bytes())["files"]
            rows = [pq.read_table(tmp_path / "lake" / kind / "Sale" / file["path"])["saleID"] for file in files]
            keys = [key for column in rows for key in column.to_pylist()]
            assert keys == sorted(row["saleID"] for row in simulator.truth("Sale"))
            told = wait_until("lineage", partial(_told, tmp_path / "lineage", f"{kind}_extract.extract"), timeout=60)
            assert told == {"rowCount": len(keys), "fileCount": len(files)}
            assert stack.api.links(f"{kind}_extract", run_id, "extract")["Lightspeed"]
    record_property("seconds", seconds)
    sys.stderr.write(f"seconds: {seconds}\n")


def _told(folder: Path, job: str) -> dict[str, int] | None:
    """Return what OpenLineage was told that a task has written, once it was told."""
    try:
        events = [json.loads(file.read_text()) for file in folder.iterdir()]
    except ValueError:  # one is being written
        return None
    for event in events:
        if (event["job"]["name"], event["eventType"]) == (job, "COMPLETE"):
            written = event["outputs"][0]["outputFacets"]["outputStatistics"]
            return {name: written[name] for name in ("rowCount", "fileCount")}
    return None


def _run(stack: AirflowStack, dag_id: str) -> tuple[str, float, set[str]]:
    """Run a DAG; return the run's id, how long its task took, deferrals included, and the states it was seen in."""
    stack.api.wait_for_dag(dag_id)
    run_id = stack.api.trigger(dag_id)
    states: set[str] = set()

    def over() -> dict[str, Any] | None:
        (task,) = stack.api.task_instances(dag_id, run_id) or [{"state": None}]
        states.add(str(task["state"]))
        return task if task["state"] in ("success", "failed") else None

    task = wait_until(f"{dag_id} over", over, timeout=600)
    assert task["state"] == "success"
    result = stack.api.xcom(dag_id, run_id, "extract")
    return run_id, float(result["seconds"]), states
