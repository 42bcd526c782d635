"""Into DuckDB: sales with their lines, items, categories and shops, checked, and a mart of sales by day, shop and category.

Needs ``airflow-provider-lightspeed[warehouse]`` and ``duckdb`` on the workers, a connection ``lightspeed_default``, and the
Variables ``lightspeed_path`` (a folder or URL for the files) and ``lightspeed_duckdb`` (the database's file).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import AssetAlias, ObjectStoragePath, dag, task

from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator

PATH, DATABASE = "{{ var.value.lightspeed_path }}", "{{ var.value.lightspeed_duckdb }}"
#: Resource to the relations that become tables of their own.
RESOURCES: dict[str, list[str]] = {"Sale": ["SaleLines"], "Item": [], "Category": [], "Shop": []}

#: Each finds the rows that break a rule.
CHECKS = {
    "a sale's key is unique": "SELECT 1 FROM sale GROUP BY _account_id, sale_id HAVING count(*) > 1",
    "a line's key is unique": "SELECT 1 FROM sale__sale_lines GROUP BY _account_id, sale_line_id HAVING count(*) > 1",
    "a line has its sale": """
        SELECT 1 FROM sale__sale_lines line
        ANTI JOIN sale ON sale._account_id = line._account_id AND sale.sale_id = line._root_key""",
    "lines add up to their sale": """
        SELECT 1 FROM sale JOIN sale__sale_lines line
        ON line._account_id = sale._account_id AND line._root_key = sale.sale_id
        GROUP BY sale._account_id, sale.sale_id, sale.calc_subtotal
        HAVING abs(sum(line.calc_subtotal) - sale.calc_subtotal) >= 0.01""",
    "a sale's shop is known": """
        SELECT 1 FROM sale ANTI JOIN shop ON shop._account_id = sale._account_id AND shop.shop_id = sale.shop_id
        WHERE sale.shop_id <> 0""",
    "nothing is from the future": "SELECT 1 FROM sale WHERE greatest(create_time, complete_time) > _extracted_at",
    "sales are fresh": """
        SELECT 1 FROM _lightspeed_loads WHERE resource = 'Sale' HAVING max(window_end) < now() - INTERVAL 2 DAY""",
}

MART = """
CREATE OR REPLACE TABLE mart_sales AS
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
GROUP BY ALL
"""


@dag(
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # windows tile, and one process at a time may write to the database
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    tags=["lightspeed", "example"],
    doc_md=__doc__,
)
def example_lightspeed_duckdb() -> None:
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
    def load(path: str, database: str) -> dict[str, int]:
        """Merge the commits that the database does not have; return how many there were."""
        import duckdb

        from airflow_provider_lightspeed.arrow.types import Selection
        from airflow_provider_lightspeed.warehouse.clients import load_duckdb
        from airflow_provider_lightspeed.warehouse.tables import tables_of

        loaded = {}
        with duckdb.connect(database) as connection:
            for name, relations in RESOURCES.items():
                tables = tables_of(name, relations, Selection(naming="snake_case"), layout="tables")
                loaded[name] = len(load_duckdb(connection, tables, ObjectStoragePath(path) / name))
        return loaded

    @task(retries=0)
    def check(database: str) -> None:
        """Fail with the rules that do not hold."""
        import duckdb

        with duckdb.connect(database, read_only=True) as connection:
            found = {rule: len(connection.execute(query).fetchall()) for rule, query in CHECKS.items()}
        broken = {rule: rows for rule, rows in found.items() if rows}
        if broken:
            msg = f"rules that do not hold, with the number of rows that break them: {broken}"
            raise ValueError(msg)

    @task
    def mart(database: str) -> int:
        """Build the mart anew; return its rows."""
        import duckdb

        with duckdb.connect(database) as connection:
            connection.execute(MART)
            return len(connection.execute("FROM mart_sales").fetchall())

    extract >> load(PATH, DATABASE) >> check(DATABASE) >> mart(DATABASE)


example_lightspeed_duckdb()
