"""Reads a list request as strictly as the API: filters, sort, relations, cursor, cost."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import unquote

from airflow_provider_lightspeed.simulator.schema import FieldSpec, ListSpec, entity

Predicate = Callable[[Mapping[str, Any]], bool]

CONTROLS: Final = frozenset(
    {"limit", "sort", "after", "before", "count", "archived", "load_relations", "pretty_print", "or"}
)
PAGE: Final = 100
MOST_IN: Final = 100
_OPERATORS: Final = (">=", "<=", "><", "!=", "!~", ">", "<", "~", "IN")
NUMBERS: Final = frozenset({"integer", "quantity", "money", "float"})
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
RANGES: Final = frozenset({">=", "<=", "><", ">", "<"})


class Refused(Exception):
    """400, or another status, with the message the API would give."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True)
class Condition:
    """One filter: ``relation`` is empty for a field of the record itself."""

    relation: str
    spec: FieldSpec | None
    name: str
    operator: str
    values: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        """Compare a canonical value."""
        value = typed(self.spec, value)
        first = self.values[0] if self.values else None
        match self.operator:
            case "=":
                return bool(value == first)
            case "!=":
                return bool(value != first)
            case "IN":
                return value in self.values
            case "~" | "!~":
                pattern = ".*".join(re.escape(part) for part in str(first).split("%"))
                found = (
                    re.fullmatch(pattern, "" if value is None else str(value), re.IGNORECASE | re.DOTALL) is not None
                )
                return found is (self.operator == "~")
        if value is None:
            return False
        match self.operator:
            case ">":
                return bool(value > first)
            case ">=":
                return bool(value >= first)
            case "<":
                return bool(value < first)
            case "<=":
                return bool(value <= first)
        return bool(self.values[0] <= value <= self.values[1])


def typed(spec: FieldSpec | None, value: Any) -> Any:
    """Return a canonical value, or the text of a filter, as something that compares."""
    if value is None or spec is None:
        return value
    try:
        if spec.type in NUMBERS:
            return Decimal(value)
        if spec.type == "boolean":
            return value if isinstance(value, bool) else {"true": True, "1": True, "false": False, "0": False}[value]
        if spec.type == "datetime":
            moment = datetime.fromisoformat(value) if len(value) > 10 else datetime.fromisoformat(f"{value}T00:00:00")
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except (InvalidOperation, KeyError, OverflowError, ValueError, TypeError):
        raise Refused(f"Invalid value for {spec.name}: '{value}'.") from None
    return value


def _operand(spec: FieldSpec | None, text: str) -> Any:
    """Return an operand as something that compares; refuse what is no plain number where the field holds one."""
    if spec is not None and spec.type in NUMBERS and not _NUMBER.fullmatch(text):
        raise Refused(f"Invalid value for {spec.name}: '{text}'.")
    return typed(spec, text)


def parse_condition(listed: ListSpec, loaded: frozenset[str], name: str, text: str) -> Condition | None:
    """Read ``name=text``; refuse what the API does not know, or return None for it where the API ignores it (D6)."""
    relation, _, inner = name.rpartition(".")
    is_known, spec = _field(listed, relation, inner)
    if listed.is_refused(name) or (not is_known and "D6" not in listed.live):
        raise Refused(f"Unknown field: '{name}'.")
    if not is_known:
        return None
    if relation and relation not in loaded:
        raise Refused(f"Relation '{relation}' must be in load_relations to search '{name}'.")
    operator, operands = _operator(text)
    if operator == "><" and len(operands) != 2:
        raise Refused(f"Operator >< needs two operands: '{name}'.")
    if operator == "IN" and not 1 <= len(operands) <= MOST_IN:
        raise Refused(f"Operator IN takes 1 to {MOST_IN} values: '{name}'.")
    like = operator in ("~", "!~")
    values = tuple(operand if like else _operand(spec, operand) for operand in operands)
    return Condition(relation, spec, spec.name if spec else inner, operator, values)


def _field(listed: ListSpec, relation: str, inner: str) -> tuple[bool, FieldSpec | None]:
    """Return whether a list can be searched by a field of its records or of a relation, and the field if it is documented."""
    if not relation:
        spec = listed.entity.find(inner)
        return (spec is not None and not spec.nested) or inner in listed.query_params, spec
    facts = listed.relations.get(relation)
    if facts is None or "." in relation:
        return False, None
    spec = entity(facts["target"]).find(inner) if facts["target"] else None
    return spec is not None or f"{relation}.{inner}" in listed.query_params, spec


def key_range(listed: ListSpec, filters: Mapping[str, str]) -> tuple[int, int] | None:
    """Return the first and last primary key that a filter on it admits, if it is a range of whole numbers.

    Such a part of a sorted list is found without looking at every row, as a database finds it by its index.
    """
    name = listed.primary_key or ""
    spec = listed.entity.find(name)
    if name not in filters or spec is None or spec.type != "integer":
        return None
    condition = parse_condition(listed, frozenset(), name, filters[name])
    if condition is None or condition.operator not in RANGES or any(value != int(value) for value in condition.values):
        return None
    first, last = int(condition.values[0]), int(condition.values[-1])
    end = 10**18
    return {
        ">": (first + 1, end),
        ">=": (first, end),
        "<": (-end, last - 1),
        "<=": (-end, last),
        "><": (first, last),
    }[condition.operator]


def _operator(text: str) -> tuple[str, tuple[str, ...]]:
    for operator in _OPERATORS:
        if text.startswith(f"{operator},"):
            rest = text[len(operator) + 1 :]
            if operator == "IN":
                return operator, _listed(rest)
            return operator, tuple(rest.split(",", 1)) if operator == "><" else (rest,)
    return "=", (text,)


def _listed(text: str) -> tuple[str, ...]:
    """Read the operands of IN: ``[1,2,3]`` or ``1,2,3``."""
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") and len(text) > 1 else text
    parts = tuple(inner.split(","))
    if "" in parts or any("[" in part or "]" in part for part in parts):
        raise Refused(f"Malformed list of operator IN: '{text}'.")
    return parts


def parse_or(listed: ListSpec, loaded: frozenset[str], text: str) -> list[Condition]:
    """Read ``or=a%3Dx|b%3Dy``: the parts are percent-encoded once more."""
    found = []
    for part in text.split("|"):
        name, equals, value = unquote(part).partition("=")
        if not equals:
            raise Refused(f"Malformed or: '{text}'.")
        condition = parse_condition(listed, loaded, name, value)
        found += [condition] if condition else []
    return found


def parse_relations(listed: ListSpec, text: str, *, single: bool) -> tuple[str, ...]:
    """Return the relations asked for, parents of dotted names included."""
    if listed.display_template:
        return ()
    if text == "all":
        every = tuple(name for name in listed.relations if not name.startswith("CustomFieldValues"))
        return _admitted(listed, every)
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Refused("load_relations must be a JSON array of names.")
    for name in names:
        facts = listed.relations.get(name)
        if facts is None or (facts.get("single_only") and not single):
            if "C5" in listed.live or (listed.name == "Account" and "C9" in listed.live):
                raise _not_allowed(name)
            raise Refused(f"Unknown relation '{name}'. Allowed: {', '.join(listed.relations)}.")
    wanted: dict[str, None] = {}
    for name in _admitted(listed, names):
        parts = name.split(".")
        wanted.update(dict.fromkeys(".".join(parts[: depth + 1]) for depth in range(len(parts))))
    return tuple(wanted)


def _not_allowed(name: str) -> Refused:
    return Refused(f"Tried to load one or more relations that are not allowed: {name}")


def _admitted(listed: ListSpec, names: Sequence[str]) -> tuple[str, ...]:
    """Return the relations that are loaded; refuse what the account refuses (C2) and more than the server can take (C1)."""
    most = listed.live.number("C1")
    if most is not None and len(names) > most:
        raise Refused("Internal Server Error", 500)
    refused = listed.live.relations("C2", listed.name).intersection(names)
    if refused:
        raise _not_allowed(", ".join(sorted(refused)))
    dropped = listed.live.relations("C3", listed.name)
    return tuple(name for name in names if not _is_within(name, dropped))


def _is_within(name: str, relations: frozenset[str]) -> bool:
    return any(name == relation or name.startswith(f"{relation}.") for relation in relations)


def relation_tree(names: tuple[str, ...]) -> dict[str, Any]:
    """Return dotted names as a tree: name -> (full path, subtree)."""
    tree: dict[str, Any] = {}
    for name in sorted(names):
        level, path = tree, ""
        for part in name.split("."):
            path = f"{path}.{part}" if path else part
            level = level.setdefault(part, (path, {}))[1]
    return tree


def cost_of(
    listed: ListSpec, relations: tuple[str, ...], params: Mapping[str, str], ors: list[Condition], *, single: bool
) -> float:
    """Price a request (page "Rate limiting", "Query parameters")."""
    if "count" in params:
        return 10.0
    if listed.display_template:
        return 1.0
    price = sum(float(listed.relations[name]["cost"]) for name in relations)
    return round(1.0 + (price / 2 if single else price) + or_cost(ors), 3)


def or_cost(ors: list[Condition]) -> float:
    """Free over one field; 1 per operand over one entity with at most one range; else 10 per entity + 1 per further."""
    if len({(found.relation, found.name) for found in ors}) <= 1:
        return 0.0
    entities = {found.relation for found in ors}
    if len(entities) == 1 and sum(found.operator in RANGES for found in ors) <= 1:
        return float(len(ors))
    return 10.0 * len(entities) + len(ors) - len(entities)


def encode_cursor(values: list[Any]) -> str:
    """Return a cursor: base64 of a JSON array."""
    return base64.b64encode(json.dumps(values, separators=(",", ":")).encode()).decode()


def decode_cursor(text: str, kinds: Sequence[type]) -> list[Any]:
    """Read a cursor.

    :param kinds: of its values, ``float`` standing for any number.
    :raises Refused: it is not one of this sort.
    """
    try:
        values = json.loads(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error, RecursionError):
        values = None
    if not isinstance(values, list) or len(values) != len(kinds) or not all(map(_is_of, values, kinds)):
        raise Refused("Invalid cursor.")
    return values


def _is_of(value: Any, kind: type) -> bool:
    if kind is str:
        return isinstance(value, str)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e18
    return is_number and (kind is float or isinstance(value, int))
