"""The catalog: what the package ships, and what it says of wrong names."""

from __future__ import annotations

import re

import pytest

from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.resources.base import FieldType, Resource, Source, Strategy
from airflow_provider_lightspeed.resources.catalog import entities, resource, resource_names, resources

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


#: What is a number of goods, by name; ids, positions and counts of records are not.
GOODS = re.compile(
    r"(unit|total|break)?(quantity|qty)(2|3|received)?|.*qoh|qohchange|.*backorder|reorder(point|level)|sellable|on(layaway|"
    r"specialorder|workorder|transferin|transferout)|checkedin|numreceived|to(send|receive)|inventoryinstock",
    re.IGNORECASE,
)


def test_section_8_every_quantity_is_a_decimal() -> None:
    """Docs call quantities integers; nothing excludes a fraction, and "2.5" must not be lost."""
    fields = {(found.name, field.name): field for found in entities() for field in found.fields.values()}
    named = {key for key, field in fields.items() if GOODS.fullmatch(key[1]) and field.type is not FieldType.STRING}
    named |= {(entity, name) for entity in ("TransferItem", "InventoryTransferItem") for name in ("sent", "received")}
    quantities = {key for key, field in fields.items() if field.type is FieldType.QUANTITY}
    assert len(named) > 50
    assert named - quantities == set()
    assert not any(name.endswith("ID") for _, name in quantities)


LIVE = {
    "TaxClass": "classType",
    "PaymentType": "channel code",
    "Customer": "measurementID",
    "Sale": "calcSurcharges cashRoundingDelta cashRoundedBalance cashRoundedTotal",
    "Employee": "createTime",
    "ShipTo": "saleLineID",
    "CreditAccount": "giftCardUuid creditLimit",
    "Image": "originalFilename baseImageURL size",
    "ItemMatrix": "attribute3Values",
    "Tag": "readOnly",
    "SpecialOrder": "status",
    "Workorder": "systemSku",
    "Discount": "sourceID",
    "Register": "ccTerminalID archived",
    "Order": "subTotalCost totalCost",
    "ItemShop": "onLayaway onSpecialOrder onWorkOrder onTransferIn onTransferOut averageCost totalValueFifo "
    "totalValueAvgCost totalValueNegativeInventory lastReceivedCost lastReceivedLotID nextFifoLotCost nextFifoLotID",
}


@pytest.mark.parametrize(("name", "fields"), LIVE.items())
def test_e3_f21_f22_f24_h4_fields_of_the_live_api_have_columns(name: str, fields: str) -> None:
    """Also those that the documentation does not have."""
    assert set(fields.split()) <= set(resource(name).entity.fields)


def test_each_field_says_where_it_is_known_from() -> None:
    """The documentation, recorded answers, or live clients only."""
    sale, image, order = (resource(name).entity.fields for name in ("Sale", "Customer", "Shop"))
    assert sale["saleID"].source is Source.DOCUMENTED
    assert sale["calcSurcharges"].source is Source.LIVE
    assert image["Tags"].source is Source.RECORDED
    assert order["timeStamp"].source is not Source.LIVE
    assert {field.source for found in entities() for field in found.fields.values()} == set(Source)


SPELLINGS = {
    "Sale": "updateTime updatetime",
    "ItemShop": "onWorkOrder onWorkorder",
    "ItemFee": "timestamp timeStamp",
    "SaleLine": "SaleAccounts SalesAccounts",
    "ProcessingFee": "variablePct variablePercent",
    "CCCharge": "response rawResponse",
}


@pytest.mark.parametrize(("name", "spellings"), SPELLINGS.items())
def test_b6_two_spellings_are_one_field(name: str, spellings: str) -> None:
    """One column; a filter takes either spelling."""
    first, second = spellings.split()
    entity = resource(name).entity
    assert entity.find(first) is entity.find(second)
    assert len({first, second} & set(entity.fields)) == 1
    if entity.find(first).type is not FieldType.COLLECTION:
        resource(name).check_filters([first], ())
        resource(name).check_filters([second], ())


def test_b6_the_window_of_sales_is_asked_for_by_the_live_name() -> None:
    """``updateTime``; a server ignores a filter whose name it does not know (D6)."""
    assert resource("Sale").modified_field == "updateTime"


SECRETS = {
    "Vendor": "integrationLogin integrationPassword",
    "CreditAccount": "code",
    "CCGateway": "accountNum hashValue login otherCredentials1 otherCredentials2 transKey",
    "CCCharge": "communicationKey exp rawResponse rawVoidResponse xnum",
    "Employee": "accessPin",
    "DisplayTemplateEmployee": "accessPin",
    "Session": "sessionCookie sessionID",
}


def test_m8_secret_fields_are_marked() -> None:
    """Credentials, card data, and numbers that are worth money."""
    found = {
        entity.name: " ".join(field.name for field in entity.fields.values() if field.is_secret)
        for entity in entities()
    }
    assert {name: fields for name, fields in found.items() if fields} == SECRETS


def test_m8_no_field_that_is_named_like_a_secret_is_unmarked() -> None:
    """A field that joins the catalog has to be decided on."""
    named = re.compile(
        r".*(password|passwd|secret|token|credential|cookie|accesspin|apikey$|transkey|cvv).*", re.IGNORECASE
    )
    for found in entities():
        assert [f.name for f in found.fields.values() if named.fullmatch(f.name) and not f.is_secret] == []


def test_b4_credit_accounts_are_two_lists() -> None:
    """The plain one leaves gift cards out."""
    assert resource("CreditAccount").variants == ({}, {"giftCard": "true"})
    assert resource("CreditAccount").archived
    assert [found.name for found in resources() if len(found.variants) > 1] == ["CreditAccount"]
    assert resource("Sale").variants == ({},)


def test_c5_relations_that_the_live_api_refuses_are_not_offered() -> None:
    """Join them by key."""
    for name, relations in {"Sale": ["Note"], "SpecialOrder": ["Customer"], "Item": ["Vendor", "Season"]}.items():
        assert not set(relations) & set(resource(name).relations)
        with pytest.raises(InvalidArgument):
            resource(name).check_relations(relations)


def test_c6_sparse_relations_are_marked() -> None:
    """Their absence from a whole page says nothing."""
    found = {f"{res.name}.{rel.name}" for res in resources() for rel in res.relations.values() if rel.is_sparse}
    own = {name for name in found if name.count(".") == 1 and not name.startswith("Display")}
    assert own == {
        "CreditAccount.Contact",
        "Customer.CustomFieldValues",
        "Customer.Note",
        "Item.CustomFieldValues",
        "Item.ItemComponents",
        "Item.ItemECommerce",
        "Item.ItemVendorNums",
        "Order.CustomFieldValues",
        "Shop.CCGateway",
    }


def test_c11_shipments_come_in_small_pages() -> None:
    """Of 50, up to 300 s; everything else in the largest pages there are."""
    assert (resource("Shipment").page_size, resource("Shipment").timeout) == (50, 300.0)
    assert (resource("Sale").page_size, resource("Sale").timeout) == (100, None)


def test_f21_a_vendors_representatives_can_be_loaded() -> None:
    """A relation of Vendor, as VendorReturn shows it."""
    assert resource("Vendor").check_relations(["Reps"]) == ("Reps",)
