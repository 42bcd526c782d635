"""Into Postgres: sales with their lines, items, categories and shops, checked, and a mart of sales by day, shop and category.

Needs ``airflow-provider-lightspeed[warehouse]`` and the Postgres provider, the connections ``lightspeed_default`` and
``lightspeed_warehouse`` (Postgres 16 or newer), and the Variable ``lightspeed_path`` (a folder or URL for the files).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import AssetAlias, ObjectStoragePath, dag, task
from airflow.providers.common.sql.operators.sql import SQLCheckOperator, SQLExecuteQueryOperator

from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator

PATH, WAREHOUSE = "{{ var.value.lightspeed_path }}", "lightspeed_warehouse"
#: Resource to the relations that become tables of their own.
RESOURCES: dict[str, list[str]] = {"Sale": ["SaleLines"], "Item": [], "Category": [], "Shop": []}

#: Each says in one row whether a rule holds.
CHECKS = {
    "lines_have_their_sale": """
        SELECT NOT EXISTS (
          SELECT 1 FROM sale__sale_lines line
          LEFT JOIN sale ON sale._account_id = line._account_id AND sale.sale_id = line._root_key
          WHERE sale.sale_id IS NULL)""",
    "lines_are_unique": """
        SELECT NOT EXISTS (SELECT 1 FROM sale__sale_lines GROUP BY _account_id, sale_line_id HAVING count(*) > 1)""",
    "lines_add_up_to_their_sale": """
        SELECT NOT EXISTS (
          SELECT 1 FROM sale JOIN sale__sale_lines line
          ON line._account_id = sale._account_id AND line._root_key = sale.sale_id
          GROUP BY sale._account_id, sale.sale_id, sale.calc_subtotal
          HAVING abs(sum(line.calc_subtotal) - sale.calc_subtotal) >= 0.01)""",
    "shops_of_sales_are_known": """
        SELECT NOT EXISTS (
          SELECT 1 FROM sale LEFT JOIN shop ON shop._account_id = sale._account_id AND shop.shop_id = sale.shop_id
          WHERE shop.shop_id IS NULL AND sale.shop_id <> 0)""",
    "nothing_is_from_the_future": """
        SELECT NOT EXISTS (SELECT 1 FROM sale WHERE greatest(create_time, complete_time) > _extracted_at)""",
    "sales_are_fresh": """
        SELECT coalesce(max(window_end) > now() - INTERVAL '2 days', FALSE)
        FROM _lightspeed_loads WHERE resource = 'Sale'""",
}

MART = [
    "DROP TABLE IF EXISTS mart_sales",
    """
    CREATE TABLE mart_sales AS
    SELECT
      sale._account_id AS account_id,
      CAST(sale.complete_time AT TIME ZONE coalesce(shop.time_zone, 'UTC') AS DATE) AS day,  -- the shop's day
      coalesce(shop.name, '?') AS shop,
      coalesce(category.name, 'no category') AS category,
      count(DISTINCT sale.sale_id) AS sales,
      sum(line.unit_quantity) AS quantity,
      sum(line.calc_subtotal) AS net,
      sum(coalesce(line.calc_tax1, 0) + coalesce(line.calc_tax2, 0)) AS tax
    FROM sale
    JOIN sale__sale_lines line ON line._account_id = sale._account_id AND line._root_key = sale.sale_id
    LEFT JOIN shop ON shop._account_id = sale._account_id AND shop.shop_id = sale.shop_id
    LEFT JOIN item ON item._account_id = sale._account_id AND item.item_id = line.item_id
    LEFT JOIN category ON category._account_id = sale._account_id AND category.category_id = item.category_id
    WHERE sale.completed AND NOT sale.voided
    GROUP BY 1, 2, 3, 4
    """,
]


@dag(
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # windows tile: each run starts where the last committed one ended
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    tags=["lightspeed", "example"],
    doc_md=__doc__,
)
def example_lightspeed_postgres() -> None:
    """Extract, load, check, build the mart."""
    extract = LightspeedToParquetOperator.partial(
        task_id="extract",
        path=PATH,
        relation_layout="tables",
        column_naming="snake_case",
        outlets=[AssetAlias("lightspeed")],
        max_active_tis_per_dagrun=2,
        map_index_template="{{ task.resource }}",
    ).expand_kwargs([{"resource": name, "relations": relations} for name, relations in RESOURCES.items()])

    # A resource of which nothing was left to read is skipped.
    @task(trigger_rule="none_failed")
    def load(path: str) -> dict[str, int]:
        """Merge the commits that the database does not have; return how many there were."""
        from airflow.providers.postgres.hooks.postgres import PostgresHook

        from airflow_provider_lightspeed.arrow.types import Selection
        from airflow_provider_lightspeed.warehouse.clients import load_postgres
        from airflow_provider_lightspeed.warehouse.tables import tables_of

        loaded, connection = {}, PostgresHook(WAREHOUSE).get_conn()
        try:
            for name, relations in RESOURCES.items():
                tables = tables_of(name, relations, Selection(naming="snake_case"), layout="tables")
                loaded[name] = len(load_postgres(connection, tables, ObjectStoragePath(path) / name))
        finally:
            connection.close()
        return loaded

    checks = [
        SQLCheckOperator(task_id=f"check_{rule}", conn_id=WAREHOUSE, sql=query, retries=0)
        for rule, query in CHECKS.items()
    ]
    mart = SQLExecuteQueryOperator(task_id="mart", conn_id=WAREHOUSE, sql=MART, split_statements=False)
    extract >> load(PATH) >> checks >> mart


example_lightspeed_postgres()
