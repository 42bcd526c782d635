"""Personal data: what is excluded or hashed never reaches a file, by no way around."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider_lightspeed.arrow.convert import Lineage, RecordConverter
from airflow_provider_lightspeed.arrow.secrets import WITHHELD
from airflow_provider_lightspeed.arrow.tables import LAYOUTS, Layout
from airflow_provider_lightspeed.arrow.types import Selection, shape_of
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.resources.catalog import resource
from tests.support.fakes import NOON

PERSON = {
    "customerID": "7",
    "firstName": "Ada",
    "lastName": "Lovelace",
    "creditAccountID": "12",
    "dob": "1815-12-10T00:00:00+00:00",
    "Contact": {
        "contactID": "3",
        "Emails": {"ContactEmail": {"address": "ada@example.com", "useType": "Primary"}},
        "Phones": {"ContactPhone": [{"number": "555-1", "useType": "Home"}, {"number": "555-2", "useType": "Work"}]},
    },
}
SALT = Secret("pepper")


def convert(records: list[dict[str, Any]], *, salt: Secret = SALT, **selection: Any) -> pa.RecordBatch:
    """Convert customers with their contacts."""
    converter = RecordConverter(
        resource("Customer"), ["Contact"], Selection(**selection), lineage=Lineage("1", NOON), salt=salt
    )
    return converter.convert(records)


def digest(text: str, salt: str = "pepper") -> str:
    """Return what a value is replaced by."""
    return hmac.new(salt.encode(), text.encode(), hashlib.sha256).hexdigest()


def test_excluded_columns_are_neither_columns_nor_extra() -> None:
    """At the top, a nested field, and a whole nested object."""
    batch = convert([PERSON], excluded=("lastName", "Contact.Emails", "Contact.Phones.number"))
    (row,) = batch.to_pylist()
    assert "lastName" not in row
    assert "Emails" not in row["Contact"]
    assert [sorted(phone) for phone in row["Contact"]["Phones"]] == [["useType"], ["useType"]]
    assert row["_extra"] is None
    assert not re.search("Lovelace|ada@|555", str(row))


def test_hashed_values_stay_equal_where_they_were_equal() -> None:
    """HMAC-SHA-256 of the text the API sent; nothing stays nothing; another salt makes other hashes."""
    records = [PERSON, {**PERSON, "customerID": "8"}, {**PERSON, "customerID": "9", "firstName": ""}]
    rows = convert(records, hashed=("firstName", "creditAccountID", "Contact.Emails.address")).to_pylist()
    assert [row["firstName"] for row in rows] == [digest("Ada"), digest("Ada"), None]
    assert rows[0]["creditAccountID"] == digest("12")
    assert rows[0]["Contact"]["Emails"][0]["address"] == digest("ada@example.com")
    (other,) = convert([PERSON], hashed=("firstName",), salt=Secret("salt")).to_pylist()
    assert other["firstName"] == digest("Ada", "salt")


@pytest.mark.parametrize(
    "record",
    [
        {"Contact": {"Emails": {"ContactEmail": ["ada@example.com"]}}},
        {"Contact": [{"Emails": {"ContactEmail": {"address": "ada@example.com"}}}]},
        {"Contact": {"Emails": "ada@example.com"}},
    ],
)
@pytest.mark.parametrize("selection", ["excluded", "hashed"])
def test_value_that_does_not_fit_is_withheld_where_it_may_show_personal_data(
    record: dict[str, Any], selection: str
) -> None:
    """``_extra`` says that there was something, not what."""
    options: dict[str, Any] = {selection: ("Contact.Emails.address",)}
    (row,) = convert([{"customerID": "7", **record}], **options).to_pylist()
    assert "ada@" not in str(row)
    assert WITHHELD in row["_extra"]


def test_other_spelling_of_a_hashed_field_is_withheld() -> None:
    """Two spellings with two values: the second goes to ``_extra``, but not as it is."""
    converter = RecordConverter(
        resource("CCCharge"), (), Selection(hashed=("rawResponse",)), lineage=Lineage("1", NOON), salt=SALT
    )
    (row,) = converter.convert([{"ccChargeID": "1", "rawResponse": "first", "response": "second"}]).to_pylist()
    assert row["rawResponse"] == digest("first")
    assert "second" not in str(row)
    assert WITHHELD in row["_extra"]


CARD = {"creditAccountID": "12", "code": "6006491234567890", "balance": "-100"}
VENDOR = {"vendorID": "4", "name": "Acme", "integrationLogin": "shop@acme", "integrationPassword": "hunter2"}


def rows_of(name: str, record: dict[str, Any], *relations: str, **selection: Any) -> list[dict[str, Any]]:
    """Convert one record."""
    converter = RecordConverter(
        resource(name), relations, Selection(**selection), lineage=Lineage("1", NOON), salt=SALT
    )
    found: list[dict[str, Any]] = converter.convert([record]).to_pylist()
    return found


@pytest.mark.parametrize(
    ("name", "record", "relations"),
    [
        ("CreditAccount", CARD, ()),
        ("Vendor", VENDOR, ()),
        ("Customer", {"customerID": "7", "CreditAccount": CARD}, ("CreditAccount",)),
        ("Customer", {"customerID": "7", "CreditAccount": CARD}, ()),
        ("Customer", {"customerID": "7", "CreditAccount": [CARD, CARD]}, ("CreditAccount",)),
        ("Order", {"orderID": "3", "Vendor": VENDOR}, ("Vendor",)),
        ("Order", {"orderID": "3", "Vendor": VENDOR}, ()),
        ("Order", {"orderID": "3", "Vendor": {"Vendor": [VENDOR]}}, ("Vendor",)),
        ("Sale", {"saleID": "1", "novel": {"deep": [CARD, VENDOR]}}, ()),
        ("Sale", {"saleID": "1", "novel": {"apiToken": "hunter2"}, "sharedSecret": "hunter2"}, ()),
        ("CCCharge", {"ccChargeID": "1", "xnum": ["hunter2"], "response": "hunter2", "rawResponse": "hunter2!"}, ()),
        ("CreditAccount", {**CARD, "code": {"is": "hunter2"}}, ()),
    ],
)
def test_m8_secrets_are_neither_columns_nor_extra(
    name: str, record: dict[str, Any], relations: tuple[str, ...]
) -> None:
    """At the top, in a relation, in a relation nobody asked for, in a value that does not fit, in an unknown field."""
    (row,) = rows_of(name, record, *relations)
    assert not re.search("6006491234567890|shop@acme|hunter2", str(row))


def test_m8_what_is_not_secret_beside_a_secret_is_kept() -> None:
    """``code`` of a currency is no gift card."""
    (row,) = rows_of("Sale", {"saleID": "1", "Currency": {"code": "EUR"}, "CreditAccount": CARD})
    assert '"code":"EUR"' in row["_extra"]
    assert '"balance":"-100"' in row["_extra"]
    assert WITHHELD in row["_extra"]


def test_m8_secrets_that_are_named_are_written() -> None:
    """In ``columns``, at any depth, or hashed."""
    (row,) = rows_of("CreditAccount", CARD, columns=("creditAccountID", "code"))
    assert row["code"] == CARD["code"]
    (row,) = rows_of(
        "Order", {"orderID": "3", "Vendor": VENDOR}, "Vendor", columns=("orderID", "Vendor.integrationLogin")
    )
    assert row["Vendor"]["integrationLogin"] == "shop@acme"
    assert row["Vendor"]["name"] == "Acme"
    assert "integrationPassword" not in row["Vendor"]
    (row,) = rows_of("CreditAccount", CARD, hashed=("code",))
    assert row["code"] == digest(CARD["code"])
    assert row["balance"] is not None


def test_b6_columns_are_named_by_either_spelling() -> None:
    """The column has the catalog's name."""
    (row,) = rows_of(
        "Sale", {"saleID": "1", "updatetime": "2021-05-20T14:10:08+00:00"}, columns=("saleID", "updatetime")
    )
    assert row["updateTime"] is not None
    assert "total" not in row
    (row,) = rows_of("ItemShop", {"itemShopID": "1", "onWorkorder": "2.5"}, excluded=("onWorkorder",))
    assert "onWorkOrder" not in row
    assert row["_extra"] is None


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nested_column_that_loses_all_its_fields_is_left_out(layout: str) -> None:
    """A struct without fields cannot be written to Parquet; the same in both layouts, at any depth, and for ``_extra``."""
    shape = shape_of(resource("Vendor"), ["Reps"], Selection(excluded=("Reps.firstName", "Reps.lastName")))
    assert "Reps" not in [column.name for column in shape.columns]
    assert "Reps" not in Layout(shape, layout).schemas
    (row,) = rows_of(
        "Vendor", {"vendorID": "1", "Reps": {"VendorRep": {"firstName": "Ada"}}}, "Reps",
        excluded=("Reps.firstName", "Reps.lastName"),
    )  # fmt: skip
    assert "Ada" not in str(row)
    inner = [f"purchasingCurrency.{name}" for name in ("code", "symbol", "rate")]
    shape = shape_of(resource("Vendor"), (), Selection(excluded=tuple(inner)))
    assert all(not pa.types.is_struct(column.arrow) or column.arrow.num_fields for column in shape.columns)
