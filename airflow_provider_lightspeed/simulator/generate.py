"""Makes plausible records of any documented kind from a seed: keys that link, money with cents, times in the past."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from airflow_provider_lightspeed.simulator.schema import EntitySpec, FieldSpec, entity, lists, store_of, stores, views

Row = dict[str, Any]

#: Records of kinds that nothing else decides the number of.
COUNTS: Final = {
    "Employee": 8,
    "Shop": 2,
    "Category": 14,
    "Manufacturer": 20,
    "Vendor": 12,
    "TaxCategory": 3,
    "TaxClass": 4,
    "PaymentType": 6,
    "Discount": 5,
    "Tag": 12,
    "Season": 4,
    "CustomerType": 4,
    "PriceLevel": 3,
    "Industry": 10,
    "WorkorderStatus": 6,
    "Order": 25,
    "OrderLine": 90,
    "OrderShipment": 20,
    "OrderShipmentItem": 60,
    "Option": 0,
    "Note": 60,
    "InventoryLog": 0,
    "Sale": 0,
    "SaleLine": 0,
    "SalePayment": 0,
    "SaleVoid": 0,
    "SaleAccount": 0,
    "ItemShop": 0,
    "InventorySale": 0,
    "Account": 0,
    "Register": 0,
    "Contact": 0,
    "SaleRefund": 0,
    "WorkorderClone": 0,
    "WorkorderCheckout": 0,
    "RegisterOpen": 0,
    "RegisterClose": 0,
    "RegisterCalculated": 0,
    "CalculatedAmount": 0,
    "Label": 0,
}
DEFAULT_COUNT: Final = 15
#: Keys that link a record to its parent on the path or through a relation only; the wire does not show them.
HIDDEN: Final = {
    "RegisterCountAmount": "registerCountID",
    "SalePaymentSignature": "salePaymentID",
    "WorkorderImage": "workorderID",
    "OrderShipmentItem": "orderShipmentID",
    "TransferItem": "transferID",
    "ItemCustomFieldChoice": "customFieldID",
    "CustomerCustomFieldChoice": "customFieldID",
    "OrderCustomFieldChoice": "customFieldID",
    "Image": "itemID",
    "WorkorderItem": "workorderID",
    "WorkorderLine": "workorderID",
    "VendorReturnItem": "vendorReturnID",
    "ProcessingFee": "salePaymentID",
    "TaxCategoryClass": "taxCategoryID",
    "ItemFeeCategory": "itemFeeID",
    "OrderLine": "orderID",
    "SaleAccount": "salePaymentID",
    "Serialized": "saleLineID",
}
#: Kinds of what a contact has.
USE_TYPES: Final = {
    "ContactPhone": ("Home", "Mobile", "Work", "Fax", "Pager"),
    "ContactEmail": ("Primary", "Secondary"),
}
WORDS: Final = (
    "Oak",
    "River",
    "North",
    "Blue",
    "Summit",
    "Harbour",
    "Maple",
    "Iron",
    "Cedar",
    "Stone",
    "Amber",
    "Fox",
    "Tide",
    "Élan",
)


def money(cents: int) -> str:
    """Return cents as the API writes money: no fixed scale."""
    sign, cents = ("-", -cents) if cents < 0 else ("", cents)
    return f"{sign}{cents // 100}.{cents % 100:02d}" if cents % 100 else f"{sign}{cents // 100}"


def stamp(moment: datetime) -> str:
    """Return a time in UTC as all recorded answers write it."""
    return moment.isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class Plan:
    """How big the shop is and when it lives.

    :param now: the newest moment of the history.
    """

    seed: int
    sales: int
    items: int
    customers: int
    days: int
    registers: int
    now: datetime
    account_id: str

    def count(self, store: str) -> int:
        """Return how many records a store has, where that is decided beforehand."""
        sizes = {
            "Sale": self.sales,
            "Item": self.items,
            "Customer": self.customers,
            "Register": self.registers,
            "Contact": self.customers + 40,
            "SaleLine": self.sales,
            "SalePayment": self.sales,
            "CreditAccount": max(DEFAULT_COUNT, self.customers // 4),
        }
        return sizes.get(store, COUNTS.get(store, DEFAULT_COUNT))


class Generator:
    """Fills the stores whose content no rule of retail decides."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._known = frozenset(stores())

    def rows(self, store: str) -> list[Row]:
        """Return the records of a store."""
        rng = random.Random(f"{self._plan.seed} {store}")
        count = COUNTS.get(store, self._plan.count(store))
        shown = views(store)
        return [self._row(store, shown, number, rng) for number in range(1, count + 1)]

    def _row(self, store: str, shown: tuple[EntitySpec, ...], number: int, rng: random.Random) -> Row:
        created = self._plan.now - timedelta(seconds=rng.randrange(3_600, max(2, self._plan.days) * 86_400))
        changed = created + (self._plan.now - created) * (rng.random() ** 2) if rng.random() < 0.5 else created
        begun, touched = stamp(created), stamp(changed)
        row: Row = {}
        for view in shown:
            for spec in view.fields.values():
                if spec.name not in row:
                    made = self._value(view, spec, number, rng, begun, touched, depth=0)
                    if made is not None:
                        row[spec.name] = made
        hidden = HIDDEN.get(store)
        if hidden:
            row[hidden] = self._reference(hidden, rng) or 1
        return row

    def _reference(self, name: str, rng: random.Random) -> int:
        target = _target_of(name)
        if target == "CustomField":
            return rng.randint(1, DEFAULT_COUNT)
        count = self._plan.count(target) if target in self._known else 0
        return rng.randint(1, count) if count else 0

    def _value(
        self, view: EntitySpec, spec: FieldSpec, number: int, rng: random.Random, created: str, changed: str, depth: int
    ) -> Any:
        if spec.nested:
            return self._nested(spec, number, rng, created, changed, depth)
        if spec.name == view.primary_key:
            return number if spec.type == "integer" else f"{spec.name}_{number}"
        if spec.type in ("integer", "quantity"):
            return self._integer(spec, number, rng)
        if spec.type == "money":
            return money(rng.randrange(0, 50_000)) if rng.random() < 0.8 else f"{rng.random() * 100:.7f}"
        if spec.type == "float":
            return f"{rng.randrange(0, 100) / 100}"
        if spec.type == "boolean":
            return rng.random() < (0.08 if spec.name == "archived" else 0.4)
        if spec.type == "datetime":
            if spec.name in ("createTime", "openTime", "checkIn"):
                return created
            return changed if spec.name.lower() in ("timestamp", "updatetime") or rng.random() < 0.6 else None
        if spec.type == "date":
            return created[:10]
        return self._text(view.name, spec, number, rng)

    def _integer(self, spec: FieldSpec, number: int, rng: random.Random) -> int:
        if spec.name == "systemSku":
            return 210_000_000_000 + number
        if spec.name.endswith("ID"):
            return self._reference(spec.name, rng) if rng.random() < 0.7 else 0
        return rng.randrange(0, 40)

    @staticmethod
    def _text(view: str, spec: FieldSpec, number: int, rng: random.Random) -> str:
        name = spec.name.lower()
        if "name" in name or name in ("description", "reason", "title", "company"):
            return f"{rng.choice(WORDS)} {rng.choice(WORDS)} {number}"
        if name == "usetype":
            return rng.choice(USE_TYPES.get(view, ("Primary",)))
        if view == "ContactPhone":
            return f"555 {rng.randrange(10**6, 10**7)}"
        if name in ("upc", "ean"):
            return f"0{rng.randrange(10**10, 10**11)}"
        if "email" in name or name == "address":
            return f"person{number}@example.com"
        if name in ("note", "notes", "internalnote"):
            return rng.choice(["", 'Says "hi" & waves', "Zwei\nZeilen / ünïcode", "fragile"])
        return rng.choice(["", f"{spec.name} {number}"])

    def _nested(self, spec: FieldSpec, number: int, rng: random.Random, created: str, changed: str, depth: int) -> Any:
        if spec.type == "string_list":
            return rng.sample(WORDS, rng.randrange(0, 4))
        if spec.type == "mixed":
            return ""
        if not spec.embedded or depth > 1 or spec.target is None:
            return self._addresses(spec, number, rng, created, changed, depth)
        if store_of(spec.target) in self._known:
            return None  # a record of its own: comes through a relation
        if not entity(spec.target).fields:
            return ""
        return self._inline(spec, number, rng, created, changed, depth)

    def _addresses(
        self, spec: FieldSpec, number: int, rng: random.Random, created: str, changed: str, depth: int
    ) -> Any:
        if spec.target and spec.target.startswith("Contact") and depth == 0:
            return self._inline(spec, number, rng, created, changed, depth)
        return None

    def _inline(self, spec: FieldSpec, number: int, rng: random.Random, created: str, changed: str, depth: int) -> Any:
        target = entity(spec.target or "")

        def one() -> Row:
            made = {
                inner.name: self._value(target, inner, number, rng, created, changed, depth + 1)
                for inner in target.fields.values()
            }
            return {key: value for key, value in made.items() if value is not None}

        if spec.type == "collection":
            return [one() for _ in range(rng.randrange(0, 4))]
        return one()


@cache
def _target_of(name: str) -> str:
    base = name.removesuffix("ID")
    for candidate in (base[:1].upper() + base[1:], *_ENDINGS):
        if candidate.lower() == base.lower():
            return store_of(candidate)
    for candidate in _ENDINGS:  # openEmployeeID, defaultVendorID, sendingShopID
        if base.endswith(candidate):
            return store_of(candidate)
    return store_of(base[:1].upper() + base[1:])


_ENDINGS: Final = tuple(sorted({*stores(), *(spec.store for spec in lists().values())}, key=len, reverse=True))
