"""What the API documents, as data: entities, fields, relations, lists.

The file is the one that the package ships for reading the API; the simulator shares the facts, never the code.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from airflow_provider_lightspeed.simulator.live import DOCUMENTED, Live

_FILE: Final = Path(__file__).parent.parent / "resources" / "catalog.json"

#: Lists that show the same records as another: one store behind them.
STORES: Final = {
    "CatalogSearch": "CatalogVendorItem",
    "InventoryTransfer": "Transfer",
    "InventoryTransferItem": "TransferItem",
    "ItemImage": "Image",
    "ItemMatrixImage": "Image",
    "SaleSaleLine": "SaleLine",
    "Shipment": "OrderShipment",
    "ShipmentItem": "OrderShipmentItem",
    "WorkorderWorkorderItem": "WorkorderItem",
    "WorkorderWorkorderLine": "WorkorderLine",
    "CustomField": "ItemCustomField",
    "CustomFieldChoice": "ItemCustomFieldChoice",
}
#: Spellings of the wire where the documentation has two.
WIRE_NAMES: Final = {
    ("Sale", "updateTime"): "updatetime",
    ("ItemShop", "onWorkOrder"): "onWorkorder",
    ("ProcessingFee", "variablePct"): "variablePercent",
    ("ProcessingFee", "interchangeFeesVariablePct"): "interchangeFeesVariablePercent",
    ("ProcessingFee", "schemeFeesVariablePct"): "schemeFeesVariablePercent",
    ("SaleLine", "SaleAccounts"): "SalesAccounts",
}
NESTED: Final = frozenset({"object", "collection", "string_list", "mixed"})
DEFAULTS: Final[dict[str, Any]] = {
    "integer": 0,
    "quantity": 0,
    "money": "0",
    "float": "0",
    "string": "",
    "boolean": False,
}


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """A field: its canonical name, the wire's, and what it holds."""

    name: str
    wire: str
    type: str
    target: str | None = None
    element: str | None = None
    embedded: bool = False
    format: str | None = None
    references: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def nested(self) -> bool:
        """Whether it holds records or lists."""
        return self.type in NESTED

    @property
    def default(self) -> Any:
        """The canonical value of a record that sets nothing."""
        return DEFAULTS.get(self.type)


@dataclass(frozen=True, slots=True)
class EntitySpec:
    """A kind of record."""

    name: str
    fields: dict[str, FieldSpec]
    primary_key: str | None

    def find(self, name: str) -> FieldSpec | None:
        """Return the field of that name, in any of its spellings."""
        if name in self.fields:
            return self.fields[name]
        return next((spec for spec in self.fields.values() if name in (spec.wire, *spec.aliases)), None)


@dataclass(frozen=True, slots=True)
class ListSpec:
    """One list path of the API."""

    name: str
    store: str
    entity: EntitySpec
    pattern: re.Pattern[str]
    envelope: str
    primary_key: str | None
    archived: bool
    sortable: tuple[str, ...]
    relations: dict[str, dict[str, Any]]
    query_params: frozenset[str]
    required_params: tuple[str, ...]
    period: bool
    display_template: bool = field(default=False)
    scopes: tuple[str, ...] = ()
    live: Live = DOCUMENTED

    def behaving(self, live: Live) -> ListSpec:
        """Return the list as the live API has it."""
        names = live.sale_change_time if self.name == "Sale" else None
        sortable = tuple(names[0] if names and field == names[1] else field for field in self.sortable)
        return replace(self, live=live, sortable=sortable)

    def is_refused(self, name: str) -> bool:
        """Tell whether a field is refused under this spelling, though the record has it (B6)."""
        names = self.live.sale_change_time if self.name == "Sale" else None
        return names is not None and name == names[1]

    @property
    def parents(self) -> tuple[str, ...]:
        """The keys in the path that name a record's parents."""
        return tuple(name for name in self.pattern.groupindex if name != "_id")


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(_FILE.read_bytes())
    return data


def store_of(name: str) -> str:
    """Return the store that holds the records of a resource or entity."""
    base = name.removeprefix("DisplayTemplate") if name.startswith("DisplayTemplate") else name
    if base.endswith("Label"):
        return name
    return STORES.get(base, base)


@cache
def entity(name: str) -> EntitySpec:
    """Return an entity, empty if the documentation does not describe it."""
    facts = _data()["entities"].get(name, {})
    fields = {
        key: FieldSpec(
            key,
            WIRE_NAMES.get((store_of(name), key), key),
            spec["type"],
            spec.get("target"),
            spec.get("element"),
            bool(spec.get("embedded")),
            spec.get("format"),
            spec.get("references"),
            tuple(spec.get("aliases", ())),
        )
        for key, spec in facts.get("fields", {}).items()
    }
    return EntitySpec(name, fields, facts.get("primary_key"))


@cache
def lists() -> dict[str, ListSpec]:
    """Return all lists by resource name."""
    return {name: _list(name, facts) for name, facts in _data()["resources"].items()}


def _list(name: str, facts: dict[str, Any]) -> ListSpec:
    path: str = facts["path"]
    inner = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path.lstrip("/")))
    account = "" if path.startswith("/") else r"/Account/[^/]+"
    base = "(?:/V3)?" if facts["base_path"] == "/API" else "/V3"
    return ListSpec(
        name=name,
        store=store_of(name),
        entity=entity(name),
        pattern=re.compile(rf"/API{base}{account}/{inner}(?:/(?P<_id>[0-9]+))?(?:\.json|\.xml)?"),
        envelope=facts["envelope"],
        primary_key=facts.get("primary_key"),
        archived=bool(facts.get("archived")),
        sortable=tuple(facts.get("sortable", ())),
        relations=facts.get("relations", {}),
        query_params=frozenset(facts.get("query_params", ())),
        required_params=tuple(facts.get("required_params", ())),
        period=facts["strategy"] == "period",
        display_template=name.startswith("DisplayTemplate"),
        scopes=tuple(facts.get("scopes") or ()),
    )


@cache
def on_request() -> frozenset[str]:
    """Return the keys that only ``load_relations`` brings."""
    return frozenset(facts["container_key"] for listed in lists().values() for facts in listed.relations.values())


@cache
def always_inside(name: str) -> tuple[FieldSpec, ...]:
    """Return the fields of an entity that always hold another record."""
    return tuple(spec for spec in entity(name).fields.values() if spec.embedded and spec.type == "object")


@cache
def views(store: str) -> tuple[EntitySpec, ...]:
    """Return the entities that show the records of a store."""
    names = dict.fromkeys([store, *(spec.name for spec in lists().values() if spec.store == store)])
    return tuple(entity(name) for name in names if name in _data()["entities"])


@cache
def stores() -> tuple[str, ...]:
    """Return the stores that have a key of their own, those of relations included."""
    found: dict[str, None] = {}
    for name, facts in _data()["entities"].items():
        if facts.get("primary_key") and not name.startswith("DisplayTemplate"):
            found[store_of(name)] = None
    return tuple(found)
