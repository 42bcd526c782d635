"""What a shop has: items in stock, registers, payment types, and a history of sales."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from airflow_provider_lightspeed.simulator.generate import Plan, Row, money, stamp
from airflow_provider_lightspeed.simulator.payments import PAYMENT_TYPES
from airflow_provider_lightspeed.simulator.till import TAXES, Kind, Till, stocked

HOURS: Final = (9, 10, 10, 11, 11, 12, 12, 13, 14, 15, 16, 16, 17, 17, 18, 19)
#: Sales of a weekday, Monday first, relative to the busiest.
WEEK: Final = (0.55, 0.5, 0.6, 0.7, 0.9, 1.0, 0.75)

#: One charges tax on top, the other one's prices include it.
TIME_ZONES: Final = ("America/New_York", "Australia/Sydney")
#: What the first sales are, so that a small shop has one of each; and how often they come later, as running sums.
FIRST: Final = {
    6: Kind.REFUND,
    9: Kind.DEPOSIT,
    10: Kind.GIFT_CARD,
    12: Kind.EXCHANGE,
    13: Kind.REFUND_WITHOUT_RECEIPT,
}
RARE: Final = ((Kind.GIFT_CARD, 0.015), (Kind.DEPOSIT, 0.02))
VOIDED: Final = 7
RESERVED: Final = {3: "isLayaway", 5: "isSpecialOrder"}

Stores = dict[str, list[Row]]


def stock(plan: Plan, stores: Stores) -> None:
    """Give every item its prices and its stock per shop, shop 0 being the sum and the only one with an average cost (E2)."""
    rng = random.Random(f"{plan.seed} stock")
    shops = len(stores["Shop"])
    rows: list[Row] = []
    for item in stores["Item"]:
        cost = rng.randrange(200, 9_000)
        item |= {
            "price_cents": cost * 2 + 99,
            "cost_cents": cost,
            "defaultCost": money(cost),
            "avgCost": money(cost),
            "archived": item["archived"] and item["itemID"] > 5,
        }
        item["Prices"] = [
            {"amount": money(cost * 2 + 99), "useTypeID": 1, "useType": "Default"},
            {"amount": money(cost * 2 + 299), "useTypeID": 2, "useType": "MSRP"},
        ]
        on_hand = [0 if item["archived"] else rng.randrange(-2, 60) for _ in range(shops)]  # archiving empties (E8)
        point = rng.choice((0, 0, 0, 5))  # 0 is: not set up (E6)
        for shop, qoh in enumerate([sum(on_hand), *on_hand]):
            row = {
                "itemShopID": len(rows) + 1,
                "itemID": item["itemID"],
                "shopID": shop,
                "cost_cents": cost,
                "averageCost": "0" if shop else money(cost),
                "reorderPoint": point if shop else 0,
                "reorderLevel": point * 2 if shop else 0,
                "timeStamp": item["timeStamp"],
                "m": {"layaways": 0, "specialorders": 0, "workorders": 0},
            }
            rows.append(stocked(row, qoh))
    stores["ItemShop"] = rows


def trade(plan: Plan, stores: Stores) -> None:
    """Make sales over the days of the plan, in the order of their keys, and what is laid away and ordered meanwhile."""
    till = Till(plan, stores)
    till.payments.takes_cards = True
    rng = random.Random(f"{plan.seed} sales")

    def put(store: str, row: Row) -> None:
        stores[store].append(row)

    for number, (moment, place) in enumerate(_moments(plan, stores, rng), 1):
        register, chance = stores["Register"][place], rng.random()
        kind = FIRST.get(number) or next((kind for kind, share in RARE if chance < share), None)
        first_line = len(stores["SaleLine"])
        sale = till.sell(moment, put, register=register, kind=kind)
        if sale["completed"] and (number == VOIDED or 0.5 < chance < 0.51):
            when = stamp(min(moment + timedelta(minutes=5), plan.now))
            stores["Sale"][-1] = till.void(sale, stores["SaleLine"][first_line:], put, when)
        if plan.customers and (number in RESERVED or 0.6 < chance < 0.62):
            flag = RESERVED.get(number, "isLayaway" if chance < 0.612 else "isSpecialOrder")
            line = till.reserve(moment, put, rng.randint(1, plan.customers), register, flag)
            _mark_reserved(stores, line, flag)
    till.payments.takes_cards = False


def _moments(plan: Plan, stores: Stores, rng: random.Random) -> list[tuple[datetime, int]]:
    """Return when sales begin, in order, with the place of their register: shops are open by their own clocks."""
    zones = {shop["shopID"]: ZoneInfo(shop["timeZone"]) for shop in stores["Shop"]}
    days = [plan.now - timedelta(days=back) for back in range(max(plan.days, 1), 0, -1)]
    last = plan.now - timedelta(minutes=1)
    found = []
    for day in rng.choices(days, [WEEK[day.weekday()] for day in days], k=plan.sales):
        place = rng.randrange(len(stores["Register"]))
        zone = zones[stores["Register"][place]["shopID"]]
        hour, minute, second = rng.choice(HOURS), rng.randrange(60), rng.randrange(60)
        moment = datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=zone).astimezone(UTC)
        found.append((min(moment, last), place))
    return sorted(found)


def _mark_reserved(stores: Stores, line: Row, flag: str) -> None:
    """Count a reservation in the stock of its shop and of all, and give a special order its line."""
    field = "onLayaway" if flag == "isLayaway" else "onSpecialOrder"
    first = (line["itemID"] - 1) * (len(stores["Shop"]) + 1)
    for place in (first, first + line["shopID"]):
        row = stores["ItemShop"][place]
        row[field] = row.get(field, 0) + line["unitQuantity"]
    order = next((each for each in stores["SpecialOrder"] if not each.get("_taken")), None)
    if flag == "isSpecialOrder" and order is not None:
        kept = {name: line[name] for name in ("saleLineID", "customerID", "shopID", "unitQuantity")}
        order |= kept | {"_taken": True, "completed": False}


def names(plan: Plan, stores: Stores) -> None:
    """Give the kinds that reports and people look at their proper names and keys."""
    for row, (name, kind) in zip(stores["PaymentType"], PAYMENT_TYPES, strict=False):
        row |= {"name": name, "type": kind, "archived": False}
    for number, row in enumerate(stores["Shop"], 1):
        row |= {
            "name": f"Example Shop {number}",
            "timeZone": TIME_ZONES[(number - 1) % len(TIME_ZONES)],
            "archived": False,
            "contactID": number,
            "taxCategoryID": (number - 1) % 2 + 1,
        }
    for row, (rates, name) in zip(
        stores["TaxCategory"], zip(TAXES, ("Sales Tax", "GST", "PST"), strict=True), strict=True
    ):
        row |= {
            "isTaxInclusive": rates.is_inclusive,
            "tax1Name": name,
            "tax1Rate": str(rates.tax1 / 10_000),
            "tax2Name": "City" if rates.tax2 else "",
            "tax2Rate": str(rates.tax2 / 10_000),
        }
    for number, row in enumerate(stores["CreditAccount"], 1):
        row |= {"giftCard": number % 2 == 0, "balance": "0", "_cents": 0}
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
