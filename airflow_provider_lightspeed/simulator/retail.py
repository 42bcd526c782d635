"""What a shop has: items in stock, registers, payment types, and a history of sales."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Final

from airflow_provider_lightspeed.simulator.generate import Plan, Row, money, stamp
from airflow_provider_lightspeed.simulator.till import PAYMENT_TYPES, Till

HOURS: Final = (9, 10, 10, 11, 11, 12, 12, 13, 14, 15, 16, 16, 17, 17, 18, 19)
#: Sales of a weekday, Monday first, relative to the busiest.
WEEK: Final = (0.55, 0.5, 0.6, 0.7, 0.9, 1.0, 0.75)

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

    def put(store: str, row: Row) -> None:
        stores[store].append(row)

    days = [plan.now - timedelta(days=back) for back in range(max(plan.days, 1), 0, -1)]
    weights = [WEEK[day.weekday()] for day in days]
    moments = []
    for day in rng.choices(days, weights, k=plan.sales):
        moment = day.replace(hour=rng.choice(HOURS), minute=rng.randrange(60), second=rng.randrange(60), microsecond=0)
        moments.append(min(moment, plan.now - timedelta(minutes=1)))
    for moment in sorted(moments):
        till.sell(moment, put)


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
