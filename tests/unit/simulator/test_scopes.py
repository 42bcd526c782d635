"""What scopes may be asked for, and what they open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.simulator.errors import OAuthError
from airflow_provider_lightspeed.simulator.scopes import SCOPES, may_read, parse_scope


@given(st.lists(st.sampled_from(sorted(SCOPES)), min_size=1, max_size=5), st.sampled_from([" ", "+"]))
def test_scopes_are_joined_by_blanks_or_plus_signs(names: list[str], joint: str) -> None:
    """Each counts once, in the order given."""
    assert parse_scope(joint.join(names)) == tuple(dict.fromkeys(names))


@pytest.mark.parametrize("text", ["", " ", "employee:everything", "employee:all register"])
def test_scope_that_there_is_not_is_refused(text: str) -> None:
    """And so is none at all."""
    with pytest.raises(OAuthError, match="invalid_scope"):
        parse_scope(text)


@pytest.mark.parametrize(
    ("granted", "wanted", "opens"),
    [
        (["employee:all"], ["employee:admin"], True),
        (["employee:register"], ["employee:register"], True),
        (["employee:register_read"], ["employee:register"], True),
        (["employee:register"], ["employee:register_read"], False),
        (["employee:inventory"], ["employee:register", "employee:inventory"], True),
        (["employee:inventory"], ["employee:register"], False),
        ([], [], True),
    ],
)
def test_one_of_the_scopes_of_a_page_is_enough(granted: list[str], wanted: list[str], opens: bool) -> None:
    """``employee:x_read`` reads what ``employee:x`` opens, and not the other way round."""
    assert may_read(granted, wanted) is opens
