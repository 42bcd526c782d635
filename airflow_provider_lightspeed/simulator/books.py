"""The shop's rows: those that show, and those that are written but do not show yet.

A database stamps a row and gives it its key when a transaction begins, and shows it when the transaction ends. So a row
may show up to a minute after its own time stamp, and a later key before an earlier one. Two transactions that write the
same row wait for each other: a row never goes back to an earlier state.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any, Final

from airflow_provider_lightspeed.simulator.generate import Row
from airflow_provider_lightspeed.simulator.schema import entity

_KEPT: Final = 200_000


@dataclass(frozen=True, slots=True)
class Change:
    """A row that was written.

    :param number: counts changes from 1; those of one transaction follow each other.
    :param transaction: counts transactions from 1.
    :param row: the whole row from then on, ``None`` if it was deleted.
    :param at: the server's time of the transaction's beginning; time stamps hold it.
    :param visible_from: when it shows; ``None``: at once.
    """

    number: int
    transaction: int
    store: str
    key: Any
    row: Row | None
    at: datetime
    visible_from: datetime | None


class Books:
    """All rows of a shop by store.

    :param shown: the rows that show, by store, in the order of their keys; kept up to date here.
    """

    def __init__(self, shown: dict[str, list[Row]]) -> None:
        self.shown = shown
        self._waiting: list[tuple[datetime, int, Change]] = []
        #: The newest change of every row that has one which does not show yet.
        self._ahead: dict[tuple[str, Any], Change] = {}
        self._log: deque[Change] = deque(maxlen=_KEPT)
        self._numbers = 0
        self._transactions = 0

    def newest(self, store: str, key: Any) -> Row | None:
        """Return a row as it will be when all that is written shows, ``None`` if there is none then."""
        if (store, key) in self._ahead:
            return self._ahead[store, key].row
        place = self._place(store, key)
        rows = self.shown[store]
        return rows[place] if place < len(rows) and rows[place][self._primary(store)] == key else None

    def changes(self, after: int = 0) -> list[Change]:
        """Return what was written since the change of that number, of the last 200,000 changes."""
        return list(takewhile(lambda change: change.number > after, reversed(self._log)))[::-1]

    def book(self, rows: Mapping[tuple[str, Any], Row | None], at: datetime, visible_from: datetime | None) -> None:
        """Write the rows of one transaction, by store and key; ``None`` deletes.

        :param visible_from: when they show. They wait for earlier changes of the same rows.
        """
        self.settle(at)
        before = [self._ahead[place].visible_from for place in rows if place in self._ahead]
        shows = max((moment for moment in (visible_from, *before) if moment), default=None)
        self._transactions += 1
        for (store, key), row in rows.items():
            self._numbers += 1
            change = Change(self._numbers, self._transactions, store, key, row, at, shows)
            self._log.append(change)
            if shows is None:
                self._show(change)
            else:
                self._ahead[store, key] = change
                heapq.heappush(self._waiting, (shows, change.number, change))

    def settle(self, now: datetime) -> bool:
        """Show what is due; return whether anything was."""
        due = False
        while self._waiting and self._waiting[0][0] <= now:
            change = heapq.heappop(self._waiting)[2]
            self._show(change)
            if self._ahead[change.store, change.key] is change:
                del self._ahead[change.store, change.key]
            due = True
        return due

    def _show(self, change: Change) -> None:
        rows, place = self.shown[change.store], self._place(change.store, change.key)
        is_there = place < len(rows) and rows[place][self._primary(change.store)] == change.key
        rows[place : place + is_there] = [] if change.row is None else [change.row]

    def _place(self, store: str, key: Any) -> int:
        """Return where a row stands, or belongs: rows stand in the order of their keys, if these are numbers."""
        rows, primary = self.shown[store], self._primary(store)
        if isinstance(key, int):
            return bisect_left(rows, key, key=lambda row: row[primary])
        return next((place for place, row in enumerate(rows) if row[primary] == key), len(rows))

    @staticmethod
    def _primary(store: str) -> str:
        return entity(store).primary_key or ""


class Draft:
    """The rows that one transaction writes; reading it shows them already."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self.rows: dict[tuple[str, Any], Row | None] = {}

    def find(self, store: str, key: Any) -> Row:
        """Return a row.

        :raises LookupError: there is none.
        """
        found = self.rows[store, key] if (store, key) in self.rows else self._books.newest(store, key)
        if found is None:
            msg = f"{store} has no record {key}"
            raise LookupError(msg)
        return found

    def put(self, store: str, row: Row) -> None:
        """Write a whole row."""
        self.rows[store, row[entity(store).primary_key or ""]] = row

    def drop(self, store: str, key: Any) -> None:
        """Delete a row.

        :raises LookupError: there is none.
        """
        self.find(store, key)
        self.rows[store, key] = None
