"""Secret fields in raw values: withheld at any depth, and nothing else with them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lightspeed.arrow.secrets import WITHHELD, without_secrets


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("newField", "x", "x"),
        ("newField", {"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
        ("apiKey", "x", WITHHELD),
        ("newField", {"user_password": "x", "name": "Ada"}, {"user_password": WITHHELD, "name": "Ada"}),
        ("newField", [{"deep": {"access_token": ["x"]}}], [{"deep": {"access_token": WITHHELD}}]),
        ("secretNote", "", ""),
        ("secretNote", None, None),
    ],
)
def test_m8_fields_that_are_secret_by_name_are_withheld(key: str, value: Any, expected: Any) -> None:
    """Whether the catalog knows them or not; what is empty shows nothing."""
    assert without_secrets(key, value) == expected


def test_m8_number_of_a_gift_card_is_told_from_other_codes_by_its_record() -> None:
    """``CreditAccount.code`` is worth money; the code of a currency is not. Known by the key it stands under, or beside."""
    card = {"creditAccountID": "1", "code": "6001", "name": "Gift card"}
    for value in ({"CreditAccount": card}, [card], {"Strange": {"Inside": card}}):
        assert "6001" not in str(without_secrets("newField", value))
        assert "Gift card" in str(without_secrets("newField", value))
    assert without_secrets("CreditAccount", {"code": "6001"}) == {"code": WITHHELD}
    assert without_secrets("Currency", {"code": "EUR"}) == {"code": "EUR"}
