"""The accounting reports: sums over the shop's records by day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

Row = dict[str, Any]
Stores = dict[str, list[Row]]


def _days(moment: str) -> str:
    return moment[:10]


def _sum(rows: Iterable[tuple[tuple[Any, ...], dict[str, Decimal]]], names: tuple[str, ...]) -> list[Row]:
    totals: dict[tuple[Any, ...], dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for key, amounts in rows:
        for name, amount in amounts.items():
            totals[key][name] += amount
    return [
        dict(zip(names, key, strict=True)) | {name: f"{amount:.2f}" for name, amount in totals[key].items()}
        for key in sorted(totals)
    ]


def _completed(stores: Stores) -> dict[int, Row]:
    return {sale["saleID"]: sale for sale in stores["Sale"] if sale["completed"] and not sale["voided"]}


def payments(stores: Stores) -> list[Row]:
    """Payments by day, shop and payment type."""
    sales, types = _completed(stores), {row["paymentTypeID"]: row["name"] for row in stores["PaymentType"]}
    return _sum(
        (
            (
                (
                    _days(row["createTime"]),
                    sales[row["saleID"]]["shopID"],
                    row["paymentTypeID"],
                    types[row["paymentTypeID"]],
                ),
                {"amount": Decimal(row["amount"])},
            )
            for row in stores["SalePayment"]
            if row["saleID"] in sales and not row.get("archived")
        ),
        ("date", "shopID", "paymentTypeID", "paymentTypeName"),
    )


def taxes(stores: Stores) -> list[Row]:
    """Taxes by day, shop and tax category."""
    categories = {row["taxCategoryID"]: row["tax1Name"] for row in stores["TaxCategory"]}
    return _sum(
        (
            (
                (
                    _days(sale["completeTime"]),
                    sale["shopID"],
                    sale["taxCategoryID"],
                    categories[sale["taxCategoryID"]],
                ),
                {"tax": Decimal(sale.get("taxTotal", "0"))},
            )
            for sale in _completed(stores).values()
        ),
        ("date", "shopID", "taxCategoryID", "taxCategoryName"),
    )


def tax_classes(stores: Stores) -> list[Row]:
    """Sales by day, shop and tax class."""
    sales = _completed(stores)
    return _sum(
        (
            (
                (_days(sales[line["saleID"]]["completeTime"]), line["shopID"], 1, "Item"),
                {
                    "subtotal": Decimal(line.get("calcSubtotal", "0")),
                    "avgCost": Decimal(line.get("avgCost", "0")) * line["unitQuantity"],
                    "fifoCost": Decimal(line.get("fifoCost", "0")) * line["unitQuantity"],
                },
            )
            for line in stores["SaleLine"]
            if line["saleID"] in sales
        ),
        ("date", "shopID", "taxClassID", "taxClassName"),
    )


def discounts(stores: Stores) -> list[Row]:
    """Discounts by day and shop."""
    return _sum(
        (
            ((_days(sale["completeTime"]), sale["shopID"]), {"discount": Decimal(sale.get("calcDiscount", "0"))})
            for sale in _completed(stores).values()
        ),
        ("date", "shopID"),
    )


def orders(stores: Stores) -> list[Row]:
    """Orders by day, order, shop and tax class."""
    vendors = {row["vendorID"]: row["name"] for row in stores["Vendor"]}
    return [
        {
            "date": _days(row["createTime"]),
            "orderID": row["orderID"],
            "shopID": row["shopID"],
            "taxClassID": 1,
            "taxClassName": "Item",
            "cost": row["totalCost"],
            "totalShipCost": row["shipCost"],
            "totalOtherCost": row["otherCost"],
            "vendorID": row["vendorID"],
            "vendorName": vendors.get(row["vendorID"], ""),
        }
        for row in sorted(stores["Order"], key=lambda row: (row["createTime"], row["orderID"]))
    ]


REPORTS: Final[dict[str, Callable[[Stores], list[Row]]]] = {
    "ReportsAccountingPaymentsByDay": payments,
    "ReportsAccountingTaxesByDay": taxes,
    "ReportsAccountingTaxClassSalesByDay": tax_classes,
    "ReportsAccountingDiscountsByDay": discounts,
    "ReportsAccountingOrdersByTaxClass": orders,
}
