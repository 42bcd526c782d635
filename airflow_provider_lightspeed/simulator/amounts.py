"""What a sale comes to: lines with discounts and taxes, and the header over them. Pure arithmetic on whole numbers.

Amounts are whole ten-thousandths of the currency, as lines have four decimals; headers are in cents. The rules are F2 to F4 and
F13: ``calcTotal = calcSubtotal - calcDiscount + calcTax1 + calcTax2`` on lines and headers, the header is the sum of its lines up
to rounding, and cost is per unit (F9). Where prices include tax, ``unitPrice`` is the part without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from operator import add, sub
from typing import Any, Final, NamedTuple

from airflow_provider_lightspeed.simulator.generate import Row, money

SCALE: Final = 10_000
CENT: Final = 100


@dataclass(frozen=True, slots=True)
class TaxRates:
    """A tax category.

    :param tax1: in ten-thousandths: 800 is 8 per cent.
    :param tax2: likewise, on the same base.
    :param is_inclusive: whether prices include the taxes.
    """

    tax_category_id: int
    tax1: int
    tax2: int
    is_inclusive: bool


class Sums(NamedTuple):
    """What lines add up to; of one line its own amounts."""

    subtotal: int = 0
    discount: int = 0
    tax1: int = 0
    tax2: int = 0
    taxable: int = 0
    fifo_cost: int = 0
    average_cost: int = 0
    fees: int = 0

    def plus(self, other: Sums, sign: int = 1) -> Sums:
        """Return both together, or the difference for a sign of -1."""
        return Sums._make(map(add, self, other) if sign > 0 else map(sub, self, other))


def amount(value: int) -> str:
    """Return ten-thousandths as the API writes money: no fixed scale."""
    sign, value = ("-", -value) if value < 0 else ("", value)
    whole, rest = divmod(value, SCALE)
    return f"{sign}{whole}.{rest:04d}".rstrip("0") if rest else f"{sign}{whole}"


def cents(value: int) -> int:
    """Round to whole cents, half away from zero."""
    return (value + CENT // 2) // CENT if value >= 0 else -((-value + CENT // 2) // CENT)


def unit_price(price_cents: int, rates: TaxRates) -> int:
    """Return what a unit costs without tax, of its price on the shelf in cents."""
    shelf = price_cents * CENT
    if not rates.is_inclusive:
        return shelf
    return round(shelf * SCALE / (SCALE + rates.tax1 + rates.tax2))


def line_sums(
    quantity: int, price: int, rates: TaxRates, *, line_percent: int = 0, sale_percent: int = 0, is_taxed: bool = True
) -> tuple[Sums, int]:
    """Return the amounts of a line, without its costs, and its share of the discount on the whole sale.

    :param line_percent: discount on the line.
    :param sale_percent: discount on the whole sale, on what is left.
    """
    subtotal = quantity * price
    own = round(subtotal * line_percent / 100)
    shared = round((subtotal - own) * sale_percent / 100)
    net = subtotal - own - shared
    if not is_taxed:
        return Sums(subtotal, own + shared), shared
    return (
        Sums(subtotal, own + shared, round(net * rates.tax1 / SCALE), round(net * rates.tax2 / SCALE), net),
        shared,
    )


def line_fields(sums: Sums, sale_discount: int) -> dict[str, str]:
    """Return the amounts of a line as its record has them."""
    total = sums.subtotal - sums.discount + sums.tax1 + sums.tax2
    return {
        "calcSubtotal": amount(sums.subtotal),
        "calcLineDiscount": amount(sums.discount - sale_discount),
        "calcTransactionDiscount": amount(sale_discount),
        "calcTax1": amount(sums.tax1),
        "calcTax2": amount(sums.tax2),
        "calcTotal": amount(total),
    }


def sums_of(line: Row) -> Sums:
    """Return the amounts of a line of a sale from its record."""

    def read(name: str) -> int:
        return int(Decimal(line.get(name, "0")) * SCALE)

    tax1, tax2 = read("calcTax1"), read("calcTax2")
    subtotal, discount = read("calcSubtotal"), read("calcLineDiscount") + read("calcTransactionDiscount")
    return Sums(
        subtotal,
        discount,
        tax1,
        tax2,
        subtotal - discount if line.get("tax") else 0,
        read("fifoCost") * line["unitQuantity"],
        read("avgCost") * line["unitQuantity"],
        subtotal if line.get("lineType") == "item_fee" else 0,
    )


def total_cents(sums: Sums) -> int:
    """Return what the lines of a sale come to."""
    if sums.subtotal % CENT:
        return cents(sums.subtotal - sums.discount + sums.tax1 + sums.tax2)
    return sums.subtotal // CENT - cents(sums.discount) + cents(sums.tax1) + cents(sums.tax2)


def header_fields(sums: Sums, *, tips: int = 0, payments: int = 0, rounding: int | None = None) -> dict[str, Any]:
    """Return the amounts of a sale as its record has them.

    :param tips: cents; they are inside the payments (F8), and so inside ``total``, which else could not be the sum of these.
    :param payments: cents, of those that are not archived.
    :param rounding: cents by which a cash total was rounded (F14); None where cash is not rounded.
    """
    total, discount, tax1, tax2 = total_cents(sums), cents(sums.discount), cents(sums.tax1), cents(sums.tax2)
    subtotal = total + discount - tax1 - tax2
    taxable = cents(sums.taxable)
    due = total + tips
    fields = {
        "calcSubtotal": subtotal,
        "calcDiscount": discount,
        "calcTax1": tax1,
        "calcTax2": tax2,
        "taxTotal": tax1 + tax2,
        "calcTaxable": taxable,
        "calcNonTaxable": total - tax1 - tax2 - taxable,
        "calcTotal": total,
        "total": due,
        "totalDue": due,
        "displayableTotal": due,
        "displayableSubtotal": subtotal,
        "calcTips": tips,
        "calcPayments": payments,
        "balance": due - payments,
        "calcFIFOCost": cents(sums.fifo_cost),
        "calcAvgCost": cents(sums.average_cost),
        "calcItemFees": cents(sums.fees),
    }
    if rounding is not None:
        fields |= {
            "cashRoundingDelta": rounding,
            "cashRoundedTotal": due + rounding,
            "cashRoundedBalance": due + rounding - payments,
        }
    return {name: money(value) if value else "0" for name, value in fields.items()}
