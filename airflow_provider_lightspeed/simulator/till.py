"""What happens at a till: sales with lines, payments and stock moves that add up, and what is done to them afterwards."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, NamedTuple

from airflow_provider_lightspeed.simulator.amounts import (
    CENT,
    SCALE,
    Sums,
    TaxRates,
    amount,
    header_fields,
    line_fields,
    line_sums,
    sums_of,
    unit_price,
)
from airflow_provider_lightspeed.simulator.books import Draft
from airflow_provider_lightspeed.simulator.generate import Plan, Row, money, stamp
from airflow_provider_lightspeed.simulator.payments import Payments

LINES: Final = (1, 1, 1, 2, 2, 3, 4)
#: By shop in turn; the last one for goods that are sent to another state.
TAXES: Final = (TaxRates(1, 800, 0, False), TaxRates(2, 1_000, 0, True), TaxRates(3, 500, 700, False))
#: What a till makes, with the primary keys; rows stand in their order.
KEYS: Final = {
    "Sale": "saleID",
    "SaleLine": "saleLineID",
    "SalePayment": "salePaymentID",
    "InventoryLog": "inventoryLogID",
    "SaleVoid": "saleVoidID",
    "SaleAccount": "saleAccountID",
    "InventorySale": "inventorySaleID",
}
_RECENT: Final = 64
#: Customers that pay no tax: every one of this many.
_EXEMPT: Final = 13

#: Takes a new row of a store.
Put = Callable[[str, Row], None]


class Kind(StrEnum):
    """What a completed sale is."""

    PLAIN = "plain"
    REFUND = "refund"
    """Lines of an earlier sale come back."""
    REFUND_WITHOUT_RECEIPT = "refund without receipt"
    """Nobody knows which."""
    EXCHANGE = "exchange"
    """One line comes back, others are sold."""
    GIFT_CARD = "gift card"
    """No lines: money comes in, and goes on a card."""
    DEPOSIT = "deposit"
    """No lines: money comes in, and goes on a customer's account."""


class Sold(NamedTuple):
    """What a line sells.

    :param line_id: the line's key.
    :param percent: discount on the line.
    :param sale_percent: discount on the whole sale.
    """

    line_id: int
    item_id: int
    tax_category_id: int
    quantity: int
    percent: int
    sale_percent: int
    is_taxed: bool

    def back(self) -> Sold:
        """Return the same coming back."""
        return self._replace(quantity=-self.quantity)


class Till:
    """Writes sales with all that hangs on them."""

    def __init__(self, plan: Plan, stores: dict[str, list[Row]]) -> None:
        self._plan = plan
        self.is_camel_case = False
        self._rng = random.Random(f"{plan.seed} till")
        self._registers = stores["Register"]
        self._employees = len(stores["Employee"])
        self._shops = len(stores["Shop"])
        self._quotes = len(stores["Quote"])
        self._sellable = [item for item in stores["Item"] if not item["archived"]] or stores["Item"]
        self._given: dict[str, int] = {name: rows[-1][key] for name, key in KEYS.items() if (rows := stores[name])}
        self._items = {item["itemID"]: item for item in stores["Item"]}
        self._prices: dict[tuple[Any, ...], tuple[Sums, dict[str, str]]] = {}
        self._recent: dict[int, deque[Sold]] = {shop["shopID"]: deque(maxlen=_RECENT) for shop in stores["Shop"]}
        self.payments = Payments(self._rng, stores["CreditAccount"], self._next_key)

    def sell(
        self,
        moment: datetime,
        put: Put,
        *,
        completed: bool | None = None,
        register: Row | None = None,
        kind: Kind | None = None,
    ) -> Row:
        """Make one sale at a moment and return it.

        :param completed: default by chance; a sale that is not has no payments.
        :param register: default by chance.
        :param kind: default by chance, one that touches no gift card and no customer's account.
        """
        rng = self._rng
        register = register or rng.choice(self._registers)
        is_done = (rng.random() < 0.97 if completed is None else completed) or kind is not None
        kind = kind or (self._kind_by_chance() if is_done else Kind.PLAIN)
        sale = self._opened(moment, register)
        percent = rng.choice((5, 10, 20)) if kind is Kind.PLAIN and rng.random() < 0.06 else 0
        if percent:
            sale |= {"discountID": 2, "discountPercent": str(percent / 100)}
        sums = self._lines(sale, put, kind, percent)
        if is_done:
            sale |= {"completed": True, "completeTime": sale["createTime"]}
            paid = self.payments.take(sale, sums, put, kind.value, rounds_cash=register["shopID"] == 2)
            sale |= _set(paid)
        else:
            sale |= header_fields(sums) | {"_sums": sums}
            if self._quotes and rng.random() < 0.3:
                sale["quoteID"], self._quotes = self._quotes, self._quotes - 1
        if rng.random() < 0.05:
            sale["SaleNotes"] = {
                "PrintedNote": {"noteID": 1, "note": "Thank you"},
                "InternalNote": {"noteID": 2, "note": ""},
            }
        put("Sale", sale)
        return sale

    def _kind_by_chance(self) -> Kind:
        chance = self._rng.random()
        shares = ((Kind.REFUND, 0.02), (Kind.REFUND_WITHOUT_RECEIPT, 0.03), (Kind.EXCHANGE, 0.04))
        return next((kind for kind, share in shares if chance < share), Kind.PLAIN)

    def _opened(self, moment: datetime, register: Row) -> Row:
        rng = self._rng
        number, when = self._next_key("Sale"), stamp(moment)
        late = timedelta(hours=rng.randrange(1, 72)) if rng.random() < 0.05 else timedelta()
        shop = register["shopID"]
        rates = TAXES[2] if shop == 1 and rng.random() < 0.05 else TAXES[(shop - 1) % 2]
        return {
            "saleID": number,
            "createTime": when,
            "updateTime": stamp(min(moment + late, self._plan.now)) if moment <= self._plan.now else when,
            "timeStamp": when,
            "completeTime": None,
            "completed": False,
            "voided": False,
            "archived": rng.random() < 0.02,
            "ticketNumber": str(220_000_000_000 + number),
            "tax1Rate": str(rates.tax1 / SCALE),
            "tax2Rate": str(rates.tax2 / SCALE),
            "isTaxInclusive": rates.is_inclusive,
            "customerID": rng.randint(1, self._plan.customers) if self._plan.customers and rng.random() < 0.4 else 0,
            "employeeID": rng.randint(1, self._employees),
            "registerID": register["registerID"],
            "shopID": shop,
            "taxCategoryID": rates.tax_category_id,
            "receiptPreference": "printed",
            "tipEnabled": True,
        }

    def _lines(self, sale: Row, put: Put, kind: Kind, percent: int) -> Sums:
        """Make the lines of a sale and return what they come to."""
        rng = self._rng
        if kind in (Kind.GIFT_CARD, Kind.DEPOSIT) or not self._sellable:
            return Sums()
        count = rng.choice(LINES)
        sold = self._recent[sale["shopID"]]
        if kind in (Kind.REFUND, Kind.EXCHANGE) and sold:
            sums = self._line(sale, put, of=rng.choice(sold))
            return self._more(sale, put, sums, count, percent) if kind is Kind.EXCHANGE else sums
        sign = -1 if kind is Kind.REFUND_WITHOUT_RECEIPT else 1
        return self._more(sale, put, Sums(), count, percent, sign)

    def _more(self, sale: Row, put: Put, sums: Sums, count: int, percent: int, sign: int = 1) -> Sums:
        for _ in range(count):
            sums = sums.plus(self._line(sale, put, sign=sign, sale_percent=percent))
        if self._given["SaleLine"] % 23 == 1 and sign > 0:
            sums = sums.plus(self._fee(sale, put))
        return sums

    def _line(self, sale: Row, put: Put, *, sign: int = 1, sale_percent: int = 0, of: Sold | None = None) -> Sums:
        """Make a line and return its amounts.

        :param of: what comes back; default something new is sold.
        """
        number = self._next_key("SaleLine")
        sold = of.back() if of else self._picked(sale, number, sign, sale_percent)
        sums, fields = self._priced(sold)
        line: Row = {
            "saleLineID": number,
            "createTime": sale["createTime"],
            "timeStamp": sale["updateTime"],
            "unitQuantity": sold.quantity,
            "tax": sold.is_taxed,
            **fields,
            "saleID": sale["saleID"],
            "itemID": sold.item_id,
            "shopID": sale["shopID"],
            "employeeID": sale["employeeID"],
            "taxClassID": 1,
            "taxCategoryID": sold.tax_category_id,
        }
        if sold.percent:
            line |= {"discountID": 1, "discountPercent": str(sold.percent / 100)}
        if of is not None:
            line["parentSaleLineID"] = of.line_id
        elif sold.quantity > 0 and sale["saleID"]:
            self._recent[sale["shopID"]].append(sold)
        if number % 23 == 1:
            line["noteID"] = 1
        if number % 41 == 1:
            account = {"saleAccountID": number, "creditAccountID": 1, "salePaymentID": 0}
            line["SaleAccounts"] = [account | {"saleLineID": number}]
        put("SaleLine", line)
        reason = "RefundAddInventory" if sold.quantity < 0 else "RemoveForTransaction"
        self._log(put, line, -sold.quantity, reason)
        return sums

    def _picked(self, sale: Row, number: int, sign: int, sale_percent: int) -> Sold:
        rng = self._rng
        quantity = sign * (1 if rng.random() < 0.85 else rng.randint(2, 5))
        item: int = rng.choice(self._sellable)["itemID"]
        is_taxed = not sale["customerID"] or sale["customerID"] % _EXEMPT != 0
        percent = 10 if number % 17 == 1 else 0
        return Sold(number, item, sale["taxCategoryID"], quantity, percent, sale_percent, is_taxed)

    def _priced(self, sold: Sold) -> tuple[Sums, dict[str, str]]:
        """Return the amounts of a line, and its fields that hold money; lines alike share them."""
        key = sold[1:]
        if key not in self._prices:
            self._prices[key] = self._price(sold)
        return self._prices[key]

    def _price(self, sold: Sold) -> tuple[Sums, dict[str, str]]:
        item, rates = self._items[sold.item_id], TAXES[sold.tax_category_id - 1]
        price, cost = unit_price(item["price_cents"], rates), item["cost_cents"] * CENT
        fifo = 0 if sold.item_id % 10 == 9 else cost  # services and migrated history have none (F10)
        sums, shared = line_sums(
            sold.quantity,
            price,
            rates,
            line_percent=sold.percent,
            sale_percent=sold.sale_percent,
            is_taxed=sold.is_taxed,
        )
        sums = sums._replace(fifo_cost=fifo * sold.quantity, average_cost=cost * sold.quantity)
        fields = {
            "unitPrice": amount(price),
            "normalUnitPrice": amount(price),
            "displayableUnitPrice": money(item["price_cents"]),
            "displayableSubtotal": money(item["price_cents"] * sold.quantity),
            "avgCost": amount(cost),
            "fifoCost": amount(fifo),
            "tax1Rate": str(rates.tax1 / SCALE),
            "tax2Rate": str(rates.tax2 / SCALE),
            **line_fields(sums, shared),
        }
        return sums, _set(fields)

    def _fee(self, sale: Row, put: Put) -> Sums:
        """Put an item fee on the last line: a line of its own, without an item and untaxed."""
        number, value = self._next_key("SaleLine"), 250 * CENT
        sums = Sums(subtotal=value, fees=value)
        line = {
            "saleLineID": number,
            "createTime": sale["createTime"],
            "timeStamp": sale["updateTime"],
            "unitQuantity": 1,
            "unitPrice": amount(value),
            "normalUnitPrice": amount(value),
            "lineType": "item_fee",
            "itemFeeID": 1,
            "parentSaleLineID": number - 1,
            **line_fields(sums, 0),
            "saleID": sale["saleID"],
            "itemID": 0,
            "shopID": sale["shopID"],
            "employeeID": sale["employeeID"],
            "taxCategoryID": sale["taxCategoryID"],
        }
        put("SaleLine", line)
        return sums

    def void(self, sale: Row, lines: list[Row], put: Put, when: str) -> Row:
        """Return a sale as voided: it stays, with a reason; what was sold goes back, what came back goes."""
        put(
            "SaleVoid",
            {
                "saleVoidID": self._next_key("SaleVoid"),
                "reason": "Wrong item",
                "createTime": when,
                "saleID": sale["saleID"],
                "employeeID": sale["employeeID"],
                "shopID": sale["shopID"],
            },
        )
        for line in lines:
            if line["itemID"]:
                reason = "VoidRefund" if line["unitQuantity"] < 0 else "PutBackForTransaction"
                self._log(put, line | {"createTime": when}, line["unitQuantity"], reason)
        return sale | {"voided": True, "updateTime": when}

    def reserve(self, moment: datetime, put: Put, customer: int, register: Row, flag: str) -> Row:
        """Lay an item away for a customer, or order it for one: a line without a sale (F15).

        :param flag: ``isLayaway`` or ``isSpecialOrder``; only the first takes it out of the stock at once.
        """
        when, rates = stamp(moment), TAXES[(register["shopID"] - 1) % 2]
        lines: list[Row] = []
        sale = {
            "saleID": 0,
            "createTime": when,
            "updateTime": when,
            "customerID": 0,
            "employeeID": 1,
            "shopID": register["shopID"],
            "taxCategoryID": rates.tax_category_id,
        }
        logs: list[Row] = []
        kept = {"SaleLine": lines, "InventoryLog": logs}
        self._line(sale, lambda store, row: kept[store].append(row))
        line = lines[0] | {"customerID": customer, flag: True}
        put("SaleLine", line)
        if flag == "isLayaway":
            put("InventoryLog", logs[0] | {"reason": self.reason("RemoveForLayaway"), "customerID": customer})
            reservation = {"inventoryID": line["itemID"], "quantity": line["unitQuantity"], "createTime": when}
            key = self._next_key("InventorySale")
            put("InventorySale", reservation | {"inventorySaleID": key, "saleLineID": line["saleLineID"]})
        else:
            self._given["InventoryLog"] -= 1
        return line

    def _log(self, put: Put, about: Row, change: int, reason: str) -> None:
        entry = {
            "inventoryLogID": self._next_key("InventoryLog"),
            "qohChange": change,
            "costChange": "0",
            "reason": self.reason(reason),
            "createTime": about["createTime"],
            "automated": True,
            "itemID": about["itemID"],
            "shopID": about["shopID"],
            "saleID": about.get("saleID", 0),
            "employeeID": about.get("employeeID", 1),
        }
        put("InventoryLog", entry)

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
        sums = self._line(found | {"createTime": when, "updateTime": when}, draft.put)
        draft.put("Sale", touched(_retotalled(found, found["_sums"].plus(sums)), when))
        return self._given["SaleLine"]

    def drop_line(self, draft: Draft, line: int, when: str) -> int:
        """Take a line off an open sale, for good; return its key.

        :raises ValueError: the sale is completed.
        """
        found = draft.find("SaleLine", line)
        sale = _open(draft, found["saleID"])
        draft.drop("SaleLine", line)
        if found["itemID"]:
            self._log(draft.put, found | {"createTime": when}, found["unitQuantity"], "PutBackForTransaction")
        draft.put("Sale", touched(_retotalled(sale, sale["_sums"].plus(sums_of(found), -1)), when))
        return line

    def finish(self, draft: Draft, sale: int, when: str) -> Row:
        """Have an open sale paid and completed.

        :raises ValueError: it is completed.
        """
        found = touched(_open(draft, sale), when) | {"completed": True, "completeTime": when}
        paid = found | {"createTime": when}
        found |= self.payments.take(paid, found["_sums"], draft.put, Kind.PLAIN.value, rounds_cash=found["shopID"] == 2)
        draft.put("Sale", found)
        return found

    def unpay(self, draft: Draft, payment: int, when: str) -> int:
        """Take a payment off its sale, for good; return its key."""
        found = draft.find("SalePayment", payment)
        sale = draft.find("Sale", found["saleID"])
        draft.drop("SalePayment", payment)
        if not found.get("archived"):
            left = cents_of(sale.get("calcPayments", "0")) - cents_of(found["amount"])
            sale |= {"calcPayments": money(left), "balance": money(cents_of(sale.get("total", "0")) - left)}
        draft.put("Sale", touched(sale, when))
        return payment

    def move_stock(self, draft: Draft, item: int, shop: int, change: int, when: str) -> Row:
        """Count items in or out of a shop by hand, with an entry of the log; return the shop's stock."""
        about = {"itemID": item, "shopID": shop, "createTime": when}
        self._log(draft.put, about, change, "ManualQuantityAdjustment")
        return self.take(draft, item, shop, -change, when)

    def take(self, draft: Draft, item: int, shop: int, count: int, when: str) -> Row:
        """Lessen a shop's stock of an item, and the sum over all shops (shop 0); return the shop's stock."""
        first = (item - 1) * (self._shops + 1) + 1
        for key in (first, first + shop):
            row = draft.find("ItemShop", key)
            draft.put("ItemShop", stocked(row, row["qoh"] - count) | {"timeStamp": when})
        return draft.find("ItemShop", first + shop)


def stocked(row: Row, qoh: int) -> Row:
    """Return the stock of an item with another quantity, and what follows from it (E4, E5)."""
    value = money(max(qoh, 0) * row["cost_cents"])
    return row | {
        "qoh": qoh,
        "sellable": max(qoh, 0),
        "totalValueFifo": value,
        "totalValueAvgCost": value,
        "totalValueNegativeInventory": money(min(qoh, 0) * row["cost_cents"]),
    }


def _set(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that a new record has to set: 0 is what it shows anyway."""
    return {name: value for name, value in fields.items() if value != "0"}


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


def _retotalled(sale: Row, sums: Sums) -> Row:
    return sale | {"_sums": sums} | header_fields(sums)
