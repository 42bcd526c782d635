"""Every state that a shop's records have been in, and since when: the truth that extracts are held against."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from operator import itemgetter
from typing import Any, Final

from airflow_provider_lightspeed.resources.base import DECIMALS, FieldType, Strategy
from airflow_provider_lightspeed.resources.catalog import resource
from tests.support.truth import Record, scalar_fields

#: What a row shows: its own scalars, and what is nested in it. Equal for a record of the truth and its extracted row:
#: amounts are equal whatever their scale, moments whatever their zone.
Shown = tuple[tuple[Any, ...], tuple[Any, ...]]
#: Not part of what a sale shows: payments are archived without their sale's being touched.
UNTOUCHED = "archived"
NESTED = {"Sale": ("SaleLine", "SalePayment")}


@dataclass(slots=True)
class State:
    """One state of a record.

    :param shown: ``None``: it is deleted.
    :param written: when its transaction began, epoch seconds.
    :param seen_from: when it shows.
    :param stamp: the time by which a window finds it: its own modification time, that of the sale a payment is read
        through; ``None`` while no window can.
    :param note: what happened, for people.
    """

    shown: Shown | None
    written: float
    seen_from: float
    stamp: float | None
    note: str


class History:
    """All states of the records of some resources.

    :param names: the resources.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self.states: dict[str, dict[int, list[State]]] = {name: {} for name in self.names}
        #: The newest row of every record, whole; those of deleted ones are gone.
        self.rows: dict[str, dict[int, Record]] = {name: {} for name in self.names}
        self._places: dict[str, dict[tuple[int, Shown], list[int]]] = {name: defaultdict(list) for name in self.names}
        self._of_sale: dict[str, dict[int, set[int]]] = {name: defaultdict(set) for name in NESTED["Sale"]}
        self._sales: dict[int, int] = {}

    def begin(self, name: str, rows: Iterable[Record]) -> None:
        """Take the records that are there from the beginning. Lines and payments come before their sales."""
        for row in rows:
            self._keep(name, row)
        for row in self.rows[name].values():
            stamp = self._stamp(name, row)
            self._add(name, row, State(None, 0.0, 0.0, 0.0 if stamp is None else stamp, "there from the beginning"))

    def take(self, changes: Iterable[Mapping[str, Any]], note: str) -> None:
        """Take the changes of one transaction, as the simulator tells them."""
        changes = [change for change in changes if change["store"] in self.states]
        for change in changes:
            self._keep(change["store"], change["row"]) if change["row"] else self._drop(change["store"], change["key"])
        for change in changes:
            name, row, at = change["store"], change["row"], datetime.fromisoformat(change["at"])
            shows = datetime.fromisoformat(change["visible_from"] or change["at"])
            state = State(None, at.timestamp(), shows.timestamp(), None, note)
            if row is None:
                state.stamp = at.timestamp()
                self.states[name][change["key"]].append(state)
                continue
            state.stamp = self._stamp(name, row) if resource(name).modified_field else at.timestamp()
            if resource(name).strategy is Strategy.PARENT:
                state.stamp = None
            self._add(name, row, state)
        for change in changes:
            if change["store"] == "Sale" and change["row"]:
                self._carry(change["key"], datetime.fromisoformat(change["row"]["updateTime"]).timestamp())

    def _carry(self, sale: int, stamp: float) -> None:
        """A sale that is touched takes the newest states of its payments to the window of that time."""
        for key in self._of_sale["SalePayment"].get(sale, ()):
            for state in reversed(self.states["SalePayment"].get(key, ())):
                if state.stamp is not None:
                    break
                state.stamp = stamp

    def moves(self, name: str, key: int) -> list[State]:
        """Return the states that take a record from window to window: of a payment, those of its sale."""
        return self.states["Sale"][self._sales[key]] if name == "SalePayment" else self.states[name][key]

    def place(self, name: str, row: Record) -> list[int]:
        """Return which states of its record an extracted row shows."""
        key = row[resource(name).primary_key or ""]
        shown = _values(name, nested=False)(row), _inside_row(name, row)
        return self._places[name].get((key, shown), [])

    def latest(self, name: str, key: int, place: int, moment: float) -> int:
        """Return the last state by now that shows what a state shows: what was archived and brought back is as before."""
        states = self.states[name][key]
        shown = states[place].shown
        alike = () if shown is None else self._places[name][key, shown]
        return max((other for other in alike if states[other].seen_from <= moment), default=place)

    def scalars(self, name: str, row: Record) -> bool:
        """Whether an extracted row shows the scalars of a state, whatever is nested in it."""
        states = self.states[name].get(row[resource(name).primary_key or ""], ())
        return _values(name, nested=False)(row) in {state.shown[0] for state in states if state.shown}

    def difference(self, name: str, row: Record) -> str:
        """Return what an extracted row shows that the nearest state of its record does not."""
        shown = _values(name, nested=False)(row), _inside_row(name, row)
        states = self.states[name].get(row[resource(name).primary_key or ""], ())
        if not states:
            return "no such record"
        fields = [*_names(name, nested=False), *NESTED.get(name, ("nested",))]
        differences = [
            "; ".join(
                f"{field}: {ours}, not {theirs}"
                for field, ours, theirs in zip(fields, _flat(shown), _flat(state.shown), strict=False)
                if ours != theirs
            )
            for state in states
            if state.shown
        ]
        return min(differences, key=len)[:600]

    def _keep(self, name: str, row: Record) -> None:
        key = row[resource(name).primary_key or ""]
        self.rows[name][key] = row
        if name in self._of_sale:
            self._of_sale[name][row["saleID"]].add(key)
        if name == "SalePayment":
            self._sales[key] = row["saleID"]

    def _drop(self, name: str, key: int) -> None:
        row = self.rows[name].pop(key)
        if name in self._of_sale:
            self._of_sale[name][row["saleID"]].discard(key)

    def _add(self, name: str, row: Record, state: State) -> None:
        key = row[resource(name).primary_key or ""]
        state.shown = _true_values(name, row, nested=False), self._inside(name, row)
        states = self.states[name].setdefault(key, [])
        self._places[name][key, state.shown].append(len(states))
        states.append(state)

    def _inside(self, name: str, row: Record) -> tuple[Any, ...]:
        """Return what is nested in a record, by the truth."""
        if name == "Item":
            return _prices(row)
        return tuple(
            tuple(sorted(_true_values(inner, self.rows[inner][key]) for key in self._of_sale[inner][row["saleID"]]))
            for inner in NESTED.get(name, ())
            if inner in self.rows
        )  # fmt: skip

    @staticmethod
    def _stamp(name: str, row: Record) -> float | None:
        field = resource(name).modified_field
        text = row.get(resource(name).entity.find(field).name) if field else None
        return datetime.fromisoformat(text).timestamp() if text else None


def _flat(shown: Shown) -> tuple[Any, ...]:
    return (*shown[0], *shown[1])


def _inside_row(name: str, row: Record) -> tuple[Any, ...]:
    """Return what is nested in an extracted row."""
    if name == "Item":
        return _prices(row)
    return tuple(
        tuple(sorted(_values(inner)(each) for each in row.get(f"{inner}s") or ())) for inner in NESTED.get(name, ())
    )


@cache
def _names(name: str, *, nested: bool) -> tuple[str, ...]:
    """Return the scalar fields of a resource, the key first; nested, without what changes while the parent is untouched."""
    key = resource(name).primary_key or ""
    names = [each.name for each in scalar_fields(name) if each.name != key]
    return (key, *(each for each in names if not (nested and name == "SalePayment" and each == UNTOUCHED)))


@cache
def _values(name: str, *, nested: bool = True) -> Callable[[Record], tuple[Any, ...]]:
    """Return what takes the values out of an extracted row."""
    return itemgetter(*_names(name, nested=nested))


@cache
def _converters(name: str, *, nested: bool) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    types = {each.name: each.type for each in scalar_fields(name)}
    return tuple((each, _CONVERTERS.get(types[each], _same)) for each in _names(name, nested=nested))


def _same(value: Any) -> Any:
    return value


_CONVERTERS: Final[Mapping[FieldType, Callable[[Any], Any]]] = {
    **dict.fromkeys(DECIMALS, Decimal),
    FieldType.DATETIME: datetime.fromisoformat,
    FieldType.DATE: date.fromisoformat,
}


def _true_values(name: str, row: Record, *, nested: bool = True) -> tuple[Any, ...]:
    """Return the same of a record of the truth."""
    return tuple(
        None if (value := row.get(each)) is None else convert(value)
        for each, convert in _converters(name, nested=nested)
    )


def _prices(row: Record) -> tuple[Any, ...]:
    return tuple(
        sorted((price["useTypeID"], Decimal(price["amount"]).normalize()) for price in row.get("Prices") or ())
    )
