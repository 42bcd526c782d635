"""A read that takes long enough to be killed in the middle."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator

with DAG(dag_id="slow_extract", schedule=None, catchup=False):
    LightspeedToParquetOperator(
        task_id="extract",
        resource="Sale",
        path="{{ var.value.lightspeed_path }}",
        relations=["SaleLines"],
        mode="full",
        retries=2,
        retry_delay=timedelta(0),
    )
