"""Windows under Airflow 2.11: real DAG runs, with the data intervals that its timetables give them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lightspeed.compat import AIRFLOW_V_3_0_PLUS

if AIRFLOW_V_3_0_PLUS:
    pytest.skip("Airflow 3 runs are made by real processes in tests/system", allow_module_level=True)

from airflow.models.dag import DAG
from airflow.timetables.base import DataInterval
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunType

from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess

Connect = Callable[..., str]
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def run(folder: Path, schedule: Any, kind: DagRunType, at: datetime) -> tuple[str | None, dict[str, Any] | None]:
    """Run the operator once in a run of that kind; return the task's state and result."""
    with DAG(f"windows_{folder.name}", schedule=schedule, start_date=TODAY - timedelta(days=30), catchup=False) as dag:
        LightspeedToParquetOperator(task_id="extract", resource="Sale", path=str(folder))
    interval = dag.timetable.infer_manual_data_interval(run_after=at)
    if kind is DagRunType.DATASET_TRIGGERED:
        interval = DataInterval.exact(at)
    dag_run = dag.create_dagrun(
        run_type=kind,
        execution_date=interval.start if kind is DagRunType.SCHEDULED else at,
        data_interval=interval,
        state=DagRunState.RUNNING,
        start_date=at,
    )
    instance = dag_run.get_task_instance("extract")
    assert instance is not None
    instance.task = dag.get_task("extract")
    instance.run(ignore_ti_state=True, test_mode=False)
    return instance.state, instance.xcom_pull(task_ids="extract", key="return_value")


def sold(simulator: SimulatorProcess, start: str | None, end: str) -> int:
    """Return how many sales changed in a window."""
    low = datetime.fromisoformat(start) if start else datetime.min.replace(tzinfo=UTC)
    times = (datetime.fromisoformat(sale["updateTime"]) for sale in simulator.truth("Sale"))
    return sum(low <= time < datetime.fromisoformat(end) for time in times)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("schedule", "kind"),
    [
        ("@daily", DagRunType.SCHEDULED),
        (timedelta(days=1), DagRunType.SCHEDULED),
        ("@daily", DagRunType.MANUAL),
        (None, DagRunType.MANUAL),
        (None, DagRunType.DATASET_TRIGGERED),
    ],
    ids=["daily", "timedelta", "manual of a schedule", "manual", "dataset"],
)
def test_first_run_and_the_next_tile(
    schedule: Any, kind: DagRunType, connection: Connect, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    """Each window holds exactly its sales, the second begins where the first ended."""
    connection()
    results = [run(tmp_path, schedule, kind, TODAY - timedelta(days=back)) for back in (2, 1)]
    state, first = results[0]
    assert state == "success"
    assert first is not None
    assert first["rows"] == sold(simulator, first["window_start"], first["window_end"]) > 0
    state, second = results[1]
    if second is None:
        assert state == "skipped"
    else:
        assert second["window_start"] == first["window_end"] < second["window_end"]
        assert second["rows"] == sold(simulator, second["window_start"], second["window_end"])


@pytest.mark.filterwarnings("ignore")
def test_backfill_run_is_its_interval_and_leaves_the_watermark(
    connection: Connect, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    """One day, whatever has been read before."""
    connection()
    state, result = run(tmp_path, "@daily", DagRunType.BACKFILL_JOB, TODAY - timedelta(days=3))
    assert (state, result is not None) == ("success", True)
    assert result is not None
    assert datetime.fromisoformat(result["window_end"]) - datetime.fromisoformat(result["window_start"]) == timedelta(1)
    assert result["rows"] == sold(simulator, result["window_start"], result["window_end"])
    assert '"watermarks":{}' in (tmp_path / "Sale" / "_manifest.json").read_text()
