"""Into Redshift: each new commit's files by name, through manifests of COPY, merged into tables of current rows.

Needs ``airflow-provider-lightspeed[warehouse,s3]`` and the Amazon provider, the connections ``lightspeed_default``,
``redshift_default`` and ``aws_default`` (with ``role_arn`` in its extra, a role that may read the bucket), the Variable
``lightspeed_path`` (such as ``s3://aws_default@my-bucket/lightspeed``), and in Redshift the schema ``lightspeed``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.amazon.aws.transfers.s3_to_redshift import S3ToRedshiftOperator
from airflow.providers.common.compat.sdk import AssetAlias, ObjectStoragePath, TaskGroup, dag, task
from airflow.providers.common.sql.operators.sql import SQLCheckOperator, SQLExecuteQueryOperator

from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator

PATH = "{{ var.value.lightspeed_path }}"
CONNECTION, AWS, SCHEMA = "redshift_default", "aws_default", "lightspeed"
#: Resource to the relations that become SUPER columns.
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
    "DROP TABLE IF EXISTS lightspeed.mart_sales",
    """
    CREATE TABLE lightspeed.mart_sales AS
    SELECT
      sale._account_id AS account_id,
      CAST(CONVERT_TIMEZONE('UTC', COALESCE(shop.time_zone, 'UTC'), CAST(sale.complete_time AS TIMESTAMP)) AS DATE) AS day,
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
    """Make tables and empty staging tables; return which manifests to copy, push the statements that load the files."""
    from airflow.providers.amazon.aws.hooks.redshift_sql import RedshiftSQLHook

    from airflow_provider_lightspeed.arrow.types import Selection
    from airflow_provider_lightspeed.warehouse.loads import create, create_staging, load, loaded
    from airflow_provider_lightspeed.warehouse.manifest import copy_manifest, files_of, new_loads, read_manifest
    from airflow_provider_lightspeed.warehouse.tables import tables_of

    hook = RedshiftSQLHook(CONNECTION)
    tables = tables_of(resource, relations, Selection(naming="snake_case"), prefix=f"{SCHEMA}.")
    hook.run([*create(tables, "redshift"), *create_staging(tables, "redshift")])
    known = {commit for (commit,) in hook.get_records(loaded(tables, "redshift"))}
    manifest = read_manifest(ObjectStoragePath(path) / resource)
    loads = new_loads(manifest, known)
    copies = []
    for spec in tables:
        files = files_of(loads, spec.relation)
        if files:
            # A prefix would copy files that no commit names; a manifest names them.
            url = f"{manifest.folder}/_copy/{spec.relation or 'main'}.json"
            manifest.fs.pipe_file(url, copy_manifest(files))
            bucket, _, key = url.removeprefix("s3://").partition("/")
            copies.append({"table": spec.staging.rpartition(".")[2], "s3_bucket": bucket, "s3_key": key})
    ti.xcom_push(key="load", value=list(load(tables, "redshift", loads)) or ["SELECT 1"])
    return copies


@dag(
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # one load at a time: Redshift enforces no key on the table of loads
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    tags=["lightspeed", "example"],
    doc_md=__doc__,
)
def example_lightspeed_redshift() -> None:
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
            copy = S3ToRedshiftOperator.partial(
                task_id="copy",
                redshift_conn_id=CONNECTION,
                aws_conn_id=AWS,
                schema=SCHEMA,
                copy_options=["FORMAT AS PARQUET", "SERIALIZETOJSON", "MANIFEST"],
                autocommit=True,
            ).expand_kwargs(planned)
            merge = SQLExecuteQueryOperator(
                task_id="merge",
                conn_id=CONNECTION,
                sql=planned["load"],
                autocommit=True,  # the statements begin and end a transaction
                split_statements=False,
                trigger_rule="none_failed",  # a commit may have no files: it says what is gone
            )
            extract >> planned >> copy >> merge
            merges.append(merge)
    check = SQLCheckOperator(task_id="check", conn_id=CONNECTION, sql=CHECK, retries=0, trigger_rule="none_failed")
    mart = SQLExecuteQueryOperator(
        task_id="mart",
        conn_id=CONNECTION,
        sql=MART,
        autocommit=True,
        split_statements=False,
    )
    merges >> check >> mart


example_lightspeed_redshift()
