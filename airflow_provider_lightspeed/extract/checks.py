"""What every page is held against before its rows count. Pure."""

from __future__ import annotations

from typing import Any

from airflow_provider_lightspeed.exceptions import ProtocolViolation
from airflow_provider_lightspeed.extract.plan import Plan
from airflow_provider_lightspeed.extract.window import Window

Record = dict[str, Any]


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
            key = f"{plan.resource.primary_key} {record.get(plan.resource.primary_key or '')}"
            msg = (
                f"{plan.resource.name}: asked for {field.name} in {window.filter_value()!r}, but the answer holds {key} "
                f"with {value!r}: the server did not apply the filter; nothing was committed"
            )
            raise ProtocolViolation(msg, resource=plan.resource.name, field=field.name, found=value)


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
