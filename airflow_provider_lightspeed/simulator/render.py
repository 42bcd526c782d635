"""From canonical records to the wire: everything text, one-or-many, missing dates, empty containers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from functools import cache
from typing import Any, Final

from airflow_provider_lightspeed.simulator.schema import EntitySpec, FieldSpec, entity, on_request

Row = Mapping[str, Any]


@cache
def _template(name: str) -> dict[str, str]:
    """What a record looks like that sets nothing; the wire omits dates that are not set."""
    fields = entity(name).fields.values()
    return {spec.wire: wire_text(spec, spec.default) for spec in fields if not spec.nested and spec.default is not None}


@cache
def _renamed(name: str) -> dict[str, FieldSpec]:
    """The fields that a record shows without being asked for them."""
    return {spec.name: spec for spec in entity(name).fields.values() if not _waits_to_be_asked_for(spec)}


def wire_text(spec: FieldSpec, value: Any) -> str:
    """Return a scalar as the wire writes it."""
    if value is True:
        return "true"
    if value is False:
        return "false"
    if spec.format == "MM/DD/YYYY":
        day = date.fromisoformat(value)
        return f"{day:%m/%d/%Y}"
    return value if type(value) is str else str(value)


def one_or_many(items: list[Any]) -> Any:
    """Return a collection's value: ``""``, one object, or an array."""
    if not items:
        return ""
    return items[0] if len(items) == 1 else items


def record(spec: EntitySpec, row: Row) -> dict[str, Any]:
    """Return a record without relations."""
    wire: dict[str, Any] = dict(_template(spec.name))
    fields = _renamed(spec.name)
    for key, value in row.items():
        found = fields.get(key)
        if found is None:
            continue
        if value is None:
            wire.pop(found.wire, None)
        elif found.nested:
            wire[found.wire] = nested(found, value)
        elif type(value) is str and found.format is None:
            wire[found.wire] = value
        else:
            wire[found.wire] = wire_text(found, value)
    return wire


def _waits_to_be_asked_for(spec: FieldSpec) -> bool:
    if spec.type in ("mixed", "string_list"):
        return spec.wire in on_request()
    return spec.nested and not spec.embedded


def nested(spec: FieldSpec, value: Any) -> Any:
    """Return an embedded object or collection."""
    if isinstance(value, str):
        return value
    if spec.type == "collection" or isinstance(value, list):
        items = [_inner(spec, item) for item in value]
        if not items:
            return ""
        return {spec.element: one_or_many(items)} if spec.element else items
    return _inner(spec, value)


def _inner(spec: FieldSpec, value: Any) -> Any:
    if not isinstance(value, dict) or spec.target is None:
        return value
    target = entity(spec.target)
    if not target.fields:  # undocumented inside: as it is
        return value
    return record(target, value)


def canonical(spec: EntitySpec, row: Row) -> dict[str, Any]:
    """Return a record as the truth: typed values, ``None`` for what is not set, embedded parts included."""
    truth: dict[str, Any] = {}
    for name, found in spec.fields.items():
        if not found.nested:
            truth[name] = row.get(name, found.default)
        elif found.embedded and row.get(name) is not None:
            truth[name] = _canonical_nested(found, row[name])
    return truth


def _canonical_nested(spec: FieldSpec, value: Any) -> Any:
    if isinstance(value, list):
        return [_canonical_nested(spec, item) for item in value]
    if isinstance(value, dict) and spec.target and entity(spec.target).fields:
        return canonical(entity(spec.target), value)
    return value


#: From this many relations above it on a record shows no lists of its own.
_DEEP: Final = 2

Resolver = Callable[[str, Row, str, Mapping[str, Any]], Any]


def with_relations(
    spec: EntitySpec, store: str, row: Row, tree: Mapping[str, Any], relations: Mapping[str, Any], resolve: Resolver
) -> dict[str, Any]:
    """Return a record with the relations of ``tree`` (names to subtrees), found by ``resolve``."""
    wire = record(spec, row)
    for name, (path, subtree) in tree.items():
        facts = relations.get(path) or {
            "cardinality": "one",
            "container_key": name,
            "element_key": None,
            "target": entity_target(spec, name),
        }
        found = resolve(store, row, name, facts)
        _attach(wire, facts, found, subtree, relations, resolve, is_deep=path.count(".") >= _DEEP)
    return wire


def entity_target(spec: EntitySpec, name: str) -> str | None:
    """Return the entity inside a nested field."""
    found = spec.fields.get(name)
    return found.target if found else None


def _attach(
    wire: dict[str, Any],
    facts: Mapping[str, Any],
    found: Any,
    subtree: Mapping[str, Any],
    relations: Mapping[str, Any],
    resolve: Resolver,
    *,
    is_deep: bool,
) -> None:
    from airflow_provider_lightspeed.simulator.schema import store_of

    key, target = facts["container_key"], facts["target"]

    def shown(item: Any) -> Any:
        if not isinstance(item, Mapping) or target is None:
            return item
        spec = entity(target)
        made = with_relations(spec, store_of(target), item, subtree, relations, resolve)
        if not is_deep:
            return made
        inside = {field.wire for field in spec.fields.values() if field.nested} - set(subtree)
        return {name: value for name, value in made.items() if name not in inside}

    if facts["cardinality"] == "many":
        items = [shown(item) for item in found or ()]
        wire[key] = {facts["element_key"]: one_or_many(items)} if items else ""
    elif found is not None:
        made = shown(found)
        earlier = wire.get(key)
        if isinstance(earlier, (dict, list)) and key != "value":  # two records of one kind share the key
            wire[key] = [*(earlier if isinstance(earlier, list) else [earlier]), made]
        else:
            wire[key] = made
