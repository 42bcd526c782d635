"""What happens at a till: sales with lines, payments and stock moves that add up, and what is done to them afterwards."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from airflow_provider_lightspeed.simulator.books import Draft
from airflow_provider_lightspeed.simulator.generate import Plan, Row, money, stamp

TAX: Final = 8  # per cent
LINES: Final = (1, 1, 1, 2, 2, 3, 4)
PAYMENT_TYPES: Final = ("Cash", "Check", "Credit Card", "Debit Card", "Gift Card", "Credit Account")
#: What a till makes, with the primary keys; rows stand in their order.
KEYS: Final = {
    "Sale": "saleID",
    "SaleLine": "saleLineID",
    "SalePayment": "salePaymentID",
    "InventoryLog": "inventoryLogID",
}

#: Takes a new row of a store.
Put = Callable[[str, Row], None]


class Till:
    """Writes sales with all that hangs on them."""

    def __init__(self, plan: Plan, stores: dict[str, list[Row]]) -> None:
        self._plan = plan
        self.is_camel_case = False
        self._rng = random.Random(f"{plan.seed} till")
        self._registers = stores["Register"]
        self._employees = len(stores["Employee"])
        self._shops = len(stores["Shop"])
        self._sellable = [item for item in stores["Item"] if not item["archived"]] or stores["Item"]
        self._given: dict[str, int] = {name: rows[-1][key] for name, key in KEYS.items() if (rows := stores[name])}

    def sell(self, moment: datetime, put: Put, *, completed: bool | None = None) -> Row:
        """Make one sale at a moment and return it.

        :param completed: default by chance; a sale that is not has no payments.
        """
        rng = self._rng
        number, register = self._next_key("Sale"), rng.choice(self._registers)
        when = stamp(moment)
        late = timedelta(hours=rng.randrange(1, 72)) if rng.random() < 0.05 else timedelta()
        updated = stamp(min(moment + late, self._plan.now)) if moment <= self._plan.now else when
        by_chance = rng.random() < 0.97
        is_done = by_chance if completed is None else completed
        refund = -1 if rng.random() < 0.03 else 1
        sale: Row = {
            "saleID": number,
            "createTime": when,
            "updateTime": updated,
            "timeStamp": when,
            "completeTime": when if is_done else None,
            "completed": is_done,
            "voided": rng.random() < 0.01,
            "archived": rng.random() < 0.02,
            "ticketNumber": str(220_000_000_000 + number),
            "tax1Rate": "0.08",
            "customerID": rng.randint(1, self._plan.customers) if self._plan.customers and rng.random() < 0.4 else 0,
            "employeeID": rng.randint(1, self._employees),
            "registerID": register["registerID"],
            "shopID": register["shopID"],
            "taxCategoryID": 1,
            "receiptPreference": "printed",
            "tipEnabled": True,
        }
        lines = [self._line(sale, put, sign=refund) for _ in range(rng.choice(LINES) if self._sellable else 0)]
        sale |= _amounts(sum(lines), is_paid=is_done)
        if rng.random() < 0.05:
            sale["SaleNotes"] = {
                "PrintedNote": {"noteID": 1, "note": "Thank you"},
                "InternalNote": {"noteID": 2, "note": ""},
            }
        put("Sale", sale)
        if is_done:
            self._pay(sale, put)
        return sale

    def _line(self, sale: Row, put: Put, *, sign: int = 1) -> int:
        """Make a line and return its amount in cents."""
        rng = self._rng
        item = rng.choice(self._sellable)
        quantity = sign * (1 if rng.random() < 0.85 else rng.randint(2, 5))
        cents: int = item["price_cents"] * quantity
        number = self._next_key("SaleLine")
        line: Row = {
            "saleLineID": number,
            "createTime": sale["createTime"],
            "timeStamp": sale["updateTime"],
            "unitQuantity": quantity,
            "unitPrice": money(item["price_cents"]),
            "normalUnitPrice": money(item["price_cents"]),
            "avgCost": item["avgCost"],
            "fifoCost": item["avgCost"],
            "tax": True,
            "tax1Rate": "0.08",
            "calcSubtotal": money(cents),
            "calcTax1": money(round(cents * TAX / 100)),
            "calcTotal": money(cents + round(cents * TAX / 100)),
            "displayableSubtotal": money(cents),
            "saleID": sale["saleID"],
            "itemID": item["itemID"],
            "shopID": sale["shopID"],
            "employeeID": sale["employeeID"],
            "customerID": sale["customerID"],
            "taxClassID": 1,
            "taxCategoryID": 1,
        }
        if number % 17 == 1:
            line["discountID"] = 1
        if number % 23 == 1:
            line |= {"itemFeeID": 1, "noteID": 1}
        if number % 41 == 1:
            account = {"saleAccountID": number, "creditAccountID": 1, "salePaymentID": 0}
            line["SaleAccounts"] = [account | {"saleLineID": number}]
        put("SaleLine", line)
        self._log(put, line, -quantity, "Sale", sale["createTime"])
        return cents

    def _log(self, put: Put, about: Row, change: int, reason: str, when: str) -> None:
        entry = {
            "inventoryLogID": self._next_key("InventoryLog"),
            "qohChange": change,
            "costChange": "0",
            "reason": self.reason(reason),
            "createTime": when,
            "automated": True,
            "itemID": about["itemID"],
            "shopID": about["shopID"],
            "saleID": about.get("saleID", 0),
            "employeeID": about.get("employeeID", 1),
        }
        put("InventoryLog", entry)

    def _pay(self, sale: Row, put: Put) -> None:
        rng, cents = self._rng, cents_of(sale["total"])
        parts = [cents] if rng.random() < 0.92 else [cents // 2, cents - cents // 2]
        for part in parts:
            # An attempt that does not stand is archived, and the customer pays once more (F6).
            is_failed = rng.random() < 0.01
            payment = {
                "salePaymentID": self._next_key("SalePayment"),
                "amount": money(part),
                "createTime": sale["createTime"],
                "archived": is_failed,
                "saleID": sale["saleID"],
                "registerID": sale["registerID"],
                "employeeID": sale["employeeID"],
                "paymentTypeID": rng.randint(1, len(PAYMENT_TYPES)),
                "tipAmount": money(rng.choice((0, 0, 0, 100, 250))),
            }
            put("SalePayment", payment)
            if is_failed:
                put("SalePayment", payment | {"salePaymentID": self._next_key("SalePayment"), "archived": False})

    def reason(self, name: str) -> str:
        """Return a reason of the log as it is written: PascalCase in the documentation, camelCase live (K2)."""
        first = name[:1].lower() if self.is_camel_case else name[:1].upper()
        return first + name[1:]

    def _next_key(self, store: str) -> int:
        """Return a key that no row has had, the last one included if it has been deleted since."""
        self._given[store] = self._given.get(store, 0) + 1
        return self._given[store]

    # -- afterwards -------------------------------------------------------------------------------------------------

    def add_line(self, draft: Draft, sale: int, when: str) -> int:
        """Put one more item on an open sale; return the line's key.

        :raises ValueError: the sale is completed.
        """
        found = _open(draft, sale)
        cents = self._line(found | {"createTime": when, "updateTime": when}, draft.put)
        draft.put("Sale", touched(_retotalled(found, cents), when))
        return self._given["SaleLine"]

    def drop_line(self, draft: Draft, line: int, when: str) -> int:
        """Take a line off an open sale, for good; return its key.

        :raises ValueError: the sale is completed.
        """
        found = draft.find("SaleLine", line)
        sale = _open(draft, found["saleID"])
        draft.drop("SaleLine", line)
        self._log(draft.put, found, found["unitQuantity"], "Sale line deleted", when)
        draft.put("Sale", touched(_retotalled(sale, -cents_of(found["calcSubtotal"])), when))
        return line

    def finish(self, draft: Draft, sale: int, when: str) -> Row:
        """Have an open sale paid and completed.

        :raises ValueError: it is completed.
        """
        found = touched(_open(draft, sale), when)
        amounts = _amounts(cents_of(found["calcSubtotal"]), is_paid=True)
        found |= {"completed": True, "completeTime": when, **amounts}
        draft.put("Sale", found)
        self._pay(found | {"createTime": when}, draft.put)
        return found

    def unpay(self, draft: Draft, payment: int, when: str) -> int:
        """Take a payment off its sale, for good; return its key."""
        found = draft.find("SalePayment", payment)
        sale = draft.find("Sale", found["saleID"])
        draft.drop("SalePayment", payment)
        left = money(cents_of(sale["calcPayments"]) + cents_of(found["amount"]))
        draft.put("Sale", touched(sale | {"calcPayments": left}, when))
        return payment

    def move_stock(self, draft: Draft, item: int, shop: int, change: int, when: str) -> Row:
        """Count items in or out of a shop by hand, with an entry of the log; return the shop's stock."""
        self._log(draft.put, {"itemID": item, "shopID": shop}, change, "Inventory adjustment", when)
        return self.take(draft, item, shop, -change, when)

    def take(self, draft: Draft, item: int, shop: int, count: int, when: str) -> Row:
        """Lessen a shop's stock of an item, and the sum over all shops (shop 0); return the shop's stock."""
        first = (item - 1) * (self._shops + 1) + 1
        for key in (first, first + shop):
            row = draft.find("ItemShop", key)
            qoh = row["qoh"] - count
            draft.put("ItemShop", row | {"qoh": qoh, "sellable": max(qoh, 0), "timeStamp": when})
        return draft.find("ItemShop", first + shop)


def touched(sale: Row, when: str) -> Row:
    """Return a sale as changed at a time: ``timeStamp`` stays once it is completed, ``updatetime`` never does."""
    moved = {"updateTime": when} if sale["completed"] else {"updateTime": when, "timeStamp": when}
    return sale | moved


def cents_of(text: str) -> int:
    """Return money as the API writes it in cents."""
    return int(Decimal(text) * 100)


def _open(draft: Draft, sale: int) -> Row:
    found = draft.find("Sale", sale)
    if found["completed"]:
        msg = f"Sale {sale} is completed"
        raise ValueError(msg)
    return found


def _amounts(subtotal: int, *, is_paid: bool) -> dict[str, Any]:
    tax = round(subtotal * TAX / 100)
    amounts = {
        "calcSubtotal": subtotal,
        "calcTaxable": subtotal,
        "calcTax1": tax,
        "taxTotal": tax,
        "calcTotal": subtotal + tax,
        "total": subtotal + tax,
        "displayableTotal": subtotal + tax,
        "displayableSubtotal": subtotal,
        "calcPayments": -(subtotal + tax) if is_paid else 0,
        "totalDue": subtotal + tax,
    }
    return {name: money(cents) for name, cents in amounts.items()}


def _retotalled(sale: Row, cents: int) -> Row:
    return sale | _amounts(cents_of(sale["calcSubtotal"]) + cents, is_paid=False)
