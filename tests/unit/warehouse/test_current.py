"""The view of the current rows."""

from __future__ import annotations

from airflow_provider_lightspeed.arrow.types import Selection
from airflow_provider_lightspeed.warehouse.loads import create
from airflow_provider_lightspeed.warehouse.statements import current_view
from airflow_provider_lightspeed.warehouse.tables import tables_of
from tests.support.warehouses import DuckWarehouse, at


def test_moved_field_shows_in_the_view() -> None:
    """What an earlier release kept in ``_extra`` shows in the column; what is no such value is null, as in a new file."""
    tables = tables_of("Sale", selection=Selection(naming="snake_case", columns=("saleID", "total", "ticketNumber")))
    warehouse = DuckWarehouse()
    warehouse.run(create(tables, "duckdb", keeps_history=True))
    for key, total, extra in (
        (1, None, '{"total": "11.4860025", "ticketNumber": "220000000001", "SaleLines[0].total": "3"}'),
        (2, None, '{"total": "eleven", "ticketNumber": "(withheld)"}'),
        (3, "1.5", '{"total": "1.50000000000001"}'),
        (4, None, None),
    ):
        values = [key, total, extra, at(0)]
        warehouse.connection.execute(
            "INSERT INTO sale (sale_id, total, _extra, _account_id, _extracted_at) VALUES (?, ?, ?, '1', ?)", values
        )
    warehouse.run(current_view(tables.main, "duckdb", moved=["total", "ticketNumber"]))
    found = warehouse.rows("SELECT sale_id, total::TEXT, ticket_number FROM sale__current ORDER BY 1")
    assert found == [
        (1, "11.4860025000", "220000000001"),
        (2, None, None),
        (3, "1.5000000000", None),
        (4, None, None),
    ]
