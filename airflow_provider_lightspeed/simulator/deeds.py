"""What can be done to the shop from outside, each a transaction with a time and a moment from which it shows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from airflow_provider_lightspeed.simulator.books import Books, Draft
from airflow_provider_lightspeed.simulator.generate import Row, stamp
from airflow_provider_lightspeed.simulator.render import canonical
from airflow_provider_lightspeed.simulator.schema import entity, lists
from airflow_provider_lightspeed.simulator.till import Till, touched

#: What is wiped from a customer that is deleted (B10), and what is left of its contact.
_PERSONAL: Final = ("firstName", "lastName", "title", "company", "companyRegistrationNumber", "vatNumber")
_CONTACT: Final = frozenset({"contactID", "noEmail", "noPhone", "noMail", "custom"})


class Deeds:
    """The actions by name.

    All take ``at``, the time that they are stamped with (ISO 8601, default the machine's, over HTTP the simulator's), and
    ``visible_from`` (default at once; later changes of the same rows wait for it).

    =============  ===========================================  =====================================================
    ``sell``       ``count``, ``completed``                     a sale with lines, payments, log entries, stock moves
    ``add_line``   ``sale``                                     of an open sale
    ``drop_line``  ``line``                                     of an open sale
    ``finish``     ``sale``                                     completes an open sale and has it paid
    ``unpay``      ``payment``                                  deletes a payment, and touches its sale
    ``move_stock`` ``item``, ``shop``, ``change``               stock and log; the item itself is not touched
    ``update``     ``resource``, ``key``, ``fields``            any record, and its time stamps
    ``delete``     ``resource``, ``key``                        any record, for good; lists keep no trace of it
    ``delete_customer``  ``customer``                           what ``DELETE Customer`` does: the customer is archived, the
                                                                personal data of it, of its contact and of its credit
                                                                account are wiped; notes and custom fields stay
    =============  ===========================================  =====================================================
    """

    def __init__(self, books: Books, till: Till) -> None:
        self._books = books
        self._till = till

    def do(self, action: str, arguments: dict[str, Any]) -> Any:
        """Carry an action out and return what changed.

        :raises ValueError: unknown action, or one that the record's state does not allow.
        :raises LookupError: no such record.
        """
        till = self._till
        actions: dict[str, Callable[..., Any]] = {
            "sell": self._sell,
            "add_line": till.add_line,
            "drop_line": till.drop_line,
            "finish": till.finish,
            "unpay": till.unpay,
            "move_stock": till.move_stock,
            "update": self._update,
            "delete": self._delete,
            "delete_customer": self._delete_customer,
        }
        if action not in actions:
            msg = f"unknown action {action!r}; known: {', '.join(actions)}"
            raise ValueError(msg)
        at = _moment(arguments.pop("at", None)) or datetime.now(UTC)
        visible_from = _moment(arguments.pop("visible_from", None))
        count = int(arguments.pop("count", 1)) if action == "sell" else 1
        done = []
        for number in range(count):
            draft, moment = Draft(self._books), at + timedelta(seconds=number)
            done.append(actions[action](draft, when=stamp(moment), **arguments))
            self._books.book(draft.rows, moment, visible_from)
        return done if action == "sell" else done[0]

    def _sell(self, draft: Draft, *, when: str, completed: bool | None = None) -> int:
        sale = self._till.sell(datetime.fromisoformat(when), draft.put, completed=completed)
        for (store, _), line in list(draft.rows.items()):
            if store == "SaleLine" and line and line["itemID"]:
                self._till.take(draft, line["itemID"], line["shopID"], line["unitQuantity"], when)
        key: int = sale["saleID"]
        return key

    @staticmethod
    def _update(draft: Draft, *, resource: str, key: Any, fields: dict[str, Any], when: str) -> Row:
        listed = lists()[resource]
        row = draft.find(listed.store, key)
        stamps = {name: when for name in ("timeStamp", "updateTime") if name in listed.entity.fields}
        row = (touched(row, when) if listed.store == "Sale" else row | stamps) | fields
        draft.put(listed.store, row)
        return canonical(listed.entity, row)

    @staticmethod
    def _delete(draft: Draft, *, resource: str, key: Any, when: str) -> Any:  # noqa: ARG004 - as all actions
        draft.drop(lists()[resource].store, key)
        return key

    @staticmethod
    def _delete_customer(draft: Draft, *, customer: int, when: str) -> Row:
        found = draft.find("Customer", customer)
        wiped = found | dict.fromkeys(_PERSONAL, "") | {"dob": None, "archived": True, "timeStamp": when}
        draft.put("Customer", wiped | {"Contact": _wiped_contact(found, when)})
        if found.get("creditAccountID"):
            account = draft.find("CreditAccount", found["creditAccountID"])
            left = {"name": "", "Contact": _wiped_contact(account, when), "timeStamp": when}
            draft.put("CreditAccount", account | left)
        return canonical(entity("Customer"), wiped)

    def changes(self, after: int = 0) -> list[dict[str, Any]]:
        """Return what was written since the change of that number, in canonical form."""
        return [
            {
                "number": change.number,
                "transaction": change.transaction,
                "store": change.store,
                "key": change.key,
                "row": canonical(entity(change.store), change.row) if change.row is not None else None,
                "at": change.at.isoformat(),
                "visible_from": change.visible_from.isoformat() if change.visible_from else None,
            }
            for change in self._books.changes(after)
        ]


def _wiped_contact(owner: Row, when: str) -> Row:
    contact: Row = owner.get("Contact") or {}
    return {name: value for name, value in contact.items() if name in _CONTACT} | {"timeStamp": when}


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
