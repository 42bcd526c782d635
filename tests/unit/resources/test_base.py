"""What a resource says of relations, filters and its documentation."""

from __future__ import annotations

import pytest

from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.resources.catalog import resource, resources


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
