"""What the store can hold, without a database."""

from __future__ import annotations

import pytest

pytest.importorskip("airflow")
from airflow_provider_lightspeed.settings import LONGEST_ID
from airflow_provider_lightspeed.tokens.copies import copy_key
from airflow_provider_lightspeed.tokens.store import ledger_id


def test_longest_id_leaves_room_for_companion_and_copies() -> None:
    """Airflow's columns hold 250 characters."""
    longest = "x" * LONGEST_ID
    assert len(ledger_id(longest)) < len(copy_key(longest, 99_999_999, 99_999_999)) == 250
    assert "token" in copy_key("shop", 1, 0)  # what Airflow masks in its pages by
