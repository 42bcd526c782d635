"""Compares what an extract holds with what the simulated account holds: every record, every scalar column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_lightspeed.resources.base import DECIMALS, Field, FieldType
from airflow_provider_lightspeed.resources.catalog import resource

Record = dict[str, Any]
Shown = tuple[str, ...]


def rows_of(folder: Path, name: str, table: str = "") -> list[Record]:
    """Return all rows that the manifest names, of the resource's own table or another one."""
    home = folder / (f"{name}.{table}" if table else name)
    manifest = orjson.loads((home / "_manifest.json").read_bytes())
    tables = [pq.read_table(home / file["path"]) for file in manifest["files"]]
    return pa.concat_tables(tables).to_pylist() if tables else []


@cache
def scalar_fields(name: str) -> list[Field]:
    """Return the fields that are columns of their own."""
    inside = {FieldType.OBJECT, FieldType.COLLECTION, FieldType.MIXED, FieldType.STRING_LIST}
    return [
        field for field in resource(name).entity.fields.values() if field.type not in inside and not field.is_secret
    ]


def shown_truth(name: str, record: Record) -> Shown:
    """Return a record of the simulator's truth in a form that compares."""
    return tuple(repr(_normal(_typed(field, record.get(field.name)))) for field in scalar_fields(name))


def shown_row(name: str, row: Record) -> Shown:
    """Return an extracted row in the same form."""
    return tuple(repr(_normal(_plain(field, row.get(field.name)))) for field in scalar_fields(name))


def assert_equal(name: str, rows: Sequence[Record], truth: Sequence[Record]) -> None:
    """Record by record, no more and no less; every scalar column has the truth's value."""
    found = Counter(shown_row(name, row) for row in rows)
    expected = Counter(shown_truth(name, record) for record in truth)
    lost, added = expected - found, found - expected
    difference = (
        f"{len(rows)} rows of {len(truth)}: {lost.total()} lost {[*lost][:1]}, {added.total()} added {[*added][:1]}"
    )
    assert found == expected, difference


def _typed(field: Field, value: Any) -> Any:
    """Return a value of the simulator's truth as Arrow's Python value."""
    if value is None:
        return None
    match field.type:
        case FieldType.QUANTITY | FieldType.MONEY | FieldType.FLOAT:
            return Decimal(str(value))
        case FieldType.DATETIME:
            return datetime.fromisoformat(value)
        case FieldType.DATE:
            return date.fromisoformat(value)
    return value


def _plain(field: Field, value: Any) -> Any:
    """Return an extracted value such that equal amounts are equal."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return Decimal(str(value)) if field.type in DECIMALS and value is not None else value


def _normal(value: Any) -> Any:
    return value.normalize() + 0 if isinstance(value, Decimal) else value
