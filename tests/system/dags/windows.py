"""One read under every kind of schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Asset
from airflow.sdk import CronDataIntervalTimetable

from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator

SCHEDULES = {
    "daily": "@daily",
    "every_hour": timedelta(hours=1),
    "intervals": CronDataIntervalTimetable("@daily", timezone="UTC"),
    "by_asset": [Asset("x-test://windows")],
}
START = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=6)

for name, schedule in SCHEDULES.items():
    with DAG(
        dag_id=f"windows_{name}",
        schedule=schedule,
        start_date=START,
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=True,
    ) as dag:
        LightspeedToParquetOperator(
            task_id="extract", resource="Sale", path="{{ var.value.lightspeed_path }}/windows/{{ dag.dag_id }}"
        )
    globals()[dag.dag_id] = dag
