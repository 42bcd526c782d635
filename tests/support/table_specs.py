"""Small tables with every rule there is."""

from __future__ import annotations

import pyarrow as pa

from airflow_provider_lightspeed.arrow.types import DECIMAL, EXTRA, LINEAGE, TIMESTAMP
from airflow_provider_lightspeed.warehouse.tables import Tables, TableSpec, loads_table

_EXTRA = pa.field(EXTRA, pa.string())


def sale_tables() -> Tables:
    """Sales that are modified and deleted, with lines and with discounts of lines in tables of their own."""
    loads = loads_table()
    tombstones = TableSpec(
        "Sale__tombstones",
        "Sale",
        pa.schema([pa.field("saleID", pa.int64()), pa.field("_reason", pa.string()), *LINEAGE]),
        relation="tombstones",
        key=("saleID",),
    )
    main = TableSpec(
        "Sale",
        "Sale",
        pa.schema(
            [
                pa.field("saleID", pa.int64()),
                pa.field("updateTime", TIMESTAMP),
                pa.field("total", DECIMAL),
                pa.field("order", pa.string()),
                _EXTRA,
                *LINEAGE,
            ]
        ),
        key=("saleID",),
        modified="updateTime",
        tombstones=tombstones,
        loads=loads.name,
    )
    lines = TableSpec(
        "Sale__SaleLines",
        "Sale",
        pa.schema(
            [
                pa.field("_root_key", pa.int64()),
                pa.field("_parent_key", pa.int64()),
                pa.field("_path", pa.string()),
                pa.field("_position", pa.int32()),
                pa.field("saleLineID", pa.int64()),
                *LINEAGE,
            ]
        ),
        relation="SaleLines",
        key=("_root_key", "_path"),
        main=main,
    )
    return Tables(main, loads, (lines,))


def payment_tables() -> Tables:
    """Payments that are read through their sales."""
    loads = loads_table()
    parents = TableSpec(
        "SalePayment__Sale",
        "SalePayment",
        pa.schema([pa.field("saleID", pa.int64()), *LINEAGE]),
        relation="Sale",
        key=("saleID",),
    )
    columns = [pa.field("salePaymentID", pa.int64()), pa.field("saleID", pa.int64()), _EXTRA, *LINEAGE]
    main = TableSpec(
        "SalePayment", "SalePayment", pa.schema(columns), key=("salePaymentID",), parents=parents, loads=loads.name
    )
    return Tables(main, loads)


def label_tables() -> Tables:
    """Rows without a key, of which each read is a whole one."""
    loads = loads_table()
    columns = [pa.field("itemID", pa.int64()), _EXTRA, *LINEAGE]
    main = TableSpec("DisplayTemplateLabel", "DisplayTemplateLabel", pa.schema(columns), loads=loads.name)
    return Tables(main, loads)


def report_tables() -> Tables:
    """A report: rows without a key, by the day."""
    loads = loads_table()
    columns = [pa.field("date", pa.date32()), pa.field("tax", DECIMAL), _EXTRA, *LINEAGE]
    name = "ReportsAccountingTaxesByDay"
    return Tables(TableSpec(name, name, pa.schema(columns), day="date", loads=loads.name), loads)
