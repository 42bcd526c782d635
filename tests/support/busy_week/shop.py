"""A busy shop: what its people do all day, at random from a seed, by the simulator's deeds."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.support.busy_week.history import History
from tests.support.busy_week.timeline import Timeline
from tests.support.busy_week.wire import Simulation

#: Seconds after its stamp until which a row may show, and the share of transactions that take long.
LATE = 60.0
TAKE_LONG = 0.3
#: What extracts read, parents after their children.
RESOURCES = (
    "SaleLine",
    "SalePayment",
    "Sale",
    "Item",
    "ItemShop",
    "Customer",
    "CreditAccount",
    "Employee",
    "InventoryLog",
    "PaymentType",
)


class Business:
    """Changes the shop as time passes, and keeps its history.

    :param pace: mean seconds between two deeds while the shop is open; at night a tenth as much happens.
    """

    def __init__(
        self, shop: Simulation, history: History, timeline: Timeline, seed: int, *, pace: float = 90.0
    ) -> None:
        self._shop = shop
        self._history = history
        self._timeline = timeline
        self._rng = random.Random(f"{seed} business")  # noqa: S311 - made up from a seed
        self._pace = pace
        self._seen = 0
        self.done = 0
        deeds: list[tuple[float, Callable[[], None]]] = [
            (26, self.sell),
            (7, self.open),
            (12, self.add_line),
            (7, self.drop_line),
            (5, self.finish),
            (6, self.edit_sale),
            (2, self.void),
            (4, lambda: self.archive("Sale")),
            (3, lambda: self.archive("SalePayment")),
            (3, self.unpay),
            (5, self.price),
            (2, lambda: self.archive("Item")),
            (5, self.edit_customer),
            (2, lambda: self.archive("Customer")),
            (0.4, lambda: self.delete("Customer")),
            (3, self.edit_account),
            (1, lambda: self.archive("CreditAccount")),
            (0.4, lambda: self.delete("CreditAccount")),
            (1, self.edit_employee),
            (0.1, lambda: self.delete("Employee")),
            (0.7, lambda: self.archive("PaymentType")),
            (8, self.move_stock),
            (0.4, self.count_stock),
            (0.3, self.import_prices),
        ]
        self._deeds = [deed for _, deed in deeds]
        self._weights = [weight for weight, _ in deeds]

    def open_up(self) -> None:
        """Begin, and go on for ever."""
        self._timeline.after(self._rng.expovariate(1 / self._pace), self._go_on)

    def close(self) -> None:
        """End; what has been written may still have to show."""
        self._is_open = False

    _is_open = True

    def _go_on(self) -> None:
        if not self._is_open:
            return
        self._rng.choices(self._deeds, self._weights)[0]()
        is_open = 8 <= self._timeline.moment().hour < 20
        self._timeline.after(self._rng.expovariate(1 / (self._pace * (1 if is_open else 10))), self._go_on)

    def _do(self, action: str, note: str = "", *, late: float | None = None, **arguments: Any) -> None:
        """Carry out a deed, stamped with this second; it shows now or within a minute."""
        rng, at = self._rng, self._timeline.moment().replace(microsecond=0)
        if late is None:
            late = rng.uniform(0.1, LATE) if rng.random() < TAKE_LONG else 0.0
        if late:
            arguments["visible_from"] = (at + timedelta(seconds=late)).isoformat()
        self._shop.mutate(action, at=at.isoformat(), **arguments)
        changes = self._shop.changes(after=self._seen)
        self._seen = changes[-1]["number"]
        self._history.take(changes, note or action)
        self.done += 1

    def _some(self, name: str, admits: Callable[[dict[str, Any]], bool] = lambda _: True) -> int | None:
        """Return the key of a record, often a new one."""
        rows = self._history.rows[name]
        keys = list(rows)
        if not keys:
            return None
        if self._rng.random() < 0.5:
            keys = keys[-40:]
        found = [key for key in self._rng.sample(keys, min(len(keys), 25)) if admits(rows[key])]
        return found[0] if found else None

    def sell(self) -> None:
        """Sell something."""
        self._do("sell", completed=True)

    def open(self) -> None:
        """Begin a sale that goes on later."""
        self._do("sell", "sell, left open", completed=False)

    def _open_sale(self) -> int | None:
        return self._some("Sale", lambda row: not row["completed"])

    def add_line(self) -> None:
        """Put an item on an open sale."""
        if sale := self._open_sale():
            self._do("add_line", sale=sale)

    def drop_line(self) -> None:
        """Take an item off an open sale."""
        sales = self._history.rows["Sale"]
        if line := self._some("SaleLine", lambda row: bool(row["saleID"]) and not sales[row["saleID"]]["completed"]):
            self._do("drop_line", line=line)

    def finish(self) -> None:
        """Complete an open sale."""
        if sale := self._open_sale():
            self._do("finish", sale=sale)

    def edit_sale(self) -> None:
        """Write a reference on a sale, also on an old one."""
        if sale := self._some("Sale"):
            self._update("Sale", sale, "edit", referenceNumber=f"ref {self._rng.randrange(10**9)}")

    def void(self) -> None:
        """Void a sale."""
        if sale := self._some("Sale", lambda row: not row["voided"]):
            self._update("Sale", sale, "void", voided=True)

    def archive(self, name: str) -> None:
        """Archive a record, or bring an archived one back. A payment's sale does not notice."""
        if key := self._some(name):
            was = self._history.rows[name][key]["archived"]
            self._update(name, key, "un-archive" if was else "archive", archived=not was)

    def unpay(self) -> None:
        """Take a payment off its sale."""
        if payment := self._some("SalePayment"):
            self._do("unpay", payment=payment)

    def price(self) -> None:
        """Give an item another price."""
        if item := self._some("Item"):
            self._set_price(item)

    def _set_price(self, item: int, late: float | None = None) -> None:
        prices = [dict(price) for price in self._history.rows["Item"][item]["Prices"]]
        prices[0]["amount"] = f"{self._rng.randrange(100, 99_999) / 100}"
        self._update("Item", item, "price", late=late, Prices=prices)

    def edit_customer(self) -> None:
        """Write a customer's name anew."""
        if customer := self._some("Customer"):
            self._update("Customer", customer, "edit", lastName=f"Name {self._rng.randrange(10**9)}")

    def edit_account(self) -> None:
        """Describe a customer's account or a gift card."""
        if account := self._some("CreditAccount"):
            self._update("CreditAccount", account, "edit", description=f"account {self._rng.randrange(10**9)}")

    def edit_employee(self) -> None:
        """Lock an employee out, or let one in."""
        if employee := self._some("Employee"):
            out = self._history.rows["Employee"][employee]["lockOut"]
            self._update("Employee", employee, "edit", lockOut=not out)

    def delete(self, name: str) -> None:
        """Delete a record for good, as long as some are left."""
        if len(self._history.rows[name]) > 4 and (key := self._some(name)):
            self._do("delete", resource=name, key=key)

    def move_stock(self) -> None:
        """Count an item in or out."""
        if item := self._some("Item"):
            self._do("move_stock", item=item, shop=self._rng.randint(1, 2), change=self._rng.randint(-3, 9) or 1)

    def count_stock(self) -> None:
        """Take stock: many moves within a second, some of which show late."""
        for item in self._rng.sample(sorted(self._history.rows["Item"]), 20):
            self._do("move_stock", "stock-taking", item=item, shop=1, change=self._rng.randint(-3, 9) or 1)

    def import_prices(self) -> None:
        """Price many items anew in one second, shown together."""
        late = self._rng.uniform(0, LATE)
        for item in self._rng.sample(sorted(self._history.rows["Item"]), 20):
            self._set_price(item, late)

    def _update(self, name: str, key: int, note: str, *, late: float | None = None, **fields: Any) -> None:
        self._do("update", note, late=late, resource=name, key=key, fields=fields)
