"""How names and filters may be given: as Python values, or as the text that a template rendered to. Checked by form only."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_lightspeed.exceptions import InvalidArgument


def names_of(argument: str, given: object) -> tuple[str, ...] | None:
    """Return the names that an argument holds; ``None`` if it holds nothing.

    A plain text is one name, or several with commas between them; a text that begins with a bracket is a list in JSON or
    in Python's notation, as ``{{ params.relations }}`` renders it. ``None`` and ``""`` mean nothing, ``[]`` means no name.

    :param argument: what the user calls it, such as ``relations``.
    :raises InvalidArgument: it is neither text nor a list of texts.
    """
    if isinstance(given, str):
        text = given.strip()
        if not text:
            return None
        if text[0] not in "[(":
            return tuple(name for part in text.split(",") if (name := part.strip()))
        given = _literal(text)
    if given is None:
        return None
    if isinstance(given, bytes | Mapping | str) or not isinstance(given, Iterable):
        raise _refused(argument, given, "a name, or a list of names such as ['SaleLines', 'Customer']")
    names = tuple(given)
    for name in names:
        if not isinstance(name, str):
            raise _refused(argument, name, "a list of names, each a text")
    return tuple(name.strip() for name in names)


def conditions_of(argument: str, given: object) -> dict[str, Any]:
    """Return the conditions that an argument holds, by field.

    A text is an object in JSON or in Python's notation, as ``{{ params.filters }}`` renders it.

    :param argument: what the user calls it, such as ``filters``.
    :raises InvalidArgument: it is no mapping of fields to values.
    """
    found = given
    if isinstance(given, str):
        found = _literal(given.strip()) if given.strip() else None
    if found is None and not (isinstance(given, str) and given.strip()):
        return {}
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise _refused(argument, given, "fields with their values, such as {'completed': True, 'total': '>,100'}")
    return dict(found)


def _literal(text: str) -> object:
    """Return the value that a text holds in JSON or in Python's notation; the text itself if it holds none."""
    for read in (json.loads, ast.literal_eval):
        try:
            found: object = read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        return found
    return text


def _refused(argument: str, found: object, allowed: str) -> InvalidArgument:
    msg = f"{argument}: found {str(found)[:100]!r} of type {type(found).__name__}, allowed is {allowed}"
    return InvalidArgument(msg, field=argument, found=found, allowed=(allowed,))
