"""One wire value to one typed value, the careful way: used for columns in which Arrow's own casts meet a stranger."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final

import orjson

from airflow_provider_lightspeed.arrow.types import Column
from airflow_provider_lightspeed.resources.base import FieldType

_SCALE: Final = Decimal("1e-10")
_DIGITS: Final = 38
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_INT64: Final = range(-(2**63), 2**63)
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
#: ISO 8601 with a date and at least the hour; ``below`` are digits beyond microseconds.
_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3])(:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,6}(?P<below>[0-9]*))?)?)?"
    r"(?P<offset>Z|[+-][0-9]{2}(:?[0-9]{2})?)?"
)


class Misfit(Exception):
    """A value that the type cannot hold, or holds only rounded (``rounded`` is then what goes into the column)."""

    def __init__(self, reason: str, rounded: Any = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.rounded = rounded


def raw_text(value: Any) -> str:
    """Return a wire value as text: strings as they are, all else as JSON."""
    return value if isinstance(value, str) else json_text(value)


def json_text(value: Any) -> str:
    """Return a wire value as JSON with sorted keys; a lone surrogate, which JSON forbids, as the text of its escape."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return _SURROGATE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text)


def _whole(text: str) -> str:
    """Return the text itself.

    :raises Misfit: it has a lone surrogate, which UTF-8 cannot hold; U+FFFD takes its place (Unicode, section 3.9).
    """
    if not text.isascii() and _SURROGATE.search(text):
        raise Misfit("a damaged text", _SURROGATE.sub("\ufffd", text))
    return text


def _number(value: Any, reason: str) -> Decimal:
    """Return a number of the wire, exactly.

    ASCII digits only: Python also takes ``1_000``, blanks around and digits of other scripts for a number.

    :raises Misfit: with ``reason``, if it is none.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number and not (isinstance(value, str) and _NUMBER.fullmatch(value)):
        raise Misfit(reason)
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise Misfit(reason) from None


def _decimal(value: Any, _: Column) -> Decimal:
    number = _number(value, "not a number")
    if not number.is_finite() or number.adjusted() > _DIGITS - 10 - 1:
        raise Misfit("too large for decimal(38,10)")
    rounded = number.quantize(_SCALE, context=Context(prec=60))
    if len(rounded.as_tuple().digits) > _DIGITS:
        raise Misfit("too large for decimal(38,10)")
    if rounded != number:
        raise Misfit("more than ten decimals", rounded)
    return rounded


def _integer(value: Any, _: Column) -> int:
    number = _number(value, "not an integer")
    if not number.is_finite() or number.adjusted() > 20 or number != number.to_integral_value():
        raise Misfit("not an integer")
    if int(number) not in _INT64:
        raise Misfit("too large for int64")
    return int(number)


def _boolean(value: Any, _: Column) -> bool:
    if isinstance(value, bool):
        return value
    found = {"true": True, "false": False, "1": True, "0": False}.get(str(value).lower())
    if found is None:
        raise Misfit("not a boolean")
    return found


def _datetime(value: Any, _: Column) -> datetime:
    """Return a point in time; one without an offset is none (G1 in docs/live.md)."""
    found = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Misfit("not a timestamp")
    if not found["offset"]:
        raise Misfit("a timestamp without an offset")
    try:
        moment = datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Misfit("not a timestamp") from None
    if (found["below"] or "").strip("0"):
        raise Misfit("finer than microseconds", moment)
    return moment


def _date(value: Any, column: Column) -> date:
    if not isinstance(value, str) or not value.isascii():
        raise Misfit("not a date")
    formats = ("%m/%d/%Y", "%Y-%m-%d") if column.format == "MM/DD/YYYY" else ("%Y-%m-%d",)
    for form in formats:
        try:
            return datetime.strptime(value, form).replace(tzinfo=UTC).date()
        except ValueError:
            continue
    if _MOMENT.fullmatch(value) is None:
        raise Misfit("not a date")
    try:
        whole = datetime.fromisoformat(value)
    except ValueError:
        raise Misfit("not a date") from None
    raise Misfit("a timestamp where a date belongs", whole.date())


def _string(value: Any, _: Column) -> str:
    if isinstance(value, str):
        return _whole(value)
    raise Misfit("not a text", raw_text(value) if not isinstance(value, (dict, list)) else None)


def _strings(value: Any, _: Column) -> list[str]:
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        whole = [_SURROGATE.sub("\ufffd", item) for item in value]
        if whole != value:
            raise Misfit("a damaged text", whole)
        return value
    raise Misfit("not a list of texts")


CONVERTERS: Final[Mapping[FieldType, Callable[[Any, Column], Any]]] = {
    FieldType.INTEGER: _integer,
    FieldType.QUANTITY: _decimal,
    FieldType.MONEY: _decimal,
    FieldType.FLOAT: _decimal,
    FieldType.STRING: _string,
    FieldType.MIXED: lambda value, _: _whole(raw_text(value)),
    FieldType.BOOLEAN: _boolean,
    FieldType.DATETIME: _datetime,
    FieldType.DATE: _date,
    FieldType.STRING_LIST: _strings,
}
