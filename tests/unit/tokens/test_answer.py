"""What a task is told when no token can be had."""

from __future__ import annotations

import pytest

pytest.importorskip("airflow")
from airflow_provider_lightspeed.auth.step import Outcome
from airflow_provider_lightspeed.tokens.answer import Answer, failure


@pytest.mark.parametrize("outcome", [found for found in Outcome if found not in (Outcome.REFRESHED, Outcome.FRESH)])
def test_every_bad_outcome_says_what_to_do_and_where(outcome: Outcome) -> None:
    """The connection's ID stands in each message."""
    error = failure("my_shop", Answer(outcome))
    assert "my_shop" in str(error)
