"""What a consent may ask for."""

from __future__ import annotations

import pytest

from airflow_provider_lightspeed.auth.scopes import READ_ONLY, SCOPES, checked
from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.simulator.scopes import SCOPES as REAL


def test_scopes_are_those_that_the_server_knows() -> None:
    """Every documented one, and none that the authorize endpoint would refuse."""
    assert set(SCOPES) == set(REAL)


def test_what_only_reads_comes_first_and_is_part_of_the_list() -> None:
    """The checklist shows it in this order, and chooses these unless told otherwise."""
    assert tuple(SCOPES)[: len(READ_ONLY)] == READ_ONLY


def test_repeated_scope_is_asked_for_once_in_the_order_given() -> None:
    """A form may send a box twice."""
    assert checked(("employee:reports", "employee:all", "employee:reports")) == ("employee:reports", "employee:all")


@pytest.mark.parametrize(
    "scope", [(), ("",), ("employee:al",), ("employee:all", "employee:all state=x"), ("employee:all&client_id=evil",)]
)
def test_scope_that_there_is_not_is_refused_with_those_that_there_are(scope: tuple[str, ...]) -> None:
    """Also one that would smuggle something else into the address."""
    with pytest.raises(InvalidArgument, match="employee:all"):
        checked(scope)
