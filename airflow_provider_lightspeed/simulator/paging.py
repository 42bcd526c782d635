"""Sorted lists and the cursors into them: pages that neither skip nor repeat when records move meanwhile."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any
from urllib.parse import quote

from airflow_provider_lightspeed.simulator import query as queries
from airflow_provider_lightspeed.simulator.generate import Row
from airflow_provider_lightspeed.simulator.query import PAGE, Refused
from airflow_provider_lightspeed.simulator.schema import ListSpec


@dataclass(frozen=True, slots=True)
class SortedList:
    """A filtered, sorted list with its cursor keys."""

    rows: list[Row]
    keys: list[list[Any]]

    def between(self, low: int, high: int) -> SortedList:
        """Return the part of an ascending list whose primary keys lie from ``low`` to ``high``."""
        start, stop = bisect_left(self.keys, [low]), bisect_right(self.keys, [high])
        return SortedList(self.rows[start:stop], self.keys[start:stop])


def limit_of(params: Mapping[str, str]) -> int:
    """Return the page size that was asked for."""
    text = params.get("limit", str(PAGE))
    if not re.fullmatch("[0-9]{1,3}", text) or int(text) > PAGE:
        raise Refused(f"Invalid limit: '{text}'. Allowed: 0 to {PAGE}.")
    return int(text)


def sort_of(listed: ListSpec, params: Mapping[str, str]) -> tuple[str, bool]:
    """Return the field to sort by and whether it descends; the default is the primary key."""
    text = params.get("sort", listed.primary_key or "")
    name = text.removeprefix("-")
    if not listed.primary_key and "sort" not in params:
        return "", False
    if name != listed.primary_key and name not in listed.sortable:
        allowed = ", ".join(listed.sortable or ((listed.primary_key,) if listed.primary_key else ()))
        raise Refused(f"Cannot sort by '{name}'. Allowed: {allowed}.")
    return name, text.startswith("-")


def sorted_list(listed: ListSpec, rows: list[Row], sort: tuple[str, bool]) -> SortedList:
    """Return the rows in order, with a cursor for each; equal values are ordered by key."""
    name, reverse = sort
    if not name:
        keys: list[list[Any]] = [[number] for number in range(1, len(rows) + 1)]
    else:
        primary, found = listed.primary_key or name, listed.entity.find(name)
        field = found.name if found else name
        if field == primary:
            rows = sorted(rows, key=lambda row: row[primary], reverse=reverse)
            keys = [[row[primary]] for row in rows]
        else:
            kind = _kind(listed, field)

            def key(row: Row) -> list[Any]:
                return [kind(row.get(field) or kind()), row[primary]]

            ordered = sorted(((key(row), row) for row in rows), key=itemgetter(0), reverse=reverse)
            keys, rows = [each for each, _ in ordered], [row for _, row in ordered]
    return SortedList(rows, keys)


def _kind(listed: ListSpec, name: str) -> type:
    """Return what the values of a field are in a cursor: texts, whole numbers, or any numbers."""
    spec = listed.entity.find(name)
    if not name or spec is None:
        return int
    return {"integer": int, "quantity": float, "money": float, "float": float, "boolean": int}.get(spec.type, str)


def _kinds(listed: ListSpec, sort: tuple[str, bool]) -> tuple[type, ...]:
    primary, found = listed.primary_key or sort[0], listed.entity.find(sort[0])
    field = found.name if found else sort[0]
    return (_kind(listed, primary),) if field == primary else (_kind(listed, field), _kind(listed, primary))


def span(
    listed: ListSpec, result: SortedList, params: Mapping[str, str], sort: tuple[str, bool], limit: int
) -> tuple[int, int]:
    """Return the part of the list that a cursor points at.

    :raises Refused: on a cursor that is not one of this sort, or two.
    """
    if {"after", "before"} <= params.keys():
        raise Refused("after and before cannot be combined.")
    total = len(result.rows)
    for name in ("after", "before"):
        text = params.get(name)
        if text is None:
            continue
        wanted = queries.decode_cursor(text, _kinds(listed, sort))
        ahead = sum(key > wanted for key in result.keys) if sort[1] else bisect_left(result.keys, wanted)
        # A row that has moved or gone since: the place where it would be.
        place = ahead if result.keys[ahead : ahead + 1] == [wanted] else ahead - (name == "after")
        if name == "after":
            return min(place + 1, total), min(place + 1 + limit, total)
        return max(place - limit, 0), max(place, 0)
    return 0, min(limit, total)


def link(url: str, params: Mapping[str, str], sort: tuple[str, bool], limit: int, name: str, key: list[Any]) -> str:
    """Return a page's ``next`` or ``previous`` URL."""
    kept = {key: value for key, value in params.items() if key not in ("after", "before")}
    sorted_by = {"sort": ("-" if sort[1] else "") + sort[0]} if sort[0] else {}
    merged = kept | {"limit": str(limit)} | sorted_by | {name: queries.encode_cursor(key)}
    return f"{url}?" + "&".join(f"{quote(field)}={quote(value, safe='')}" for field, value in merged.items())
