"""What a shop does: items in stock, sales with lines, payments and stock moves that add up."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any, Final

from airflow_provider_lightspeed.simulator.generate import Plan, Row, money, stamp

TAX: Final = 8  # per cent
LINES: Final = (1, 1, 1, 2, 2, 3, 4)
PAYMENT_TYPES: Final = ("Cash", "Check", "Credit Card", "Debit Card", "Gift Card", "Credit Account")
HOURS: Final = (9, 10, 10, 11, 11, 12, 12, 13, 14, 15, 16, 16, 17, 17, 18, 19)
#: Sales of a weekday, Monday first, relative to the busiest.
WEEK: Final = (0.55, 0.5, 0.6, 0.7, 0.9, 1.0, 0.75)
#: What a till writes, with the primary keys; rows stand in their order.
KEYS: Final = {
    "Sale": "saleID",
    "SaleLine": "saleLineID",
    "SalePayment": "salePaymentID",
    "InventoryLog": "inventoryLogID",
}

Stores = dict[str, list[Row]]


def stock(plan: Plan, stores: Stores) -> None:
    """Give every item its prices and its stock per shop, shop 0 being the sum."""
    rng = random.Random(f"{plan.seed} stock")
    shops = len(stores["Shop"])
    rows: list[Row] = []
    for item in stores["Item"]:
        cost = rng.randrange(200, 9_000)
        item["price_cents"] = cost * 2 + 99
        item |= {
            "defaultCost": money(cost),
            "avgCost": money(cost),
            "archived": item["archived"] and item["itemID"] > 5,
        }
        item["Prices"] = [
            {"amount": money(cost * 2 + 99), "useTypeID": 1, "useType": "Default"},
            {"amount": money(cost * 2 + 299), "useTypeID": 2, "useType": "MSRP"},
        ]
        on_hand = [rng.randrange(-2, 60) for _ in range(shops)]
        for shop, qoh in enumerate([sum(on_hand), *on_hand]):
            rows.append(
                {
                    "itemShopID": len(rows) + 1,
                    "qoh": qoh,
                    "sellable": max(qoh, 0),
                    "itemID": item["itemID"],
                    "shopID": shop,
                    "averageCost": money(cost),
                    "timeStamp": item["timeStamp"],
                    "m": {"layaways": 0, "specialorders": 0, "workorders": 0},
                }
            )
    stores["ItemShop"] = rows


def trade(plan: Plan, stores: Stores) -> None:
    """Make sales over the days of the plan, in the order of their keys."""
    till = Till(plan, stores)
    rng = random.Random(f"{plan.seed} sales")
    days = [plan.now - timedelta(days=back) for back in range(max(plan.days, 1), 0, -1)]
    weights = [WEEK[day.weekday()] for day in days]
    moments = []
    for day in rng.choices(days, weights, k=plan.sales):
        moment = day.replace(hour=rng.choice(HOURS), minute=rng.randrange(60), second=rng.randrange(60), microsecond=0)
        moments.append(min(moment, plan.now - timedelta(minutes=1)))
    for moment in sorted(moments):
        till.sell(moment)


class Till:
    """Writes sales with all that hangs on them."""

    def __init__(self, plan: Plan, stores: Stores) -> None:
        self._plan = plan
        self._stores = stores
        self._rng = random.Random(f"{plan.seed} till")
        self._registers = stores["Register"]
        self._sellable = [item for item in stores["Item"] if not item["archived"]] or stores["Item"]
        self._given: dict[str, int] = {name: rows[-1][key] for name, key in KEYS.items() if (rows := stores[name])}

    def sell(self, moment: Any) -> Row:
        """Make one sale at a moment and return it."""
        rng, sales = self._rng, self._stores["Sale"]
        number, register = self._next_key("Sale"), rng.choice(self._registers)
        when = stamp(moment)
        late = timedelta(hours=rng.randrange(1, 72)) if rng.random() < 0.05 else timedelta()
        updated = stamp(min(moment + late, self._plan.now)) if moment <= self._plan.now else when
        completed = rng.random() < 0.97
        refund = -1 if rng.random() < 0.03 else 1
        sale: Row = {
            "saleID": number,
            "createTime": when,
            "updateTime": updated,
            "timeStamp": when,
            "completeTime": when if completed else None,
            "completed": completed,
            "voided": rng.random() < 0.01,
            "archived": rng.random() < 0.02,
            "ticketNumber": str(220_000_000_000 + number),
            "tax1Rate": "0.08",
            "customerID": rng.randint(1, self._plan.customers) if self._plan.customers and rng.random() < 0.4 else 0,
            "employeeID": rng.randint(1, len(self._stores["Employee"])),
            "registerID": register["registerID"],
            "shopID": register["shopID"],
            "taxCategoryID": 1,
            "receiptPreference": "printed",
            "tipEnabled": True,
        }
        lines = [self._line(sale, refund) for _ in range(rng.choice(LINES) if self._sellable else 0)]
        subtotal = sum(cents for _, cents in lines)
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
            "calcPayments": -(subtotal + tax) if completed else 0,
            "totalDue": subtotal + tax,
        }
        sale |= {name: money(cents) for name, cents in amounts.items()}
        if rng.random() < 0.05:
            sale["SaleNotes"] = {
                "PrintedNote": {"noteID": 1, "note": "Thank you"},
                "InternalNote": {"noteID": 2, "note": ""},
            }
        sales.append(sale)
        if completed:
            self._pay(sale, subtotal + tax)
        return sale

    def _line(self, sale: Row, sign: int) -> tuple[Row, int]:
        rng, lines = self._rng, self._stores["SaleLine"]
        item = rng.choice(self._sellable)
        quantity = sign * (1 if rng.random() < 0.85 else rng.randint(2, 5))
        cents = item["price_cents"] * quantity
        line: Row = {
            "saleLineID": self._next_key("SaleLine"),
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
        if len(lines) % 17 == 0:
            line["discountID"] = 1
        if len(lines) % 23 == 0:
            line |= {"itemFeeID": 1, "noteID": 1}
        if len(lines) % 41 == 0:
            account = {"saleAccountID": len(lines) + 1, "creditAccountID": 1, "salePaymentID": 0}
            line["SaleAccounts"] = [account | {"saleLineID": line["saleLineID"]}]
        lines.append(line)
        log = self._stores["InventoryLog"]
        log.append(
            {
                "inventoryLogID": self._next_key("InventoryLog"),
                "qohChange": -quantity,
                "costChange": "0",
                "reason": "Sale",
                "createTime": sale["createTime"],
                "automated": True,
                "itemID": item["itemID"],
                "shopID": sale["shopID"],
                "saleID": sale["saleID"],
                "employeeID": sale["employeeID"],
            }
        )
        return line, cents

    def _pay(self, sale: Row, cents: int) -> None:
        rng, payments = self._rng, self._stores["SalePayment"]
        parts = [cents] if rng.random() < 0.92 else [cents // 2, cents - cents // 2]
        for part in parts:
            payments.append(
                {
                    "salePaymentID": self._next_key("SalePayment"),
                    "amount": money(part),
                    "createTime": sale["createTime"],
                    "archived": rng.random() < 0.01,
                    "saleID": sale["saleID"],
                    "registerID": sale["registerID"],
                    "employeeID": sale["employeeID"],
                    "paymentTypeID": rng.randint(1, len(PAYMENT_TYPES)),
                    "tipAmount": money(rng.choice((0, 0, 0, 100, 250))),
                }
            )

    def _next_key(self, store: str) -> int:
        """Return a key that no row has had, the last one included if it has been deleted since."""
        self._given[store] = self._given.get(store, 0) + 1
        return self._given[store]


def names(plan: Plan, stores: Stores) -> None:
    """Give the kinds that reports and people look at their proper names and keys."""
    for row, name in zip(stores["PaymentType"], PAYMENT_TYPES, strict=False):
        row |= {"name": name, "type": "user_defined", "archived": False}
    for number, row in enumerate(stores["Shop"], 1):
        row |= {
            "name": f"Example Shop {number}",
            "timeZone": "America/New_York",
            "archived": False,
            "contactID": number,
        }
    shops = len(stores["Shop"])
    stores["Register"] = [
        {
            "registerID": number,
            "name": f"Register {number}",
            "shopID": (number - 1) % shops + 1,
            "open": True,
            "openTime": stamp(plan.now - timedelta(hours=number)),
            "openEmployeeID": 1,
            "tipEnabled": True,
        }
        for number in range(1, plan.registers + 1)
    ]
    links(stores)
    for row in stores["OrderShipment"]:
        row["orderID"] = row["orderID"] or 1
    for row in stores["OrderShipmentItem"]:
        row["orderID"] = stores["OrderShipment"][row["orderShipmentID"] - 1]["orderID"]
    for number, row in enumerate(stores["Image"]):  # an image belongs to an item or to a matrix
        row["itemMatrixID"] = number % 5 + 1 if number % 3 == 0 else 0
        row["itemID"] = 0 if number % 3 == 0 else number % plan.items + 1
    for number, row in enumerate(stores["Category"], 1):
        row |= {"parentID": 0 if number <= 4 else (number - 1) % 4 + 1, "nodeDepth": 0 if number <= 4 else 1}
    for number, row in enumerate(stores["Customer"], 1):
        row |= {"contactID": number, "Tags": {"tag": ["vip", "local"][: number % 3]} if number % 3 else ""}
    stores["Account"] = [
        {
            "accountID": int(plan.account_id) if plan.account_id.isdigit() else 0,
            "name": f"Example Retail {plan.account_id}",
        }
    ]
    stores["Option"] = [
        {"name": name, "value": value}
        for name, value in (("auto_logout_delay", "120"), ("cost_method", "average"), ("billing_header", ""))
    ]
    stores["Locale"] = [
        {
            "name": name,
            "country": name,
            "countryCode": code,
            "currencySymbol": "$",
            "currencyCode": currency,
            "currencyPrecision": 2,
            "dateFormat": "d/m/Y",
            "languageTag": "en_GB",
            "CurrencyDenominations": [
                {"name": f"${value}", "value": value, "significant": True} for value in ("5", "10", "20")
            ],
        }
        for name, code, currency in (("Canada", "CA", "CAD"), ("United States", "US", "USD"))
    ]


def links(stores: Stores) -> None:
    """See to it that relations which chance might leave empty lead somewhere."""
    shops = stores["Shop"]
    stores["Employee"][0]["lastRegisterID"] = 1
    stores["Item"][0]["defaultVendorID"] = 1
    for row in stores["CCCharge"]:
        row["rawVoidResponse"] = {"@attributes": {"readonly": "true"}}
    for row in stores["RegisterCount"]:
        row |= {"openEmployeeID": 1, "closeEmployeeID": len(stores["Employee"])}
    for number, row in enumerate(stores["Transfer"]):
        for side, key in (("TransferFrom", "sentOn"), ("TransferTo", "needBy")):
            shop = shops[(number + (side == "TransferTo")) % len(shops)]
            row[side] = {"employeeID": 1, "shopID": shop["shopID"], key: row["createTime"], "Shop": shop}
