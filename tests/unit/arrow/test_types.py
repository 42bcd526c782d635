"""Personal data: what is excluded or hashed never reaches a file, by no way around."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider_lightspeed.arrow.convert import WITHHELD, Lineage, RecordConverter
from airflow_provider_lightspeed.arrow.types import Selection
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
