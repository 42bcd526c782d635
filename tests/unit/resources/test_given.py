"""Names and filters as users and templates give them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lightspeed.arrow.types import Selection
from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.resources.given import conditions_of, names_of


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, None),
        ("", None),
        (" \n", None),
        ([], ()),
        ("[]", ()),
        ("SaleLines", ("SaleLines",)),
        (" SaleLines ", ("SaleLines",)),
        ("SaleLines, Customer,", ("SaleLines", "Customer")),
        ('["SaleLines", "Customer"]', ("SaleLines", "Customer")),
        ("['SaleLines', 'Customer']", ("SaleLines", "Customer")),
        ("('SaleLines',)", ("SaleLines",)),
        (["SaleLines"], ("SaleLines",)),
        (("SaleLines", "Customer"), ("SaleLines", "Customer")),
        ({"SaleLines"}, ("SaleLines",)),
        ((name for name in ["SaleLines"]), ("SaleLines",)),
    ],
)
def test_text_is_one_name_and_a_list_in_text_is_a_list(given: object, names: tuple[str, ...] | None) -> None:
    """As typed, as rendered by a template, or as given to the command line."""
    assert names_of("relations", given) == names


@pytest.mark.parametrize(
    "given", [7, True, {"SaleLines": 1}, b"SaleLines", [7], [["SaleLines"]], "[7]", "['Sale", "[a]"]
)
def test_what_is_no_list_of_names_is_refused_by_name(given: object) -> None:
    """With what was found and what is allowed."""
    with pytest.raises(InvalidArgument, match=r"^hash_columns: found .* of type .*, allowed is ") as caught:
        names_of("hash_columns", given)
    assert caught.value.field == "hash_columns"


@pytest.mark.parametrize(
    ("given", "conditions"),
    [
        (None, {}),
        ("", {}),
        ({}, {}),
        ({"completed": True}, {"completed": True}),
        ('{"completed": true, "total": ">,100"}', {"completed": True, "total": ">,100"}),
        ("{'completed': True}", {"completed": True}),
    ],
)
def test_filters_may_be_rendered_by_a_template(given: object, conditions: dict[str, Any]) -> None:
    """In JSON or in Python's notation."""
    assert conditions_of("filters", given) == conditions


@pytest.mark.parametrize("given", ["completed=true", "[1]", "null", ["completed"], 7, {7: 1}, "{7: 1}"])
def test_what_is_no_mapping_of_fields_is_refused_by_name(given: object) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidArgument, match=r"^filters: found .*, allowed is fields with their values"):
        conditions_of("filters", given)


@pytest.mark.parametrize("form", ["{}", '["{}"]', "['{}']", "{}, "])
def test_each_argument_takes_a_plain_text(form: str) -> None:
    """The job is the same, however its arguments are written."""
    found = Job.of(
        "Customer",
        relations=form.format("Contact"),
        columns=form.format("Contact"),
        exclude_columns=form.format("Contact.noMail"),
        hash_columns=form.format("Contact.custom"),
        salt=Secret("salt"),
    )
    assert found.relations == ("Contact",)
    assert found.selection == Selection(("Contact",), ("Contact.noMail",), ("Contact.custom",))


def test_one_letter_is_never_taken_for_a_name() -> None:
    """The error of a misspelled name is about the name."""
    with pytest.raises(InvalidArgument, match=r"'SaleLine' is not a known relation of Sale. Did you mean 'SaleLines'"):
        Job.of("Sale", relations="SaleLine")
    with pytest.raises(InvalidArgument, match="'totl'"):
        Job.of("Sale", columns="totl")
