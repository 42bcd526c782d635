"""Puts the rows of child tables back into the rows that they hang on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_provider_lightspeed.arrow.tables import MAIN, PARENT_KEY, PATH, POSITION, ROOT_KEY
from airflow_provider_lightspeed.arrow.types import Shape
from airflow_provider_lightspeed.resources.base import FieldType

Rows = list[dict[str, Any]]
KEYS = {ROOT_KEY, PARENT_KEY, PATH, POSITION}


def joined(shape: Shape, tables: dict[str, Rows]) -> Rows:
    """Put the tables' rows back into each other, by the key of the main row and the path."""
    found = {(row[ROOT_KEY], row[PATH]): row for name, rows in tables.items() if name for row in rows}
    assert len(found) == sum(len(rows) for name, rows in tables.items() if name)

    def inner(shape: Shape, root: Any, row: dict[str, Any], path: str) -> dict[str, Any]:
        made = {name: value for name, value in row.items() if name not in KEYS}
        for column in shape.columns:
            if column.shape is None:
                continue
            here = f"{path}.{column.source}" if path else column.source
            if column.type is FieldType.COLLECTION:
                made[column.name] = list(members(column.shape, root, here))
            else:
                record = found.pop((root, here), None)
                made[column.name] = inner(column.shape, root, record, here) if record else None
        return made

    def members(shape: Shape, root: Any, path: str) -> Iterator[dict[str, Any]]:
        place = 0
        while (record := found.pop((root, f"{path}[{place}]"), None)) is not None:
            assert record[POSITION] == place
            yield inner(shape, root, record, f"{path}[{place}]")
            place += 1

    rows = [inner(shape, row[shape.key or ""], row, "") for row in tables[MAIN]]
    assert found == {}, "rows that hang on nothing"
    return rows


def plain(shape: Shape, rows: Rows) -> Rows:
    """Return rows without lineage inside, the columns in the order of the shape: both layouts alike."""
    return [_plain(shape, row) for row in rows]


def _plain(shape: Shape, row: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for column in shape.columns:
        value = row[column.name]
        if column.shape is not None and value is not None:
            value = plain(column.shape, value) if isinstance(value, list) else _plain(column.shape, value)
        made[column.name] = value
    return made
