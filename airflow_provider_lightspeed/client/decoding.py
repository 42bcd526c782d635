"""A reply's body to JSON values. A damaged text is read; a body that cannot be read is named with its kind and place. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

_KINDS: Final = (
    (re.compile(rb"\s*<(?:!doctype html|html|head|body|\w+[^>]*>\s*<)", re.IGNORECASE), "an HTML page"),
    (re.compile(rb"\s*<\?xml"), "XML"),
    (re.compile(rb"\s*$"), "empty"),
)


class Undecodable(Exception):
    """A body that is not JSON.

    :param reason: what it is instead.
    :param offset: the byte at which decoding failed, from 0; ``None`` where there is no such place.
    """

    def __init__(self, reason: str, offset: int | None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset


def decode(body: bytes) -> Any:
    """Return a body's JSON value.

    Three faults that are not JSON are read all the same (RFC 8259 forbids them, PHP has produced each): a lone
    surrogate escape stays a lone surrogate in the text, a raw control character stays as it is, and ``NaN`` or
    ``Infinity`` becomes a text of that name. Conversion keeps what a column cannot hold in ``_extra``.

    :raises Undecodable: it is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _decode_damaged(body)


def _decode_damaged(body: bytes) -> Any:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Undecodable(f"the body is not UTF-8 at byte {error.start}", error.start) from None
    for pattern, kind in _KINDS:
        if pattern.match(body):
            start = len(body) - len(body.lstrip()) if body.strip() else 0
            raise Undecodable(f"the body is {kind} where JSON belongs", start)
    try:
        return json.loads(text, strict=False, parse_constant=str, object_pairs_hook=_named)
    except json.JSONDecodeError as error:
        offset = len(text[: error.pos].encode())
        raise Undecodable(f"the body is cut off or not JSON at byte {offset} of {len(body)}", offset) from None
    except RecursionError:
        raise Undecodable("the body is nested too deeply to be read", None) from None
    except ValueError:  # a number of more digits than Python converts
        raise Undecodable("the body holds a number that is too long to be read", None) from None


def _named(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose names can be written down: a lone surrogate in one becomes the text of its escape."""
    return {name.encode("utf-8", "backslashreplace").decode(): value for name, value in pairs}


def kind_of(value: Any) -> str:
    """Return what a JSON value is, for an error message."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "an array", dict: "an object"}
    return names[type(value)]
