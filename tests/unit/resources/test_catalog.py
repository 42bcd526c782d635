"""The catalog: what the package ships, and what it says of wrong names."""

from __future__ import annotations

import pytest

from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.resources.base import FieldType, Resource, Strategy
from airflow_provider_lightspeed.resources.catalog import resource, resource_names, resources

NAMED = [
    "Sale",
    "SaleLine",
    "SalePayment",
    "Item",
    "ItemShop",
    "Customer",
    "Employee",
    "Shop",
    "Register",
    "Category",
    "Manufacturer",
    "Vendor",
    "Order",
    "OrderLine",
    "InventoryLog",
    "TaxCategory",
    "PaymentType",
]


@pytest.mark.parametrize("name", NAMED)
def test_main_resources_are_there(name: str) -> None:
    """With a key of their own."""
    found = resource(name)
    assert found.primary_key in found.entity.fields


@pytest.mark.parametrize("found", list(resources()), ids=lambda found: found.name)
def test_each_entry_is_consistent(found: Resource) -> None:
    """Keys, modification fields, sort fields and parents name what exists; relations lead somewhere."""
    assert found.path
    assert found.envelope
    assert (found.strategy is Strategy.MODIFIED) <= (found.modified_field is not None)
    for name in filter(None, (found.primary_key, found.modified_field, found.created_field)):
        found.entity.find(name)
    if found.modified_field and found.strategy is Strategy.MODIFIED:
        assert found.entity.find(found.modified_field).type is FieldType.DATETIME
    for parent in found.parents:
        assert f"{{{parent.placeholder}}}" in found.path
        assert parent.resource in resource_names()
    for name, relation in found.relations.items():
        assert relation.cost >= 0
        parent_name = name.rpartition(".")[0]
        embedded = {field.name for field in found.entity.fields.values() if field.embedded}
        assert not parent_name or parent_name in found.relations or parent_name in embedded


def test_sale_moves_by_its_update_time() -> None:
    """``timeStamp`` of a sale does not move with its lines (docs: tutorials/sales)."""
    assert resource("Sale").modified_field is not None
    assert resource("Sale").entity.find(str(resource("Sale").modified_field)).name == "updateTime"


def test_unknown_names_suggest_the_nearest() -> None:
    """Whatever the case."""
    with pytest.raises(InvalidArgument, match="Did you mean 'Sale'"):
        resource("sales")
    with pytest.raises(InvalidArgument, match="'SaleLines'"):
        resource("Sale").check_relations(["SaleLine"])
    with pytest.raises(InvalidArgument, match="'completed'"):
        resource("Sale").check_filters(["complete"], ())


def test_dotted_relations_bring_their_parents() -> None:
    """In catalog order, whatever the order asked for."""
    assert resource("Sale").check_relations(["SaleLines.Item"]) == ("SaleLines", "SaleLines.Item")


def test_filters_may_reach_into_loaded_relations() -> None:
    """One dot deep, and only if the relation is loaded."""
    found = resource("Sale")
    found.check_filters(["Customer.firstName", "completed", "or"], ["Customer"])
    with pytest.raises(InvalidArgument, match="add it to relations"):
        found.check_filters(["Customer.firstName"], [])


def test_page_of_the_documentation_is_spelled_as_the_documentation_spells_it() -> None:
    """By resource, by path, and the one that is neither; all are below the endpoints."""
    for name, page in {
        "ItemShop": "ItemShop",
        "ItemImage": "Item-Image",
        "InventoryTransferItem": "Inventory-Transfer-TransferItems",
        "OrderShipment": "OrderShipment",
        "DisplayTemplateWorkorder": "DisplayTemplate-Workorder",
        "ReportsAccountingTaxesByDay": "Reports-Accounting-TaxesByDay",
    }.items():
        assert resource(name).docs_url == f"https://developers.lightspeedhq.com/retail/endpoints/{page}/"
    for found in resources():
        page = found.docs_url.removeprefix("https://developers.lightspeedhq.com/retail/endpoints/").removesuffix("/")
        assert page.lower() == found.docs.removeprefix("endpoints/")
        assert page != page.lower()
