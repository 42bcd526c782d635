"""Behaviours of the live API that contradict its documentation or go beyond it, each a switch.

The numbers are those of the list of live behaviours in ``docs/simulator.md``. This module only says which switches are on and
what their values are; the code that answers requests asks it. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

_NUMBER: Final = r"[1-9][0-9]*"
_SECONDS: Final = r"[0-9]+(\.[0-9]+)?"
_NAMES: Final = r"[A-Za-z]+(\+[A-Za-z]+)*"
_RELATIONS: Final = r"[A-Za-z]+(\.[A-Za-z]+)+(\+[A-Za-z]+(\.[A-Za-z]+)+)*"
_SPARSE: Final = (
    "CreditAccount.Contact+Customer.Note+Customer.CustomFieldValues+Item.CustomFieldValues+Item.ItemComponents"
    "+Item.ItemVendorNums+Item.ItemECommerce+Order.CustomFieldValues"
)


@dataclass(frozen=True, slots=True)
class Switch:
    """One behaviour.

    :param summary: what the API does when it is on.
    :param value: its value when none is given; empty for a switch that takes none, or one that needs it given.
    :param pattern: regular expression of the values allowed; empty for a switch that takes none.
    :param in_set: whether a plain ``--live`` turns it on.
    """

    summary: str
    value: str = ""
    pattern: str = ""
    in_set: bool = True


SWITCHES: Final[Mapping[str, Switch]] = MappingProxyType(
    {
        "A1": Switch(
            "a rotation elsewhere ends the old access token; a read with it, or with a revoked one, answers 403 "
            "(403, 403-oauth, 401: status, and body of the API or of the OAuth server)",
            "403",
            "403|403-oauth|401",
        ),
        "A2": Switch("the employee may not read these resources: 403", "", _NAMES, in_set=False),
        "A4": Switch("a rotation elsewhere ends the old access token before its time: 401", in_set=False),
        "A5": Switch("life of an access token in seconds, unless --token-life sets it", "1800", _NUMBER),
        "A8": Switch(
            "the answer to a refresh lacks refresh_token (the old one stays good), expires_in, or both",
            "refresh_token",
            "refresh_token|expires_in|both",
            in_set=False,
        ),
        "A10": Switch("an early refresh answers the same pair, as servers before 2024 did", in_set=False),
        "A12": Switch('one in this number of reads answers 400 "Please try again later."', "100", _NUMBER),
        "B1": Switch("Sale ignores archived: the same records for only, true and false"),
        "B4": Switch("CreditAccount lists gift cards only with giftCard=true, and nothing else then"),
        "B6": Switch(
            "Sale's change time has one name in records, filters and sorts; the other is refused with 400 "
            "(live: updateTime, documented: updatetime)",
            "live",
            "live|documented",
        ),
        "C1": Switch("a request with more relations than this number answers 500", "8", _NUMBER),
        "C2": Switch(
            'these relations are refused with 400 "Tried to load one or more relations that are not allowed"',
            "Shop.CCGateway",
            _RELATIONS,
        ),
        "C3": Switch("these relations are dropped without a word", "", _RELATIONS, in_set=False),
        "C5": Switch("a relation that does not exist is refused in the words of C2"),
        "C6": Switch('these relations hold nothing: absent, or "" if to-many', _SPARSE, _RELATIONS),
        "C9": Switch("Account.json is one record: limit and sort are ignored, relations refused as in C2"),
        "C11": Switch("seconds that a page of Shipment takes if its limit is above 50", "2", _SECONDS),
        "D6": Switch("a filter on a field that the server does not know is ignored"),
        "D9": Switch("size and drip rate of the bucket", "180/5.5", rf"{_SECONDS}/{_SECONDS}"),
        "G2": Switch("shops name their time zones by old aliases, such as US/Eastern"),
        "K2": Switch("the reasons of InventoryLog are in camelCase"),
    }
)


@dataclass(frozen=True, slots=True)
class Live:
    """The switches that are on, with their values.

    :param values: by number, such as ``{"C1": "8", "B1": ""}``; all valid.
    """

    values: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Live:
        """Read switches: ``all``, ``none``, or a list such as ``A1,C1=5`` or ``all,-A12,C3=Item.Images``.

        Later entries win. Relations are ``Resource.Relation``, joined by ``+``.

        :raises ValueError: on an unknown number, or a value that the switch does not take.
        """
        values: dict[str, str] = {}
        for entry in (part.strip() for part in text.split(",")):
            if entry in ("", "none"):
                continue
            if entry == "all":
                values |= {code: switch.value for code, switch in SWITCHES.items() if switch.in_set}
                continue
            code, equals, value = entry.removeprefix("-").partition("=")
            switch = SWITCHES.get(code)
            if switch is None:
                msg = f"unknown switch {code!r}; known: all, none, {', '.join(SWITCHES)}"
                raise ValueError(msg)
            if entry.startswith("-"):
                values.pop(code, None)
                continue
            value = value if equals else switch.value
            if not re.fullmatch(switch.pattern, value):
                allowed = f"takes a value like {switch.pattern}" if switch.pattern else "takes no value"
                msg = f"switch {code} {allowed}, not {value!r}: {switch.summary}"
                raise ValueError(msg)
            values[code] = value
        return cls(values)

    def __contains__(self, code: str) -> bool:
        return code in self.values

    def __str__(self) -> str:
        return ",".join(f"{code}={value}" if value else code for code, value in self.values.items()) or "none"

    def number(self, code: str) -> int | None:
        """Return the value of a switch that holds a whole number; None if it is off."""
        return int(self.values[code]) if code in self.values else None

    def names(self, code: str) -> frozenset[str]:
        """Return the names that a switch holds; none if it is off."""
        return frozenset(self.values[code].split("+")) if code in self.values else frozenset()

    def relations(self, code: str, resource: str) -> frozenset[str]:
        """Return the relations of a resource that a switch names."""
        start = f"{resource}."
        return frozenset(name.removeprefix(start) for name in self.names(code) if name.startswith(start))

    @property
    def bucket(self) -> tuple[float, float] | None:
        """Size in drips and drip rate per second of D9."""
        if "D9" not in self.values:
            return None
        size, _, drip = self.values["D9"].partition("/")
        return float(size), float(drip)

    @property
    def shipment_seconds(self) -> float:
        """Seconds that a big page of Shipment takes (C11)."""
        return float(self.values.get("C11", "0"))

    @property
    def sale_change_time(self) -> tuple[str, str] | None:
        """The name of Sale's change time and the spelling that is refused (B6)."""
        if "B6" not in self.values:
            return None
        return ("updateTime", "updatetime") if self.values["B6"] == "live" else ("updatetime", "updateTime")


#: Nothing but what is documented.
DOCUMENTED: Final = Live()
