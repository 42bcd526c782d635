"""Every day, what changed: sales with lines and payments, items, stock and customers as typed Parquet.

Needs a connection ``lightspeed_default`` and the Variable ``lightspeed_path``, a folder or URL such as
``s3://aws_default@my-bucket/lightspeed``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, AssetAlias

from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator

with DAG(
    dag_id="example_lightspeed_daily",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # windows tile: each run starts where the last committed one ended
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    tags=["lightspeed", "example"],
    doc_md=__doc__,
):
    # [START howto_operator_lightspeed_to_parquet]
    LightspeedToParquetOperator.partial(
        task_id="extract",
        path="{{ var.value.lightspeed_path }}",
        outlets=[AssetAlias("lightspeed")],
        max_active_tis_per_dagrun=2,
        map_index_template="{{ task.resource }}",
    ).expand(resource=["Sale", "SaleLine", "SalePayment", "Item", "ItemShop", "Customer"])
    # [END howto_operator_lightspeed_to_parquet]
