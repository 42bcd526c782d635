"""Builds list URLs for every documented operator, and prices them before they are sent.

Source: docs introduction/query-parameters, introduction/relations, introduction/pagination.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

import orjson

from airflow_provider_lightspeed.exceptions import InvalidArgument, unknown

OPERATORS: Final = (">", ">=", "<", "<=", "><", "!=", "~", "!~", "IN")
RANGE_OPERATORS: Final = (">", ">=", "<", "<=", "><")
MOST_IN_VALUES: Final = 100
PAGE_SIZE: Final = 100
COUNT_COST: Final = 10.0
BASE_COST: Final = 1.0

_SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
#: One value of an ``IN`` and what follows it: in double quotes as JSON has them, in single quotes that are doubled
#: inside, or bare.
_IN_VALUE = re.compile(r"""\s*(?:("(?:[^"\\]|\\.)*")|'((?:[^']|'')*)'|([^,"'\s][^,]*?|))\s*(,|$)""", re.DOTALL)
_LOOKS_LIKE_OPERATOR = re.compile(r"^([<>=!~]+|[A-Z]{2,7}),")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        if value.tzinfo is None:
            msg = f"filters: {value!r} has no time zone; add one (UTC is what the server stores)"
            raise InvalidArgument(msg, field="filters", found=value, allowed=("aware datetime",))
        try:
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
        except OverflowError:
            raise _unsendable(f"the time {value!r}, which is before the year 1 or after 9999 in UTC") from None
    if isinstance(value, (str, int, Decimal)):
        try:
            text = str(value)
        except ValueError:
            raise _unsendable("a number of thousands of digits") from None
        if _SURROGATE.search(text):
            raise _unsendable(f"{text[:80]!r}, which holds half a surrogate pair")
        return text
    if isinstance(value, float):
        return repr(value)
    msg = f"filters: a value of type {type(value).__name__} cannot be sent; use text, a number, a boolean or a datetime"
    raise InvalidArgument(
        msg, field="filters", found=type(value).__name__, allowed=("str", "int", "Decimal", "datetime")
    )


def _unsendable(found: str) -> InvalidArgument:
    return InvalidArgument(f"filters: {found}, cannot be sent; leave it out", field="filters", found=found, allowed=())


@dataclass(frozen=True, slots=True)
class Condition:
    """An operator with its operands; ``""`` is equality."""

    operator: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        """Return it as the value of a query parameter, before percent-encoding."""
        if self.operator == "":
            return self.values[0]
        if self.operator == "IN":
            return f"IN,[{','.join(map(_operand, self.values))}]"
        return ",".join((self.operator, *self.values))

    @property
    def is_range(self) -> bool:
        """Whether it counts as a range operator when an ``or`` is priced."""
        return self.operator in RANGE_OPERATORS


def eq(value: Any) -> Condition:
    """Equal."""
    return Condition("", (_text(value),))


def ne(value: Any) -> Condition:
    """Not equal."""
    return Condition("!=", (_text(value),))


def gt(value: Any) -> Condition:
    """Greater."""
    return Condition(">", (_text(value),))


def ge(value: Any) -> Condition:
    """Greater or equal."""
    return Condition(">=", (_text(value),))


def lt(value: Any) -> Condition:
    """Less."""
    return Condition("<", (_text(value),))


def le(value: Any) -> Condition:
    """Less or equal."""
    return Condition("<=", (_text(value),))


def between(low: Any, high: Any) -> Condition:
    """Between, both ends included."""
    return Condition("><", (_text(low), _text(high)))


def like(pattern: str) -> Condition:
    """Like, with ``%`` as the wildcard."""
    return Condition("~", (pattern,))


def not_like(pattern: str) -> Condition:
    """Not like; an empty pattern finds what is not empty."""
    return Condition("!~", (pattern,))


def in_(values: Iterable[Any]) -> Condition:
    """One of up to 100 values.

    :raises InvalidArgument: none, or more than 100.
    """
    texts = tuple(_text(value) for value in values)
    if not 1 <= len(texts) <= MOST_IN_VALUES:
        msg = f"filters: IN takes 1 to {MOST_IN_VALUES} values, found {len(texts)}; split the request"
        raise InvalidArgument(msg, field="filters", found=len(texts), allowed=(f"1 to {MOST_IN_VALUES} values",))
    return Condition("IN", texts)


def parse_condition(value: Any, *, field: str = "filters") -> Condition:
    """Read a filter's value: a :class:`Condition`, a list (``IN``), or text such as ``">=,10"`` or ``"true"``.

    Text without a leading operator is equality, commas included.

    :raises InvalidArgument: an unknown operator, a wrong number of operands.
    """
    if isinstance(value, Condition):
        return value
    if isinstance(value, (list, tuple, set, frozenset)):
        return in_(value)
    text = _text(value)
    found = _LOOKS_LIKE_OPERATOR.match(text)
    if not found:
        return Condition("", (text,))
    operator, operand = found[1], text[found.end() :]
    if operator not in OPERATORS:
        if operator.isalpha():
            return Condition("", (text,))
        raise unknown(f"filters[{field!r}]", operator, OPERATORS, what="operator")
    if operator == "IN":
        return in_(_in_values(operand, text, field))
    if operator == "><":
        operands = tuple(operand.split(","))
        if len(operands) != 2:
            msg = f"filters[{field!r}]: '><' takes two operands ('><,low,high'), found {text!r}"
            raise InvalidArgument(msg, field=field, found=text, allowed=("><,low,high",))
        return Condition("><", operands)
    return Condition(operator, (operand,))


def _operand(value: str) -> str:
    """Return a value of an ``IN``: a number bare, a text in quotes, so that a comma in it parts nothing."""
    return value if _NUMBER.fullmatch(value) else orjson.dumps(value).decode()


def _in_values(operand: str, text: str, field: str) -> list[str]:
    """Read the values of an ``IN``: in brackets or not, in either kind of quotes or none."""
    inner = operand.strip()
    is_open = inner.startswith("[") and not inner.endswith("]")
    if inner.startswith("[") and inner.endswith("]"):
        inner = inner[1:-1].strip()
    values: list[str] = []
    place, more = 0, bool(inner)
    while more:
        found = _IN_VALUE.match(inner, place)
        if found is None or is_open:
            msg = f'filters[{field!r}]: a bracket or quote in {text!r} is not closed; write texts like IN,["a, b","c"]'
            raise InvalidArgument(msg, field=field, found=text, allowed=('IN,["a, b","c"]',))
        if found[1] is not None:
            values.append(_unquoted(found[1]))
        else:
            values.append(found[3] if found[2] is None else found[2].replace("''", "'"))
        place, more = found.end(), found[4] == ","
    return values


def _unquoted(quoted: str) -> str:
    try:
        return str(orjson.loads(quoted))
    except orjson.JSONDecodeError:
        return quoted[1:-1]


@dataclass(frozen=True, slots=True)
class Or:
    """Alternatives, each a field with its condition."""

    alternatives: tuple[tuple[str, Condition], ...]

    @classmethod
    def parse(cls, value: Any) -> Or:
        """Read an ``or``: an :class:`Or`, or texts such as ``"total=>,10"``.

        :raises InvalidArgument: an alternative without ``=``, or fewer than two.
        """
        if isinstance(value, Or):
            return value
        if not isinstance(value, str | list | tuple):
            kind = type(value).__name__
            msg = f"filters['or']: found {kind}, allowed is a list such as ['total=>,10', 'completed=true']"
            raise InvalidArgument(msg, field="or", found=kind, allowed=("a list",))
        texts = value.split("|") if isinstance(value, str) else value
        pairs = []
        for text in texts:
            name, sign, operand = _text(text).partition("=")
            if not sign or not name.strip():
                msg = f"filters['or']: {text!r} is not an alternative; write it as 'field=value' or 'field=>=,value'"
                raise InvalidArgument(msg, field="or", found=text, allowed=("field=value",))
            pairs.append((name.strip(), parse_condition(operand, field=name.strip())))
        if len(pairs) < 2:
            msg = f"filters['or'] needs at least two alternatives, found {len(pairs)}"
            raise InvalidArgument(msg, field="or", found=value, allowed=())
        return cls(tuple(pairs))

    def encoded(self) -> str:
        """Return the parameter's value, percent-encoded; pipes inside a value are encoded twice."""
        texts = (f"{name}={str(condition).replace('|', '%7C')}" for name, condition in self.alternatives)
        return "|".join(quote(text, safe="") for text in texts)

    @property
    def cost(self) -> float:
        """What it adds: free on one field; 1 per operand on one entity with one range at most; else 10 per entity."""
        names = [name for name, _ in self.alternatives]
        if len(set(names)) == 1:
            return 0.0
        owners = {name.rpartition(".")[0] for name in names}
        ranges = sum(condition.is_range for _, condition in self.alternatives)
        if len(owners) == 1 and ranges <= 1:
            return float(len(names))
        return 10.0 * len(owners) + (len(names) - len(owners))


Filters = Mapping[str, Any]


def parse_filters(filters: Filters | None) -> dict[str, Condition | Or]:
    """Read a mapping of field to value; the key ``or`` holds alternatives.

    :raises InvalidArgument: names the field and what is allowed.
    """
    return {
        name: Or.parse(value) if name == "or" else parse_condition(value, field=name)
        for name, value in (filters or {}).items()
    }


def request_cost(*, relations: float = 0.0, filters: Filters | None = None, count: bool = False) -> float:
    """Return what a list request costs, in units of the bucket.

    :param relations: the sum over its relations, as the catalog prices them on queries.
    """
    if count:
        return COUNT_COST
    alternatives = (filters or {}).get("or")
    return BASE_COST + relations + (Or.parse(alternatives).cost if alternatives else 0.0)


def build_url(
    url: str,
    *,
    filters: Filters | None = None,
    relations: Sequence[str] = (),
    sort: str | None = None,
    archived: str | None = None,
    limit: int | None = None,
    count: bool = False,
    params: Mapping[str, str] | None = None,
) -> str:
    """Return ``url`` with its query.

    :param sort: ``field`` or ``-field``; default of the server: primary key ascending.
    :param archived: ``"true"`` (both kinds), ``"only"``, ``"false"``; ``None`` leaves the server's default (false).
    :param limit: 0 to 100.
    :param count: ask for the number of records; excludes ``sort`` and ``limit``.
    :raises InvalidArgument: a value out of its range, or ``count`` together with paging.
    """
    if archived not in (None, "true", "false", "only"):
        raise unknown("archived", archived, ("true", "false", "only"))
    if limit is not None and not 0 <= limit <= PAGE_SIZE:
        raise InvalidArgument(f"limit: found {limit}, allowed 0 to {PAGE_SIZE}", field="limit", found=limit, allowed=())
    if count and (sort or limit is not None):
        raise InvalidArgument("count cannot be combined with sort or limit", field="count", found=True, allowed=())
    parts = [
        f"{quote(_text(name), safe='.')}={value.encoded() if isinstance(value, Or) else quote(str(value), safe='')}"
        for name, value in parse_filters(filters).items()
    ]
    if relations:
        parts.append(f"load_relations={quote(orjson.dumps(list(relations)).decode(), safe='')}")
    plain = {"sort": sort, "archived": archived, "limit": limit, "count": 1 if count else None, **(params or {})}
    parts += [f"{name}={quote(str(value), safe='-')}" for name, value in plain.items() if value is not None]
    return f"{url}?{'&'.join(parts)}" if parts else url
