"""Lists whose answers say how to ask otherwise: the same records come, or an error names what lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_lightspeed.client.query import parse_condition
from airflow_provider_lightspeed.client.rest import Page
from airflow_provider_lightspeed.exceptions import (
    AccessDenied,
    LightspeedError,
    ProtocolViolation,
    RelationUnavailable,
    RequestRefused,
    ServerFault,
)
from airflow_provider_lightspeed.extract.lists import list_pages
from airflow_provider_lightspeed.extract.plan import Plan
from airflow_provider_lightspeed.extract.relations import Loading
from airflow_provider_lightspeed.resources.catalog import resource

SALE = resource("Sale")
SALES = 120
RELATIONS = ("Customer", "SaleLines", "SaleLines.Discount", "SaleLines.Item", "SalePayments", "TaxCategory")
#: Raises, or returns the relations that are loaded.
Rule = Callable[["FakeSales", tuple[str, ...], int], tuple[str, ...]]


def sale(key: int, relations: tuple[str, ...], version: int = 1) -> dict[str, Any]:
    """Return a sale with some of its relations."""
    record: dict[str, Any] = {"saleID": str(key), "customerID": "5", "taxCategoryID": "1", "total": str(version)}
    if "SaleLines" in relations:
        line = {"saleLineID": str(key * 10), "itemID": "3", "discountID": "2"}
        inner = {
            name: {"name": f"{name} of {key}"} for name in ("Discount", "Item") if f"SaleLines.{name}" in relations
        }
        record["SaleLines"] = {"SaleLine": line | inner}
    if "SalePayments" in relations:
        record["SalePayments"] = ""
    return record | {name: {"name": f"{name} of {key}"} for name in ("Customer", "TaxCategory") if name in relations}


class FakeSales:
    """A client of one list: it answers by a rule, and counts."""

    scope: tuple[str, ...] = ("employee:inventory_read",)

    def __init__(self, rule: Rule, versions: dict[int, list[int]] | None = None) -> None:
        self.rule = rule
        self.versions = versions or {}
        self.gone: set[int] = set()
        self.asked: list[tuple[tuple[str, ...], int]] = []

    def pages(
        self, path: str, *, filters: dict[str, Any], relations: tuple[str, ...], limit: int, **_: Any
    ) -> Iterator[Page]:
        """Yield pages, as the API would."""
        self.asked.append((relations, limit))
        keys = [key for key in range(1, SALES + 1) if key not in self.gone and self._admits(filters, key)]
        for start in range(0, len(keys), limit) or [0]:
            loaded = self.rule(self, relations, limit)
            records = [sale(key, loaded, self._version(key)) for key in keys[start : start + limit]]
            more = start + limit < len(keys)
            yield Page(path, start // limit, records, "more" if more else None, 1.0)

    def _version(self, key: int) -> int:
        versions = self.versions.get(key, [1])
        return versions.pop(0) if len(versions) > 1 else versions[0]

    @staticmethod
    def _admits(filters: dict[str, Any], key: int) -> bool:
        if "saleID" not in filters:
            return True
        condition = parse_condition(filters["saleID"])
        values = [int(value) for value in condition.values]
        return {"IN": key in values, ">": key > values[0], "><": values[0] <= key <= values[-1]}[condition.operator]


def read(client: FakeSales, loading: Loading | None = None, *, key: str | None = "saleID") -> list[dict[str, Any]]:
    plan = Plan(SALE, {}, RELATIONS, key=key, loading=loading or Loading())
    pages = list_pages(client, plan, "Sale", {}, limit=100)  # type: ignore[arg-type]
    return [record for page in pages for record in page.records]


WHOLE = [sale(key, RELATIONS) for key in range(1, SALES + 1)]


def failed(status: int, said: str = "Internal Server Error") -> LightspeedError:
    kind = ServerFault if status >= 500 else AccessDenied if status == 403 else RequestRefused
    return kind(f"{status}: {said}", status=status, said=said, is_permission=status == 403)


def refusing(status: int, said: str = "") -> Rule:
    def rule(*_: Any) -> tuple[str, ...]:
        raise failed(status, said)

    return rule


def at_most(most: int, records: int = 100) -> Rule:
    def rule(_: FakeSales, relations: tuple[str, ...], limit: int) -> tuple[str, ...]:
        if len(relations) > most or (relations and limit > records):
            raise failed(500)
        return relations

    return rule


@pytest.mark.parametrize("key", ["saleID", None], ids=["in the order of the key", "in any order"])
@pytest.mark.parametrize(("most", "records"), [(6, 50), (3, 100), (2, 50)])
def test_c1_pieces_give_what_all_at_once_gives(most: int, records: int, key: str | None) -> None:
    """Half a page first; then pieces for the same keys."""
    client = FakeSales(at_most(most, records))
    assert read(client, key=key) == WHOLE
    assert client.asked[0] == (RELATIONS, 100)
    assert client.asked[1] == (RELATIONS, 50)
    assert max(len(relations) for relations, _ in client.asked[-3:]) <= most


def test_c1_what_helps_nothing_is_given_up() -> None:
    """A fault of one relation alone ends the read; a gateway that is down ends it soon."""
    client = FakeSales(at_most(0))
    with pytest.raises(ServerFault):
        read(client)
    assert len(client.asked) <= 6
    down = FakeSales(refusing(503))
    with pytest.raises(ServerFault):
        read(down)
    assert len(down.asked) <= 3


def test_c1_fault_in_mid_list_costs_no_record_and_doubles_none() -> None:
    """Whatever has been handed on stays."""

    def rule(client: FakeSales, relations: tuple[str, ...], limit: int) -> tuple[str, ...]:
        client.served = getattr(client, "served", 0) + 1  # type: ignore[attr-defined]
        if client.served > 1 and limit > 50:  # type: ignore[attr-defined]
            raise failed(500)
        return relations

    for key in ("saleID", None):
        assert read(FakeSales(rule), key=key) == WHOLE


def test_c1_record_that_changes_between_pieces_is_read_again() -> None:
    """One state of it, never halves of two; one that is gone is left out; one that never rests is an error."""
    changing = FakeSales(at_most(3), {7: [1, 2, 2, 2]})
    rows = read(changing)
    assert [row["saleID"] for row in rows] == [row["saleID"] for row in WHOLE]
    assert rows[6] == sale(7, RELATIONS, 2)
    restless = FakeSales(at_most(3), {7: list(range(1000))})
    with pytest.raises(ServerFault, match="saleID 7: differs"):
        read(restless)

    def vanishing(client: FakeSales, relations: tuple[str, ...], limit: int) -> tuple[str, ...]:
        loaded = at_most(3)(client, relations, limit)
        client.gone.add(9)
        return loaded

    assert [row["saleID"] for row in read(FakeSales(vanishing))] == [str(key) for key in range(1, 121) if key != 9]


@pytest.mark.parametrize(
    ("named", "dropped"),
    [
        ("SaleLines.Item", {"SaleLines.Item"}),
        ("Customer, TaxCategory", {"Customer", "TaxCategory"}),
        ("Item", {"SaleLines.Item"}),
    ],
)
def test_c2_exactly_the_refused_relations_are_dropped(named: str, dropped: set[str]) -> None:
    """By their whole name, or by the last part of it."""
    words = f"Tried to load one or more relations that are not allowed: {named}"

    def rule(_: FakeSales, relations: tuple[str, ...], __: int) -> tuple[str, ...]:
        if dropped & set(relations):
            raise failed(400, words)
        return relations

    loading = Loading()
    kept = tuple(name for name in RELATIONS if name not in dropped)
    assert read(FakeSales(rule), loading) == [sale(key, kept) for key in range(1, SALES + 1)]
    assert set(loading.refused) == dropped


def test_c2_other_refusals_are_errors() -> None:
    """A 400 that names nothing that was asked for."""
    for words in ("Invalid filter", "Tried to load one or more relations that are not allowed: Moon"):
        client = FakeSales(refusing(400, words))
        with pytest.raises(RequestRefused):
            read(client)
        assert len(client.asked) == 1


def test_c4_relation_that_comes_only_alone_is_asked_for_alone() -> None:
    """It is dropped in company, without a word; found on the first page, and from then on read apart."""

    def rule(_: FakeSales, relations: tuple[str, ...], __: int) -> tuple[str, ...]:
        if "SaleLines" in relations and not {"Customer", "SalePayments", "TaxCategory"}.isdisjoint(relations):
            return tuple(name for name in relations if not name.startswith("SaleLines"))
        return relations

    loading = Loading()
    assert read(FakeSales(rule), loading) == WHOLE
    assert not loading.missing


def test_c4_relation_that_never_comes_is_asked_for_alone_once() -> None:
    """And named, with the number of records; relations below it are not held against it."""
    loading = Loading()
    client = FakeSales(lambda _client, relations, _: tuple(each for each in relations if "SaleLines" not in each))
    assert len(read(client, loading)) == SALES
    assert loading.missing == {"SaleLines": SALES}
    assert [relations for relations, _ in client.asked].count(("SaleLines",)) == 1
    with pytest.raises(RelationUnavailable, match="SaleLines"):
        Loading(loading.learned(None), "fail").settle(SALE)  # type: ignore[arg-type]


def test_c3_to_one_relation_without_a_key_is_no_fault() -> None:
    """A sale without a customer shows none: there is nothing to ask for."""
    loading = Loading()
    plan = Plan(SALE, {}, ("Customer",), key="saleID", loading=loading)
    client = FakeSales(lambda *_: ())
    real = sale

    def anonymous(key: int, relations: tuple[str, ...], version: int = 1) -> dict[str, Any]:
        return real(key, relations, version) | {"customerID": "0"}

    records = [anonymous(key, ()) for key in range(1, 101)]
    client.pages = lambda *_a, **_k: iter([Page("Sale", 0, records, None, 1.0)])  # type: ignore[method-assign]
    pages = list(list_pages(client, plan, "Sale", {}, limit=100))  # type: ignore[arg-type]
    assert [len(page.records) for page in pages] == [100]
    assert not loading.missing


def test_piece_with_a_record_that_was_not_asked_for_is_an_error() -> None:
    """A filter on keys that is not applied would unite strangers."""

    class Careless(FakeSales):
        @staticmethod
        def _admits(filters: dict[str, Any], key: int) -> bool:
            return True

    with pytest.raises(ProtocolViolation, match="did not apply the filter"):
        read(Careless(at_most(3, 50)))


def test_a2_denied_resource_is_named_with_its_scope() -> None:
    """A right that no scope gives is asked of the employee."""

    def rule(*_: Any) -> tuple[str, ...]:
        raise failed(403, "You do not have permission to access this resource")

    client = FakeSales(rule)
    with pytest.raises(
        AccessDenied, match=r"^Sale: .*permission.*employee:register.*employee:inventory_read"
    ) as caught:
        read(client)
    assert caught.value.resource == "Sale"
    client.scope = ("employee:all",)
    with pytest.raises(AccessDenied, match="employee who connected"):
        read(client)
