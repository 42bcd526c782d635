"""Where the API's answers differ from the catalog, and what is done about it."""

from __future__ import annotations

import pytest

from airflow_provider_lightspeed.arrow.convert import UNKNOWN
from airflow_provider_lightspeed.exceptions import SchemaDrift
from airflow_provider_lightspeed.extract.drift import ENOUGH_ROWS, Drift, drift_of, refuse, vanished

REPORT = {
    ("brandNew", UNKNOWN): 3,
    ("total", "not a number"): 2,
    ("tax", "more than ten decimals"): 9,
    ("saleId", "differs from saleID"): 1,
}


def test_unknown_fields_and_wrong_types_are_drift_and_rounded_values_are_not() -> None:
    """More decimals, and a second spelling, say nothing about a field's type."""
    found = drift_of(REPORT, vanished=["b", "a"])
    assert found.as_json() == {
        "unknown": {"brandNew": 3},
        "changed": {"total: not a number": 2},
        "vanished": ["a", "b"],
    }
    assert not drift_of({("tax", "more than ten decimals"): 9})


@pytest.mark.parametrize(("rows", "gone"), [(ENOUGH_ROWS - 1, set()), (ENOUGH_ROWS, {"tip"})])
def test_field_has_vanished_only_if_enough_rows_are_without_it(rows: int, gone: set[str]) -> None:
    """A few rows may lack it by chance; fields that are new are none that vanished."""
    assert vanished(["saleID", "tip"], {"saleID", "new"}, rows) == gone


def test_freeze_fails_with_every_field_named() -> None:
    """In words, and as facts for programs; without drift nothing happens."""
    refuse("Sale", Drift())
    with pytest.raises(SchemaDrift, match=r"brandNew.*total: not a number.*tip") as caught:
        refuse("Sale", drift_of(REPORT, vanished=["tip"]))
    assert caught.value.resource == "Sale"
    assert caught.value.unknown == {"brandNew": 3}
