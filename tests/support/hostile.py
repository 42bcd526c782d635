"""What an API may send against its own documentation, and the proof that none of it is lost."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import orjson

from airflow_provider_lightspeed.arrow.types import Column, Shape
from airflow_provider_lightspeed.resources.base import FieldType, Resource

Record = dict[str, Any]

VALUES: Final[tuple[Any, ...]] = (
    "Ünï çödé 😀 שלום", "tab\tnul\x00bell\x07", "1e3", "N/A", "9" * 40 + ".5", "0.12345678901234567", str(2**31 + 5),
    str(2**63), "-0", " 7", "0x10", "2021-05-20T14:10:08+05:45", "2021-05-20T14:10:08", "0000-00-00",
    "0000-00-00T00:00:00+00:00", "12/31/2021", "1_000", "٣", "\uff11\uff12",
    "2.5", "nan", "2021-05-20T14:10:08.123456789+00:00", "", None, True, 1.5, 12, {"new": {"deep": [1, "x"]}}, [], ["a", "b"],
)  # fmt: skip
#: How often a value is replaced, and a field added.
OFTEN: Final = 0.2


def spoil(found: Resource, shape: Shape, record: Record) -> Record:
    """Return a record with hostile values and new fields, the same ones each time; what reading relies on is left alone."""
    key = found.primary_key or ""
    chance = random.Random(f"{found.name} {record.get(key)} {sorted(record)}")  # noqa: S311 - made up from a seed
    sacred = {key, found.modified_field, *(parent.field for parent in found.parents)}
    return _spoiled(shape, record, chance, sacred)


def _spoiled(shape: Shape, record: Record, chance: random.Random, sacred: set[str | None]) -> Record:
    columns = {key: column for column in shape.columns for key in column.keys}
    made: Record = {}
    for key, value in record.items():
        column = columns.get(key)
        if column is not None and column.shape is not None:
            made[key] = _inside(column, value, chance)
        elif key in sacred or key == "@attributes" or column is None or chance.random() > OFTEN:
            made[key] = value
        else:
            made[key] = chance.choice(VALUES)
    if chance.random() < OFTEN:
        made["brandNew"] = chance.choice(VALUES)
    return made


def _inside(column: Column, value: Any, chance: random.Random) -> Any:
    assert column.shape is not None
    if isinstance(value, list):
        return [_inside(column, each, chance) for each in value]
    if not isinstance(value, dict):
        return value
    if column.type is FieldType.COLLECTION and column.element and column.element in value:
        return {**value, column.element: _inside(column, value[column.element], chance)}
    return _spoiled(column.shape, value, chance, set())


def losses(shape: Shape, record: Record, row: Record) -> list[str]:
    """Return the paths of a wire record's values that are neither in their column nor in ``_extra``."""
    extra = orjson.loads(row["_extra"]) if row["_extra"] else {}
    return list(_lost(shape, record, row, "", extra))


def _lost(shape: Shape, record: Record, row: Record, path: str, extra: Record) -> Iterator[str]:
    columns = {key: column for column in shape.columns for key in column.keys}
    for key, value in record.items():
        column = columns.get(key)
        here = path + (column.source if column else key)
        if here in extra and extra[here] == value:
            continue
        if column is None and (key == "@attributes" or key in shape.known):
            continue  # known, and left out as a secret
        if column is None:
            yield here
        elif column.shape is None:
            if not _holds(column, value, row[column.name]):
                yield here
        else:
            yield from _lost_inside(column, value, row[column.name], here, extra)


def _lost_inside(column: Column, value: Any, found: Any, here: str, extra: Record) -> Iterator[str]:
    assert column.shape is not None
    if column.type is not FieldType.COLLECTION:
        if isinstance(value, dict) and found is not None:
            yield from _lost(column.shape, value, found, f"{here}.", extra)
        elif value not in (None, "", []):
            yield here
        return
    inner = value.get(column.element, value) if isinstance(value, dict) and column.element else value
    members = inner if isinstance(inner, list) else [inner] if inner else []
    if len(members) != len(found or ()):
        yield here
    for place, (member, kept) in enumerate(zip(members, found or (), strict=False)):
        yield from _lost(column.shape, member, kept, f"{here}[{place}].", extra)


def _holds(column: Column, value: Any, found: Any) -> bool:
    """Tell whether a column's value is exactly what the wire said, by rules of our own."""
    if value is None or (value == "" and column.type not in (FieldType.STRING, FieldType.MIXED)):
        return found is None
    try:
        return bool(found == _meant(column.type, value))
    except (ValueError, TypeError, InvalidOperation, OverflowError):
        return False


def _meant(kind: FieldType, value: Any) -> Any:
    match kind:
        case FieldType.INTEGER | FieldType.QUANTITY | FieldType.MONEY | FieldType.FLOAT:
            return Decimal(str(value)) if not isinstance(value, bool) else None
        case FieldType.BOOLEAN:
            return {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]
        case FieldType.DATETIME:
            moment = datetime.fromisoformat(value)
            return moment.astimezone(UTC) if moment.tzinfo else None
        case FieldType.DATE:
            return datetime.strptime(value, "%m/%d/%Y" if "/" in value else "%Y-%m-%d").replace(tzinfo=UTC).date()
        case FieldType.STRING_LIST:
            return [value] if isinstance(value, str) else value
    return value if isinstance(value, str) else orjson.dumps(value).decode()
