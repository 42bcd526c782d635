"""Records as the API shows them: texts, and one, many or none."""

from __future__ import annotations

from typing import Any

from tests.support.small_world import body, everything


def test_every_scalar_is_a_text() -> None:
    """No JSON number, boolean or null (facts: no recorded body has one)."""

    def check(value: Any) -> None:
        assert isinstance(value, (str, dict, list)), value
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(inner)

    for name in ("Sale", "Item", "Customer", "Order", "Shop"):
        check(body(name, load_relations="all"))


def test_one_or_many_or_none() -> None:
    """A lone line is an object, none an empty text, several an array."""
    shapes = {
        type(sale["SaleLines"]["SaleLine"]).__name__ if sale["SaleLines"] else "none"
        for sale in everything("Sale", load_relations='["SaleLines"]', archived="true")
    }
    assert {"dict", "list"} <= shapes
    page = body("Sale", saleID="1", archived="true")
    assert isinstance(page["Sale"], dict)
    assert "Sale" not in body("Sale", saleID="99999")
