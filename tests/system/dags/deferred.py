"""The same long read twice: once deferred while the bucket drains, once not."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator

for kind in ("deferred", "waiting"):
    with DAG(dag_id=f"{kind}_extract", schedule=None, catchup=False):
        LightspeedToParquetOperator(
            task_id="extract",
            resource="Sale",
            path=f"{{{{ var.value.lightspeed_path }}}}/{kind}",
            mode="full",
            deferrable=kind == "deferred",
        )
