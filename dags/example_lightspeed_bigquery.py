"""Into BigQuery: each new commit's files by name from a bucket, merged into tables of current rows.

Needs ``airflow-provider-lightspeed[warehouse]`` and the Google provider, the connections ``lightspeed_default`` and
``google_cloud_default``, the Variable ``lightspeed_path`` (such as ``gs://google_cloud_default@my-bucket/lightspeed``), and a
data set ``lightspeed`` in the connection's project.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import AssetAlias, ObjectStoragePath, TaskGroup, dag, task
from airflow.providers.google.cloud.operators.bigquery import BigQueryCheckOperator, BigQueryInsertJobOperator
from airflow.providers.google.cloud.transfers.gcs_to_bigquery import GCSToBigQueryOperator

from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator

PATH = "{{ var.value.lightspeed_path }}"
CONNECTION, DATASET = "google_cloud_default", "lightspeed"
#: Resource to the relations that become columns of ARRAY<STRUCT<...>>.
RESOURCES: dict[str, list[str]] = {"Sale": ["SaleLines"], "Item": [], "Shop": []}

#: One row: whether the discount explains the net of every sale. The documentation has the subtotal before discounts; on
#: some accounts it was seen after them.
CHECK = """
    SELECT COUNT(*) = 0 FROM lightspeed.sale AS sale
    WHERE ABS(calc_subtotal - calc_discount - (calc_total - calc_tax1 - calc_tax2)) >= 0.01
    AND ABS(calc_subtotal - (calc_total - calc_tax1 - calc_tax2)) >= 0.01
"""
#: Sales by the shop's day and shop. Net is what is left of the total after taxes: discounts are off it already.
MART = [
    """
    CREATE OR REPLACE TABLE lightspeed.mart_sales AS
    SELECT
      sale._account_id AS account_id,
      DATE(sale.complete_time, COALESCE(shop.time_zone, 'UTC')) AS day,  -- the shop's day
      COALESCE(shop.name, '?') AS shop,
      COUNT(*) AS sales,
      SUM(sale.calc_discount) AS discount,
      SUM(sale.calc_total - sale.calc_tax1 - sale.calc_tax2) AS net,
      SUM(sale.calc_tax1 + sale.calc_tax2) AS tax
    FROM lightspeed.sale AS sale
    LEFT JOIN lightspeed.shop AS shop ON shop._account_id = sale._account_id AND shop.shop_id = sale.shop_id
    WHERE sale.completed AND NOT sale.voided
    GROUP BY 1, 2, 3
    """,
]


@task(trigger_rule="none_failed")
def plan(resource: str, relations: list[str], path: str, ti: Any = None) -> list[dict[str, Any]]:
    """Make tables and empty staging tables; return which files to copy, push the script that loads them."""
    from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook

    from airflow_provider_lightspeed.arrow.types import Selection
    from airflow_provider_lightspeed.warehouse.loads import create, create_staging, load, loaded
    from airflow_provider_lightspeed.warehouse.manifest import files_of, new_loads, read_manifest
    from airflow_provider_lightspeed.warehouse.tables import tables_of

    hook = BigQueryHook(gcp_conn_id=CONNECTION, use_legacy_sql=False)
    tables = tables_of(resource, relations, Selection(naming="snake_case"), prefix=f"{DATASET}.")
    hook.run([*create(tables, "bigquery"), *create_staging(tables, "bigquery")])
    known = {commit for (commit,) in hook.get_records(loaded(tables, "bigquery"))}
    loads = new_loads(read_manifest(ObjectStoragePath(path) / resource), known)
    copies = []
    for spec in tables:
        urls = [file.url for file in files_of(loads, spec.relation)]
        if urls:
            bucket = urls[0].removeprefix("gs://").partition("/")[0]
            names = [url.removeprefix(f"gs://{bucket}/") for url in urls]
            copies.append(
                {"destination_project_dataset_table": spec.staging, "bucket": bucket, "source_objects": names}
            )
    ti.xcom_push(key="load", value=";\n".join(load(tables, "bigquery", loads) or ["SELECT 1"]))
    return copies


@dag(
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # one load at a time: BigQuery enforces no key on the table of loads
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    tags=["lightspeed", "example"],
    doc_md=__doc__,
)
def example_lightspeed_bigquery() -> None:
    """For each resource: extract, plan, copy, merge. Then check the sales, and build the mart."""
    merges = []
    for resource, relations in RESOURCES.items():
        with TaskGroup(resource):
            extract = LightspeedToParquetOperator(
                task_id="extract",
                resource=resource,
                relations=relations,
                path=PATH,
                column_naming="snake_case",
                outlets=[AssetAlias("lightspeed")],
            )
            planned: Any = plan(resource, relations, PATH)
            copy = GCSToBigQueryOperator.partial(
                task_id="copy",
                gcp_conn_id=CONNECTION,
                source_format="PARQUET",
                create_disposition="CREATE_NEVER",
                write_disposition="WRITE_APPEND",
                autodetect=None,  # the staging table's schema
                extra_config={
                    "parquetOptions": {"enableListInference": True},
                    "decimalTargetTypes": ["NUMERIC", "BIGNUMERIC"],
                },
            ).expand_kwargs(planned)
            merge = BigQueryInsertJobOperator(
                task_id="merge",
                gcp_conn_id=CONNECTION,
                configuration={"query": {"query": planned["load"], "useLegacySql": False}},
                trigger_rule="none_failed",  # a commit may have no files: it says what is gone
            )
            extract >> planned >> copy >> merge
            merges.append(merge)
    check = BigQueryCheckOperator(
        task_id="check", gcp_conn_id=CONNECTION, sql=CHECK, use_legacy_sql=False, retries=0, trigger_rule="none_failed"
    )
    mart = BigQueryInsertJobOperator(
        task_id="mart",
        gcp_conn_id=CONNECTION,
        configuration={"query": {"query": ";\n".join(MART), "useLegacySql": False}},
    )
    merges >> check >> mart


example_lightspeed_bigquery()
