"""How a sale is paid: tenders, tips, cash that is rounded, attempts that failed, gift cards and customers' accounts."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_lightspeed.simulator.amounts import Sums, header_fields, total_cents
from airflow_provider_lightspeed.simulator.generate import Row, money

#: Names with the documented types, in the order of their keys.
PAYMENT_TYPES: Final = (
    ("Cash", "cash"),
    ("Check", "user defined"),
    ("Credit Card", "credit card"),
    ("Debit Card", "credit card"),
    ("Gift Card", "gift card"),
    ("Credit Account", "credit account"),
)
CASH, CHECK, CREDIT, DEBIT, GIFT_CARD, ACCOUNT = range(1, 7)
_TENDERS: Final = (CASH, CASH, CASH, CASH, CHECK, CREDIT, CREDIT, CREDIT, CREDIT, DEBIT, DEBIT)
_FIVE: Final = 5

Put = Callable[[str, Row], None]


@dataclass(frozen=True, slots=True)
class Tender:
    """One payment.

    :param cents: with the tip; negative when money goes out.
    :param is_failed: an attempt that did not stand: archived, and in no sum (F6).
    :param account: the credit account or gift card; its balance rises by what is paid with it (F17, F18).
    """

    type_id: int
    cents: int
    tip: int = 0
    is_failed: bool = False
    account: Row | None = None


class Payments:
    """Takes the money for sales.

    :param rng: decides how people pay.
    :param accounts: credit accounts and gift cards; their balances follow.
    :param next_key: gives the keys of new rows.
    """

    def __init__(self, rng: random.Random, accounts: list[Row], next_key: Callable[[str], int]) -> None:
        self._rng = rng
        self._next_key = next_key
        self._cards = [row for row in accounts if row["giftCard"]]
        self._accounts = [row for row in accounts if not row["giftCard"]]
        #: Whether gift cards may pay; only while the history is made, for it changes their rows in place.
        self.takes_cards = False

    def take(self, sale: Row, sums: Sums, put: Put, kind: str, *, rounds_cash: bool) -> dict[str, Any]:
        """Write the payments of a sale and return the amounts of its header.

        :param sums: what its lines add up to.
        :param kind: of sale: ``gift card`` and ``deposit`` have no lines, money only changes its place.
        :param rounds_cash: whether the shop rounds cash to five cents.
        """
        due, given, rounding = total_cents(sums), 0, 0
        tenders = self._transfer(kind == "gift card") if kind in ("gift card", "deposit") else self._tenders(due)
        if rounds_cash and tenders and all(each.type_id == CASH for each in tenders):
            rounding = round(due / _FIVE) * _FIVE - due
            tenders = [Tender(CASH, due + rounding)]
        if [each.type_id for each in tenders] == [CASH] and tenders[0].cents > 0:
            given = -tenders[0].cents % 500
        for tender in tenders:
            self._write(sale, tender, put)
        tips = sum(each.tip for each in tenders if not each.is_failed)
        paid = sum(each.cents for each in tenders if not each.is_failed)
        fields = header_fields(sums, tips=tips, payments=paid, rounding=rounding if rounds_cash else None)
        if tips:
            fields["tipEmployeeID"] = sale["employeeID"]
        return fields | {"change": money(given)}

    def _tenders(self, due: int) -> list[Tender]:
        rng = self._rng
        if due == 0:
            return []
        chance, kind = rng.random(), rng.choice(_TENDERS)
        if due < 0:
            return [Tender(kind, due)]
        if self.takes_cards and chance < 0.012:
            card = next((each for each in self._cards if each["_cents"] < 0), None)
            if card is not None:
                part = min(due, -card["_cents"])
                rest = [Tender(kind, due - part)] if due > part else []
                return [Tender(GIFT_CARD, part, account=card), *rest]
        if chance < 0.10 and due > 1:
            return [Tender(kind, due // 2), Tender(CREDIT, due - due // 2)]
        if kind in (CREDIT, DEBIT):
            tip = due // 10 if chance > 0.95 else 0
            failed = [Tender(kind, due + tip, tip, is_failed=True)] if rng.random() < 0.06 else []
            return [*failed, Tender(kind, due + tip, tip)]
        return [Tender(kind, due)]

    def _transfer(self, is_card: bool) -> list[Tender]:
        rows = self._cards if is_card else self._accounts
        cents = self._rng.choice((2_000, 2_500, 5_000, 10_000))
        if not rows:
            return []
        account = rows[self._rng.randrange(len(rows))]
        return [Tender(CASH, cents), Tender(GIFT_CARD if is_card else ACCOUNT, -cents, account=account)]

    def _write(self, sale: Row, tender: Tender, put: Put) -> None:
        account = tender.account
        payment: Row = {
            "salePaymentID": self._next_key("SalePayment"),
            "amount": money(tender.cents),
            "createTime": sale["createTime"],
            "saleID": sale["saleID"],
            "registerID": sale["registerID"],
            "employeeID": sale["employeeID"],
            "paymentTypeID": tender.type_id,
        }
        if tender.tip:
            payment["tipAmount"] = money(tender.tip)
        if tender.is_failed:
            payment["archived"] = True
        if account is not None:
            account["_cents"] += tender.cents
            account |= {"balance": money(account["_cents"]), "timeStamp": max(account["timeStamp"], sale["createTime"])}
            payment["creditAccountID"] = account["creditAccountID"]
            entry = {"creditAccountID": account["creditAccountID"], "salePaymentID": payment["salePaymentID"]}
            put("SaleAccount", {"saleAccountID": self._next_key("SaleAccount"), "saleLineID": 0, **entry})
        put("SalePayment", payment)
