"""Into Snowflake: each new commit's files by name from an external stage, merged into tables of current rows.

Needs ``airflow-provider-lightspeed[warehouse]`` and the Snowflake provider, the connections ``lightspeed_default`` and
``snowflake_default``, the Variable ``lightspeed_path`` (the files' URL, such as ``s3://aws_default@my-bucket/lightspeed``), and
in Snowflake the schema ``RAW`` with a stage ``LIGHTSPEED`` that points at that URL.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import AssetAlias, ObjectStoragePath, TaskGroup, dag, task
from airflow.providers.common.sql.operators.sql import SQLCheckOperator, SQLExecuteQueryOperator
from airflow.providers.snowflake.transfers.copy_into_snowflake import CopyFromExternalStageToSnowflakeOperator

from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator

PATH = "{{ var.value.lightspeed_path }}"
CONNECTION, SCHEMA, STAGE = "snowflake_default", "RAW", "RAW.LIGHTSPEED"
#: Resource to the relations that become VARIANT columns.
RESOURCES: dict[str, list[str]] = {"Sale": ["SaleLines"], "Item": [], "Shop": []}
#: Parquet's times are UTC; where Snowflake takes them for local ones, they have to be local to UTC.
SESSION = {"TIMEZONE": "UTC"}
#: COPY takes so many names at a time.
MOST_FILES = 1_000

#: One row: whether the discount explains the net of every sale. The documentation has the subtotal before discounts; on
#: some accounts it was seen after them.
CHECK = """
    SELECT COUNT(*) = 0 FROM RAW.sale AS sale
    WHERE ABS(calc_subtotal - calc_discount - (calc_total - calc_tax1 - calc_tax2)) >= 0.01
    AND ABS(calc_subtotal - (calc_total - calc_tax1 - calc_tax2)) >= 0.01
"""
#: Sales by the shop's day and shop. Net is what is left of the total after taxes: discounts are off it already.
MART = [
    """
    CREATE OR REPLACE TABLE RAW.MART_SALES AS
    SELECT
      sale._account_id AS account_id,
      CAST(CONVERT_TIMEZONE(COALESCE(shop.time_zone, 'UTC'), sale.complete_time) AS DATE) AS day,  -- the shop's day
      COALESCE(shop.name, '?') AS shop,
      COUNT(*) AS sales,
      SUM(sale.calc_discount) AS discount,
      SUM(sale.calc_total - sale.calc_tax1 - sale.calc_tax2) AS net,
      SUM(sale.calc_tax1 + sale.calc_tax2) AS tax
    FROM RAW.sale AS sale
    LEFT JOIN RAW.shop AS shop ON shop._account_id = sale._account_id AND shop.shop_id = sale.shop_id
    WHERE sale.completed AND NOT sale.voided
    GROUP BY 1, 2, 3
    """,
]


@task(trigger_rule="none_failed")
def plan(resource: str, relations: list[str], path: str, ti: Any = None) -> list[dict[str, Any]]:
    """Make tables and empty staging tables; return which files to copy, push the statements that load them."""
    from airflow.providers.snowflake.hooks.snowflake import SnowflakeHook

    from airflow_provider_lightspeed.arrow.types import Selection
    from airflow_provider_lightspeed.warehouse.loads import create, create_staging, load, loaded
    from airflow_provider_lightspeed.warehouse.manifest import files_of, new_loads, read_manifest
    from airflow_provider_lightspeed.warehouse.tables import tables_of

    hook = SnowflakeHook(CONNECTION, session_parameters=SESSION)
    tables = tables_of(resource, relations, Selection(naming="snake_case"), prefix=f"{SCHEMA}.")
    hook.run([*create(tables, "snowflake"), *create_staging(tables, "snowflake")], autocommit=True)
    known = {commit for (commit,) in hook.get_records(loaded(tables, "snowflake"))}
    loads = new_loads(read_manifest(ObjectStoragePath(path) / resource), known)
    copies = []
    for spec in tables:
        # Names below the stage: Sale/part-....parquet.
        names = ["/".join(file.url.rsplit("/", 2)[1:]) for file in files_of(loads, spec.relation)]
        starts = range(0, len(names), MOST_FILES)
        copies += [{"table": spec.staging.upper(), "files": names[start : start + MOST_FILES]} for start in starts]
    ti.xcom_push(key="load", value=list(load(tables, "snowflake", loads)) or ["SELECT 1"])
    return copies


@dag(
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # one load at a time: Snowflake enforces no key on the table of loads
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    tags=["lightspeed", "example"],
    doc_md=__doc__,
)
def example_lightspeed_snowflake() -> None:
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
            copy = CopyFromExternalStageToSnowflakeOperator.partial(
                task_id="copy",
                snowflake_conn_id=CONNECTION,
                stage=STAGE,
                file_format="(TYPE = PARQUET USE_LOGICAL_TYPE = TRUE)",
                copy_options="MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE",
                session_parameters=SESSION,
            ).expand_kwargs(planned)
            merge = SQLExecuteQueryOperator(
                task_id="merge",
                conn_id=CONNECTION,
                sql=planned["load"],
                autocommit=True,  # the statements begin and end a transaction
                split_statements=False,
                hook_params={"session_parameters": SESSION},
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
        hook_params={"session_parameters": SESSION},
    )
    merges >> check >> mart


example_lightspeed_snowflake()
