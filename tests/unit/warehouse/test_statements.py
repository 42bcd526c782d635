"""Every statement is the dialect's own; what a table is made of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlglot
from sqlglot import exp

from airflow_provider_lightspeed.arrow.types import Selection
from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.resources.catalog import resources
from airflow_provider_lightspeed.warehouse.copy import copy_statement
from airflow_provider_lightspeed.warehouse.dialects import DIALECTS
from airflow_provider_lightspeed.warehouse.loads import create, create_staging, load, loaded
from airflow_provider_lightspeed.warehouse.statements import add_columns, current_view, ddl
from airflow_provider_lightspeed.warehouse.tables import Tables, tables_of
from tests.support.table_specs import label_tables, report_tables, sale_tables
from tests.support.warehouses import DuckWarehouse, Read

PAYMENTS = tables_of("SalePayment", ["PaymentType"], prefix="my-project.raw.")
KINDS = {
    "sale": tables_of("Sale", ["SaleLines"], Selection(naming="snake_case"), layout="tables", prefix="raw."),
    "order": tables_of("Order", ["OrderLines"]),
    "payment": PAYMENTS,
    "label": label_tables(),
    "report": report_tables(),
}


def all_statements(tables: Tables, dialect: str) -> Iterator[str]:
    """Yield every kind of statement for a resource."""
    load_of = Read("c-1", 10, whole=True).load(tables.main.resource)
    yield from create(tables, dialect)
    yield from create_staging(tables, dialect)
    yield loaded(tables, dialect)
    yield from load(tables, dialect, [load_of])
    yield from load(tables, dialect, [load_of], keeps_history=True)
    for spec in (tables.main, *tables.children):
        yield from current_view(spec, dialect)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_statement_parses_in_its_dialect(dialect: str, kind: str) -> None:
    """As one statement each, and as something that the parser knows: not as a mere command."""
    for statement in all_statements(KINDS[kind], dialect):
        (parsed,) = sqlglot.parse(statement, dialect=dialect)
        assert parsed is not None
        assert not isinstance(parsed, exp.Command), statement


@pytest.mark.parametrize("dialect", DIALECTS)
def test_large_tables_parse_in_every_dialect(dialect: str) -> None:
    """Every column has a type; that every type of an extract has one is held by ``test_dialects.py``."""
    for resource in ("Sale", "Item", "Customer", "Workorder"):
        (statement,) = ddl(tables_of(resource).main, dialect)
        parsed = sqlglot.parse_one(statement, dialect=dialect)
        columns = list(parsed.this.find_all(exp.ColumnDef, bfs=True))
        assert len([column for column in columns if column.kind]) >= len(tables_of(resource).main.columns)


def test_every_resource_can_be_created_in_duckdb() -> None:
    """With its nested columns."""
    warehouse = DuckWarehouse()
    for resource in resources():
        relations = [name for name, found in resource.relations.items() if "." not in name and not found.single_only]
        tables = tables_of(resource, relations)
        warehouse.run(create(tables, "duckdb"))
        described = warehouse.rows(f'SELECT column_name FROM (DESCRIBE "{tables.main.name}")')  # noqa: S608
        assert tuple(name for (name,) in described) == tables.main.columns


@pytest.mark.parametrize(
    ("dialect", "total", "lines", "time", "key"),
    [
        ("duckdb", "DECIMAL(38, 10)", "STRUCT(", "TIMESTAMPTZ", None),
        ("postgres", "DECIMAL(38, 10)", "JSONB", "TIMESTAMPTZ", 'PRIMARY KEY ("_account_id", "saleid")'),
        ("snowflake", "DECIMAL(38, 10)", "VARIANT", "TIMESTAMPTZ", 'PRIMARY KEY ("_ACCOUNT_ID", "SALEID")'),
        # NUMERIC has nine decimals there.
        (
            "bigquery",
            "BIGNUMERIC(38, 10)",
            "ARRAY<",
            "TIMESTAMP",
            "PRIMARY KEY (`_account_id`, `saleID`) NOT ENFORCED",
        ),
        ("redshift", "DECIMAL(38, 10)", "SUPER", "TIMESTAMP WITH TIME ZONE", 'PRIMARY KEY ("_account_id", "saleid")'),
    ],
)
def test_types_and_names_of_a_warehouse(dialect: str, total: str, lines: str, time: str, key: str | None) -> None:
    """Money keeps ten decimals; names are in the case in which unquoted ones are looked up."""
    (statement,) = ddl(tables_of("Sale", ["SaleLines"]).main, dialect)
    quote = "`" if dialect == "bigquery" else '"'
    fold = DIALECTS[dialect].fold
    rows = dict(line.strip().rstrip(",").partition(" ")[::2] for line in statement.splitlines())
    assert rows[f"{quote}{fold('total')}{quote}"] == total
    assert rows[f"{quote}{fold('SaleLines')}{quote}"].startswith(lines)
    assert rows[f"{quote}{fold('updateTime')}{quote}"] == time
    assert (key in statement) if key else ("PRIMARY KEY" not in statement)


def test_redshift_stages_times_as_its_copy_takes_them() -> None:
    """Parquet's times go into columns without a time zone there, and are read as UTC."""
    spec = sale_tables().main
    assert '"updatetime" TIMESTAMP,' in ddl(spec, "redshift", is_staging=True)[1]
    merged = load(sale_tables(), "redshift", [Read("c", 10).load("Sale")])
    assert any('"updatetime" AT TIME ZONE \'UTC\' AS "updatetime"' in statement for statement in merged)


def test_history_has_no_key() -> None:
    """It holds a row once for each time it was read."""
    assert "PRIMARY KEY" not in ddl(sale_tables().main, "postgres", keeps_history=True)[0]


def test_unknown_dialect() -> None:
    """The message names what there is."""
    with pytest.raises(InvalidArgument, match="'bigquery'"):
        ddl(sale_tables().main, "bigqueri")


def test_copy_names_the_columns() -> None:
    """In the order of the CSV."""
    statement = copy_statement(sale_tables().main)
    assert statement.startswith('COPY "sale__staging" ("saleid", "updatetime", "total", "order", "_extra", ')
    assert isinstance(sqlglot.parse_one(statement, dialect="postgres"), exp.Copy)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_moved_fields_parse(dialect: str) -> None:
    """Of every type."""
    tables = tables_of("Sale", selection=Selection(naming="snake_case"))
    moved = ["saleID", "total", "archived", "updateTime", "ticketNumber"]
    for statement in (
        *current_view(tables.main, dialect, moved=moved),
        *add_columns(tables.main, dialect, [], moved=moved),
    ):
        assert not isinstance(sqlglot.parse_one(statement, dialect=dialect), exp.Command), statement


def test_new_columns_are_added_and_filled() -> None:
    """A table of an earlier release gets the columns it lacks, and what ``_extra`` kept of them."""
    warehouse, spec = DuckWarehouse(), tables_of("Sale").main
    warehouse.connection.execute("CREATE TABLE Sale (saleid BIGINT, _extra TEXT)")
    warehouse.connection.execute("""INSERT INTO Sale VALUES (1, '{"total": "2.5"}'), (2, NULL)""")
    warehouse.run(add_columns(spec, "duckdb", ["saleid", "_extra"], moved=["total"]))
    assert warehouse.rows("SELECT saleID, total::TEXT FROM Sale ORDER BY 1") == [(1, "2.5000000000"), (2, None)]
    assert {name for (name,) in warehouse.rows("SELECT column_name FROM (DESCRIBE Sale)")} | {"saleID"} >= set(
        spec.columns
    )
    assert add_columns(spec, "duckdb", spec.columns) == ()


def test_moved_must_be_a_plain_column() -> None:
    """The message says which are."""
    spec = tables_of("Sale", ["SaleLines"]).main
    with pytest.raises(InvalidArgument, match="'total'"):
        current_view(spec, "duckdb", moved=["totall"])
    with pytest.raises(InvalidArgument, match="not one value"):
        current_view(spec, "duckdb", moved=["SaleLines"])
