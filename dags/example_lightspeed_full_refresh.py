"""Once a week, everything: replaces what the daily runs have left, so that deletions at Lightspeed show as well."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, AssetAlias

from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator

with DAG(
    dag_id="example_lightspeed_full_refresh",
    schedule="@weekly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
    tags=["lightspeed", "example"],
    doc_md=__doc__,
):
    LightspeedToParquetOperator.partial(
        task_id="extract",
        path="{{ var.value.lightspeed_path }}",
        mode="full",
        outlets=[AssetAlias("lightspeed")],
        max_active_tis_per_dagrun=1,
        map_index_template="{{ task.resource }}",
    ).expand(resource=["Shop", "Employee", "Category", "Item", "Customer", "Vendor", "PaymentType"])
