"""The shop behind the API: its records, the answers to list and single reads, and changes on demand."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from airflow_provider_lightspeed.simulator import query as queries
from airflow_provider_lightspeed.simulator.answer import Answer
from airflow_provider_lightspeed.simulator.books import Books
from airflow_provider_lightspeed.simulator.caller import Caller
from airflow_provider_lightspeed.simulator.deeds import Deeds
from airflow_provider_lightspeed.simulator.generate import Generator, Plan, Row
from airflow_provider_lightspeed.simulator.live import DOCUMENTED, Live
from airflow_provider_lightspeed.simulator.paging import SortedList, limit_of, link, sort_of, sorted_list, span
from airflow_provider_lightspeed.simulator.query import Condition, Refused
from airflow_provider_lightspeed.simulator.render import canonical, one_or_many, record, with_relations
from airflow_provider_lightspeed.simulator.replies import api_error_body
from airflow_provider_lightspeed.simulator.reports import REPORTS
from airflow_provider_lightspeed.simulator.retail import names, stock, trade
from airflow_provider_lightspeed.simulator.schema import ListSpec, always_inside, entity, lists, store_of, stores
from airflow_provider_lightspeed.simulator.scopes import may_read
from airflow_provider_lightspeed.simulator.session import session
from airflow_provider_lightspeed.simulator.till import Till

#: Lists that the documentation shows without ``@attributes``.
BARE: Final = frozenset({"CurrencyRate", "Option", "Locale"})
#: Lists that the documentation shows with a count.
COUNTED: Final = frozenset({"CatalogSearch", "Image", "ItemImage", "ItemMatrixImage"})
#: What the documentation shows inside a record that was written, not inside one that was read.
ONLY_IN_WRITES: Final = frozenset({("Sale", "Shop")})
#: Old names of time zones that shops still have (G2).
ZONES: Final = {
    "America/New_York": "US/Eastern",
    "America/Chicago": "US/Central",
    "America/Denver": "US/Mountain",
    "America/Los_Angeles": "US/Pacific",
}
_KEPT_RESULTS: Final = 24
_SHIPMENTS: Final = 50
_LONGEST_KEY: Final = 18
_SESSION: Final = re.compile(r"/API(?:/V3)?/Session(?:\.json|\.xml)?")
ANYONE: Final = Caller()
_FORBIDDEN: Final = "You do not have permission to access this resource"
_SPECIAL: Final = frozenset({"itemCode", "template", "copies", "all_labels", "catalogVendorID", "giftCard"})
_MANY_KEYS: Final = {"ItemComponents": "assemblyItemID", "WithdrawalPayments": "creditAccountID"}
_FLAGS: Final = {"Layaways": "isLayaway", "SpecialOrders": "isSpecialOrder", "Workorders": "isWorkorder"}


class World:
    """One account. Make it with :meth:`generate`."""

    def __init__(self, plan: Plan, made: dict[str, list[Row]]) -> None:
        self._plan = plan
        self._stores = made
        self._books = Books(made)
        self._till = Till(plan, made)
        self._deeds = Deeds(self._books, self._till)
        self.behave(DOCUMENTED)

    @classmethod
    def generate(
        cls,
        seed: int,
        *,
        sales: int,
        items: int,
        customers: int,
        days: int,
        registers: int,
        now: datetime,
        account_id: str,
    ) -> World:
        """Make a shop; the same arguments make the same one.

        :param days: of history before ``now``.
        """
        plan = Plan(
            seed, sales, max(items, 1), max(customers, 1), days, max(registers, 1), now.astimezone(UTC), account_id
        )
        generator = Generator(plan)
        made: dict[str, list[Row]] = {name: generator.rows(name) for name in stores()}
        names(plan, made)
        stock(plan, made)
        trade(plan, made)
        return cls(plan, made)

    @property
    def account_id(self) -> str:
        """The account's key."""
        return self._plan.account_id

    @property
    def account_name(self) -> str:
        """The account's name."""
        return f"Example Retail {self._plan.account_id}"

    @property
    def register_count(self) -> int:
        """Registers of the subscription."""
        return self._plan.registers

    def behave(self, live: Live) -> None:
        """Take on the behaviours of the live API that are switched on, and drop the others."""
        self._live = live
        self._lists = {name: listed.behaving(live) for name, listed in lists().items()}
        self._empty = live.names("C6")
        zones = {old: alias if "G2" in live else zone for zone, alias in ZONES.items() for old in (zone, alias)}
        for shop in self._stores["Shop"]:
            shop["timeZone"] = zones.get(shop["timeZone"], shop["timeZone"])
        self._till.is_camel_case = "K2" in live
        for entry in self._stores["InventoryLog"]:
            entry["reason"] = self._till.reason(entry["reason"])
        self._forget()

    def _settle(self, now: datetime) -> None:
        """Show what was written before and shows by now."""
        if self._books.settle(now):
            self._forget()

    def _forget(self) -> None:
        self._indexes: dict[tuple[str, str], dict[Any, list[Row]]] = {}
        self._results: OrderedDict[Any, SortedList] = OrderedDict()

    # -- reading ----------------------------------------------------------------------------------------------------

    def rows(self, name: str, *, now: datetime | None = None) -> Sequence[Any]:
        """Return all records of a resource in canonical form.

        :param now: as they show at that time, which cannot go back; default as they were shown last.
        :raises LookupError: unknown resource.
        """
        if now is not None:
            self._settle(now)
        listed = self._lists[name]
        found = [
            canonical(listed.entity, row) for row in self._source(listed) if all(row.get(key) for key in listed.parents)
        ]
        if name == "Account":
            found = [row | {"link": None} for row in found]
        return found

    def _source(self, listed: ListSpec) -> list[Row]:
        if listed.name in REPORTS:
            return REPORTS[listed.name](self._stores)
        if listed.store.endswith("Label"):
            source = (
                "OrderLine" if "OrderLine" in listed.name else "TransferItem" if "Transfer" in listed.name else "Item"
            )
            return [
                {
                    "itemID": row["itemID"],
                    "copies": 1,
                    "orderID": row.get("orderID", 0),
                    "m": {"currency_symbol": "$", "price": "9.99", "title": f"Label {row['itemID']}"},
                    **{name: number for name in listed.sortable if name != "itemID"},
                }
                for number, row in enumerate(self._stores[source], 1)
            ]
        return self._stores.get(listed.store, [])

    def query(
        self,
        path: str,
        params: Mapping[str, str],
        *,
        base_url: str,
        now: datetime,
        caller: Caller = ANYONE,
    ) -> Answer:
        """Answer a GET of ``path``."""
        self._settle(now)
        if _SESSION.fullmatch(path):
            known = (row for row in self._stores["Employee"] if str(row["employeeID"]) == caller.employee_id)
            return Answer(200, orjson.dumps(session(caller, next(known, {}), len(self._stores["Shop"]))), 1.0, 1)
        listed, parents = self._find(path)
        if listed is None:
            return Answer(404, api_error_body(404, f"No such endpoint: {path}"), 1.0, 0)
        if not may_read(caller.scope, listed.scopes) or listed.name in self._live.names("A2"):
            return Answer(403, api_error_body(403, _FORBIDDEN), 1.0, 0)
        return self._answer(listed, parents, dict(params), f"{base_url}{path}")

    def _find(self, path: str) -> tuple[ListSpec | None, dict[str, str]]:
        """Return the list that a path names, and the keys in the path."""
        for listed in self._lists.values():
            match = listed.pattern.fullmatch(path)
            if match:
                return listed, match.groupdict()
        return None, {}

    def price(self, path: str, params: Mapping[str, str]) -> float:
        """Return the drips that a GET of ``path`` costs; 1 where it is refused before its cost is known."""
        listed, parents = self._find(path)
        if listed is None:
            return 1.0
        try:
            return self._cost(listed, dict(params), single=parents["_id"] is not None)[2]
        except Refused:
            return 1.0

    @staticmethod
    def _cost(
        listed: ListSpec, params: dict[str, str], *, single: bool
    ) -> tuple[tuple[str, ...], list[Condition], float]:
        """Return the relations and alternatives of a request, and its cost.

        :raises Refused: they are not what the API takes.
        """
        relations = queries.parse_relations(listed, params.get("load_relations", "[]"), single=single)
        ors = queries.parse_or(listed, frozenset(relations), params["or"]) if "or" in params else []
        return relations, ors, queries.cost_of(listed, relations, params, ors, single=single)

    def _answer(self, listed: ListSpec, parents: dict[str, str], params: dict[str, str], url: str) -> Answer:
        key = parents.pop("_id", None)
        cost = 1.0
        if listed.name == "Account" and "C9" in self._live:
            params = {name: text for name, text in params.items() if name not in ("limit", "sort", "after", "before")}
        try:
            relations, ors, cost = self._cost(listed, params, single=key is not None)
            if key is not None:
                return self._single(listed, key, relations, cost)
            return self._page(listed, parents, params, relations, ors, cost, url)
        except Refused as refusal:
            return Answer(refusal.status, api_error_body(refusal.status, refusal.message), cost, 0)

    def _single(self, listed: ListSpec, key: str, relations: tuple[str, ...], cost: float) -> Answer:
        found = self._by(listed.store, listed.primary_key or "", int(key)) if len(key) <= _LONGEST_KEY else []
        if not found:
            message = f"Object of type '{listed.envelope}' not found with primary ID '{key}'."
            return Answer(404, api_error_body(404, message), cost, 0)
        shown = self._show(listed, found[0], relations)
        body = {"@attributes": {"count": "1"}} | (shown if listed.name == "Account" else {listed.envelope: shown})
        return Answer(200, orjson.dumps(body), cost, 1)

    def _page(
        self,
        listed: ListSpec,
        parents: dict[str, str],
        params: dict[str, str],
        relations: tuple[str, ...],
        ors: list[Condition],
        cost: float,
        url: str,
    ) -> Answer:
        counting = "count" in params
        if counting and params["count"] != "1":
            raise Refused(f"Invalid value for count: '{params['count']}'.")
        if counting and {"limit", "sort", "after", "before"} & params.keys():
            raise Refused("count cannot be combined with limit, sort or a cursor.")
        limit = limit_of(params)
        sort = sort_of(listed, params)
        result = self._result(listed, parents, params, relations, ors, sort)
        if counting:
            return Answer(200, orjson.dumps({"@attributes": {"count": str(len(result.rows))}}), cost, 0)
        start, stop = span(listed, result, params, sort, limit)
        shown = [self._show(listed, row, relations) for row in result.rows[start:stop]]
        body: dict[str, Any] = {}
        if listed.name == "Account":
            body["@attributes"] = {"count": str(len(shown))}
        elif listed.name not in BARE:
            more, before = stop < len(result.rows) and stop > start, start > 0 and stop > start
            body["@attributes"] = {
                "next": link(url, params, sort, limit, "after", result.keys[stop - 1]) if more else "",
                "previous": link(url, params, sort, limit, "before", result.keys[start]) if before else "",
            }
            if listed.name in COUNTED:
                body["@attributes"]["count"] = str(len(result.rows))
        if shown:
            body[listed.envelope] = one_or_many(shown)
        seconds = self._live.shipment_seconds if listed.name == "Shipment" and limit > _SHIPMENTS else 0.0
        return Answer(200, orjson.dumps(body), cost, len(shown), seconds)

    def _show(self, listed: ListSpec, row: Row, relations: tuple[str, ...]) -> dict[str, Any]:
        wanted = tuple(
            name for name, facts in listed.relations.items() if name in relations or facts.get("always_loaded")
        )
        wire = with_relations(
            listed.entity, listed.store, row, queries.relation_tree(wanted), listed.relations, self._resolve
        )
        for spec in always_inside(listed.entity.name):
            if (listed.name, spec.name) in ONLY_IN_WRITES:
                continue
            if spec.wire not in wire and spec.target:
                one = {"cardinality": "one", "target": spec.target}
                found = self._resolve(listed.store, row, spec.name, one)
                wire |= {spec.wire: record(entity(spec.target), found)} if found else {}
        if names := self._live.sale_change_time if listed.name == "Sale" else None:
            wire[names[0]] = wire.pop(names[1], wire.get(names[0]))
        if listed.name == "Account":
            wire["link"] = {"@attributes": {"href": f"/API/V3/Account/{self.account_id}"}}
        return wire

    def _resolve(self, store: str, row: Mapping[str, Any], name: str, facts: Mapping[str, Any]) -> Any:
        """Find what a relation of a record leads to."""
        if f"{store}.{name}" in self._empty and (store != "CreditAccount" or row.get("giftCard")):
            return None
        inside = row.get(name) or row.get(facts.get("container_key", name))
        if inside and not isinstance(inside, str):
            return inside["tag"] if name == "Tags" else inside
        target = facts["target"]
        if target is None or isinstance(row.get(name), str):
            return None
        target_store = store_of(target)
        if facts["cardinality"] == "one":
            wanted = ("parentid" if name == "Parent" else f"{name}id").lower()
            key = next((value for field, value in row.items() if field.lower() == wanted), 0)
            primary = self._primary(target_store)
            found = self._by(target_store, primary, key) if key and primary else []
            if not found and primary and (own := self._primary(store)) and own != primary and not key:
                found = (
                    self._by(target_store, own, row.get(own))[:1]
                    if own in _sample(self._stores.get(target_store))
                    else []
                )
            return found[0] if found else None
        own = self._primary(store)
        if name in _FLAGS:
            return [
                line for line in self._by("SaleLine", "customerID", row.get("customerID")) if line.get(_FLAGS[name])
            ]
        return self._by(target_store, _MANY_KEYS.get(name, own), row.get(own)) if own else []

    @staticmethod
    def _primary(store: str) -> str:
        return entity(store).primary_key or ""

    def _by(self, store: str, field: str, value: Any) -> list[Row]:
        index = self._indexes.get((store, field))
        if index is None:
            index = self._indexes[store, field] = {}
            for row in self._stores.get(store, ()):
                index.setdefault(row.get(field), []).append(row)
        return index.get(value, [])

    def _result(
        self,
        listed: ListSpec,
        parents: dict[str, str],
        params: dict[str, str],
        relations: tuple[str, ...],
        ors: list[Condition],
        sort: tuple[str, bool],
    ) -> SortedList:
        """Return the filtered list; pages of one read share it until something changes."""
        filters = {name: text for name, text in params.items() if name not in queries.CONTROLS}
        cached = (
            listed.name,
            tuple(parents.items()),
            tuple(sorted(filters.items())),
            params.get("or"),
            params.get("archived"),
            sort,
            relations if any("." in name for name in filters) or ors else (),
        )
        if cached in self._results:
            self._results.move_to_end(cached)
            return self._results[cached]
        keys = queries.key_range(listed, filters) if sort == (listed.primary_key, False) else None
        if keys:
            rest = {name: text for name, text in params.items() if name != listed.primary_key}
            result = self._result(listed, parents, rest, relations, ors, sort).between(*keys)
        else:
            rows = self._filtered(listed, parents, params, filters, frozenset(relations), ors)
            result = sorted_list(listed, rows, sort)
        self._results[cached] = result
        if len(self._results) > _KEPT_RESULTS:
            self._results.popitem(last=False)
        return result

    def _filtered(
        self,
        listed: ListSpec,
        parents: dict[str, str],
        params: dict[str, str],
        filters: dict[str, str],
        loaded: frozenset[str],
        ors: list[Condition],
    ) -> list[Row]:
        missing = [name for name in listed.required_params if not filters.get(name)]
        if missing:
            raise Refused(f"Missing parameter: {', '.join(missing)}.")
        rows = self._source(listed)
        for name, value in parents.items():
            rows = [row for row in rows if str(row.get(name, "")) == value]
        archived = params.get("archived", "false")
        if archived not in ("true", "false", "only", "1", "0"):
            raise Refused(f"Invalid value for archived: '{archived}'.")
        ignores_archived = listed.name == "Sale" and "B1" in self._live
        if listed.archived and archived not in ("true", "1") and not ignores_archived:
            rows = [row for row in rows if bool(row.get("archived", False)) is (archived == "only")]
        if listed.period:
            first, last = _day(filters, "startDate"), _day(filters, "endDate")
            rows = [row for row in rows if first <= row["date"] <= last]
        special = _special(listed, filters)
        rows = [row for row in rows if special(row)]
        conditions = [queries.parse_condition(listed, loaded, name, text) for name, text in filters.items()]
        for condition in filter(None, conditions):
            rows = [row for row in rows if self._holds(listed, row, condition)]
        return (
            [row for row in rows if any(self._holds(listed, row, condition) for condition in ors)]
            if ors
            else list(rows)
        )

    def _holds(self, listed: ListSpec, row: Row, condition: Condition) -> bool:
        if not condition.relation:
            return condition.holds(row.get(condition.name, condition.spec.default if condition.spec else None))
        found = self._resolve(listed.store, row, condition.relation, listed.relations[condition.relation])
        related = found if isinstance(found, list) else [found] if found else []
        spec = condition.spec
        if spec is None:  # Contact.email and the like: documented parameters, inside the contact's own lists
            return any(condition.holds(text) for item in related for text in _reachable(item, condition.name))
        return any(condition.holds(item.get(condition.name, spec.default)) for item in related)

    # -- changing ---------------------------------------------------------------------------------------------------

    def mutate(self, action: str, **arguments: Any) -> Any:
        """Change the shop and return what changed; :class:`~.deeds.Deeds` says what can be done.

        :raises ValueError: unknown action, or one that the record's state does not allow.
        :raises LookupError: no such record.
        """
        changed = self._deeds.do(action, arguments)
        self._forget()
        return changed

    def changes(self, after: int = 0) -> list[dict[str, Any]]:
        """Return what was changed since the change of that number: whole records, and when they show.

        :param after: 0 for all; of the last 200,000.
        """
        return self._deeds.changes(after)


def _sample(rows: list[Row] | None) -> Row:
    return rows[0] if rows else {}


def _day(filters: dict[str, str], name: str) -> str:
    """Take a date, or the date of a time, out of the parameters (ISO 8601)."""
    text = filters.pop(name)
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"Invalid value for {name}: '{text}'.") from None
    return text[:10]


def _reachable(contact: Row, name: str) -> list[str]:
    """Return the e-mail addresses of a contact, or its numbers of a kind such as phoneHome; ``""`` if it has none."""
    if name == "email":
        return [each["address"] for each in contact.get("Emails") or ()] or [""]
    kind = name.removeprefix("phone").lower()
    return [each["number"] for each in contact.get("Phones") or () if each["useType"].lower() == kind] or [""]


def _special(listed: ListSpec, filters: dict[str, str]) -> Callable[[Row], bool]:
    """Take the parameters out that are no filters of a field."""
    own = {name: filters.pop(name) for name in _SPECIAL & listed.query_params & filters.keys()}
    code = own.get("itemCode")
    hides_gift_cards = listed.name == "CreditAccount" and "B4" in listed.live
    gift = own.get("giftCard", "false" if hides_gift_cards else None)

    def admits(row: Row) -> bool:
        if code is not None and code not in (str(row.get("itemID")), row.get("upc"), row.get("ean")):
            return False
        return gift is None or bool(row.get("giftCard", False)) is (gift == "true")

    return admits
