"""What every page is held against before its rows count. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from airflow_provider_lightspeed.client.query import Condition, parse_condition
from airflow_provider_lightspeed.exceptions import ProtocolViolation
from airflow_provider_lightspeed.extract.plan import Plan
from airflow_provider_lightspeed.extract.window import Window
from airflow_provider_lightspeed.resources.base import FieldType

Record = dict[str, Any]


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _flag(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text.lower()]


#: Types whose comparison is beyond doubt; how the server compares texts (case, accents, blanks) is not documented.
_COMPARABLE: Final[Mapping[FieldType, Callable[[str], Any]]] = {
    FieldType.INTEGER: Decimal,
    FieldType.QUANTITY: Decimal,
    FieldType.MONEY: Decimal,
    FieldType.FLOAT: Decimal,
    FieldType.BOOLEAN: _flag,
    FieldType.DATETIME: _moment,
}


def not_applied(resource: str, field: str, asked: str, holds: str, found: object) -> ProtocolViolation:
    """Return the error for an answer with a row that was not asked for: what else was left undone is unknown.

    :param asked: the condition on the field.
    :param holds: the row.
    """
    msg = (
        f"{resource}: asked for {field} in {asked}, but the answer holds {holds}: the server did not apply the filter; "
        "nothing was committed"
    )
    return ProtocolViolation(msg, resource=resource, field=field, found=found)


def check_filters(plan: Plan, records: list[Record]) -> None:
    """Check that every row fits the filters that were asked for, as far as a comparison is beyond doubt.

    :raises ProtocolViolation: a row that does not fit means that the server ignored the filter.
    """
    for name, condition, record, found in _outsiders(plan, records, lambda name: name != plan.checked_field):
        raise not_applied(plan.resource.name, name, repr(str(condition)), _with(plan, record, found), found)


def ignored_filter(plan: Plan, records: list[Record]) -> str | None:
    """Return a filter that the server ignored although its field has another spelling; ``None``: there is none."""
    spellings = plan.resource.entity.spellings
    return next((name for name, *_ in _outsiders(plan, records, lambda name: len(spellings(name)) > 1)), None)


def _outsiders(
    plan: Plan, records: list[Record], is_checked: Callable[[str], bool]
) -> Iterator[tuple[str, Condition, Record, str]]:
    """Yield the rows that do not fit a filter: the filter, its condition, the row and its value.

    :param is_checked: chooses filters by name.
    """
    entity = plan.resource.entity
    fields = {spelling: field for field in entity.fields.values() for spelling in (field.name, *field.aliases)}
    filters = dict(plan.filters)
    if plan.archived in ("only", "false"):
        filters["archived"] = plan.archived == "only"
    for name, value in filters.items():
        if name not in fields or fields[name].type not in _COMPARABLE or not is_checked(name):
            continue
        condition, read = parse_condition(value, field=name), _COMPARABLE[fields[name].type]
        for record in records:
            found = next((record[key] for key in (name, *entity.spellings(name)) if key in record), None)
            if isinstance(found, str) and found and _fits(condition, read, found) is False:
                yield name, condition, record, found


def _with(plan: Plan, record: Record, value: object) -> str:
    return f"{plan.resource.primary_key} {record.get(plan.resource.primary_key or '')} with {value!r}"


def _fits(condition: Condition, read: Callable[[str], Any], text: str) -> bool | None:
    """Tell whether a value fits a condition; ``None`` if nobody can tell."""
    try:
        value, operands = read(text), [read(operand) for operand in condition.values]
    except (KeyError, ValueError, InvalidOperation):
        return None
    match condition.operator:
        case "":
            return bool(value == operands[0])
        case "!=":
            return bool(value != operands[0])
        case "IN":
            return value in operands
        case ">":
            return bool(value > operands[0])
        case ">=":
            return bool(value >= operands[0])
        case "<":
            return bool(value < operands[0])
        case "<=":
            return bool(value <= operands[0])
        case "><":
            return bool(operands[0] <= value <= operands[1])
    return None


def check_window(plan: Plan, window: Window, records: list[Record]) -> None:
    """Check that every row lies in the window that was asked for.

    :raises ProtocolViolation: an outsider means that the server ignored the filter, and what else it did is unknown.
    """
    if plan.checked_field is None:
        return
    field = plan.resource.entity.find(plan.checked_field)
    for record in records:
        value = next((record[key] for key in (field.name, *field.aliases) if record.get(key)), None)
        if value is None or not window.admits(value):
            asked = repr(window.filter_value())
            raise not_applied(plan.resource.name, field.name, asked, _with(plan, record, value), value)


def children(plan: Plan, records: list[Record]) -> list[Record]:
    """Return the rows that a plan is after: the records themselves, or those of one of their relations.

    :raises ProtocolViolation: the relation holds something else than records.
    """
    if plan.child is None:
        return records
    relation = plan.resource.relations[plan.child]
    found: list[Record] = []
    for record in records:
        container = record.get(relation.container_key)
        inner = container.get(relation.element_key) if isinstance(container, dict) else container
        if isinstance(inner, dict):
            found.append(inner)
        elif isinstance(inner, list):
            found.extend(inner)
        elif inner not in (None, ""):
            raise ProtocolViolation(
                f"{plan.resource.name}.{plan.child} holds {type(inner).__name__} where records belong"
            )
    return found
