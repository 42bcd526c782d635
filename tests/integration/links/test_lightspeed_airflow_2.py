"""The buttons under Airflow 2.11: asked for by the webserver, which has the serialized DAG and the XComs only."""

# Runs on Airflow 2.11 only; the checkers see Airflow 3.
# ruff: noqa: AIR311
# mypy: ignore-errors

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_provider_lightspeed.compat import AIRFLOW_V_3_0_PLUS

if AIRFLOW_V_3_0_PLUS:
    pytest.skip("Airflow 3 asks in the task's process; tests/system has whole tasks", allow_module_level=True)

from airflow.models.dag import DAG
from airflow.models.dataset import DatasetEvent
from airflow.serialization.serialized_objects import SerializedDAG
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunType

from airflow_provider_lightspeed.compat import AssetAlias
from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator

DOCS = "https://developers.lightspeedhq.com/retail/endpoints"


@pytest.mark.filterwarnings("ignore")
def test_webserver_finds_the_links_of_plain_and_mapped_tasks(connection: Callable[..., str], tmp_path: Path) -> None:
    """Each mapped instance has its own, and its own asset event; a task that has not run has the documentation at most."""
    connection()
    start = datetime.now(UTC) - timedelta(days=1)
    with DAG("buttons", schedule=None, start_date=start) as dag:
        options = {"path": str(tmp_path), "outlets": [AssetAlias("lake")]}
        LightspeedToParquetOperator(task_id="plain", resource="Shop", **options)
        LightspeedToParquetOperator.partial(task_id="mapped", **options).expand(resource=["Item", "Customer"])
        LightspeedToParquetOperator(task_id="later", resource="Vendor", **options)
    DAG.bulk_write_to_db([dag])  # what the DAG processor does; the alias is there from then on
    run = dag.create_dagrun(
        run_type=DagRunType.MANUAL,
        execution_date=start,
        data_interval=dag.timetable.infer_manual_data_interval(run_after=start),
        state=DagRunState.RUNNING,
        start_date=start,
    )
    run.task_instance_scheduling_decisions()  # expands the mapped task
    instances = {(found.task_id, found.map_index): found for found in run.get_task_instances()}
    for (task_id, _), instance in instances.items():
        if task_id != "later":
            instance.task = dag.get_task(task_id)
            instance.run(ignore_ti_state=True, test_mode=False)
            assert instance.state == "success"
    seen = SerializedDAG.from_dict(SerializedDAG.to_dict(dag))
    shown = {
        key: {name: seen.get_task(key[0]).get_extra_links(found, name) for name in seen.get_task(key[0]).extra_links}
        for key, found in instances.items()
    }
    page = "http://localhost:8080/datasets?uri=lightspeed%3A%2F%2F12345%2F"
    assert shown == {
        ("plain", -1): {"Dataset": f"{page}Shop", "Lightspeed": f"{DOCS}/Shop/"},
        ("mapped", 0): {"Dataset": f"{page}Item", "Lightspeed": f"{DOCS}/Item/"},
        ("mapped", 1): {"Dataset": f"{page}Customer", "Lightspeed": f"{DOCS}/Customer/"},
        ("later", -1): {"Dataset": "", "Lightspeed": f"{DOCS}/Vendor/"},
    }
    with create_session() as session:
        events = {
            event.source_map_index: event for event in session.query(DatasetEvent).filter_by(source_task_id="mapped")
        }
        assert {number: (event.uri, event.extra["rows"] > 0) for number, event in events.items()} == {
            0: ("lightspeed://12345/Item", True),
            1: ("lightspeed://12345/Customer", True),
        }
