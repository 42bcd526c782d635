"""What is learned of an account's relations: how it is kept, and in which pieces relations are asked for."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.exceptions import RelationUnavailable, RequestRefused
from airflow_provider_lightspeed.extract.relations import REMEMBERED, Changed, Learned, Loading, above, merge
from airflow_provider_lightspeed.resources.catalog import resource
from tests.support.fakes import NOON

SALE = resource("Sale")
RELATIONS = tuple(SALE.relations)


@given(st.integers(1, 25))
def test_c1_pieces_hold_every_relation_with_those_above_it(most: int) -> None:
    """Each is asked for once, but for the ones that others lie below; no piece is longer than it has to be."""
    pieces = Loading(Learned(most=most)).pieces(RELATIONS)
    assert {name for piece in pieces for name in piece} == set(RELATIONS)
    for piece in pieces:
        assert all(outer in piece for name in piece for outer in above(name))
        assert len(piece) <= max(most, 3)


def test_what_was_learned_is_kept_and_believed_for_a_week() -> None:
    """Then the account is asked again."""
    loading = Loading(Learned(refused=("Quote",), most=8, page_size=50, since=NOON))
    learned = Learned.of_json(loading.learned(NOON + timedelta(days=6)).as_json())
    assert learned == Learned(("Quote",), 8, 50, NOON)
    assert learned.is_fresh(NOON + REMEMBERED - timedelta(seconds=1))
    assert not learned.is_fresh(NOON + REMEMBERED)
    assert Loading().learned(NOON).as_json() == {}
    assert Learned.of_json({}) == Learned()


def test_c2_relation_that_the_dataset_holds_cannot_be_done_without() -> None:
    """Whatever the policy: its records would be obsolete."""
    error = RequestRefused("no", status=400, said="Tried to load one or more relations that are not allowed: SaleLines")
    with pytest.raises(RelationUnavailable, match="earlier runs could load"):
        Loading(held=frozenset({"SaleLines"})).refuse(SALE, RELATIONS, error)
    assert Loading().refuse(SALE, RELATIONS, error)


def test_b6_workers_that_are_refused_at_the_same_time_all_take_the_other_spelling() -> None:
    """The first one changes it; the others were refused in the spelling that is given up, and that is no second refusal."""
    loading = Loading()
    error = RequestRefused("no", status=400, said="Unknown field updateTime")
    for _ in range(3):
        assert loading.respell(SALE, {"updateTime": "updateTime", "completed": "completed"}, error)
    assert loading.spelled("updateTime") == "updatetime"
    again = RequestRefused("no", status=400, said="Unknown field updatetime")
    assert not loading.respell(SALE, {"updateTime": "updatetime"}, again)


def test_answers_are_united_only_where_they_agree() -> None:
    """In depth: a line has the relations of both."""
    first = {"saleID": "1", "SaleLines": {"SaleLine": [{"saleLineID": "5", "Item": {"itemID": "2"}}]}}
    second = {"saleID": "1", "SaleLines": {"SaleLine": [{"saleLineID": "5", "Note": {"note": "x"}}]}, "Shop": ""}
    assert merge(first, second) == {
        "saleID": "1",
        "SaleLines": {"SaleLine": [{"saleLineID": "5", "Item": {"itemID": "2"}, "Note": {"note": "x"}}]},
        "Shop": "",
    }
    others: list[dict[str, object]] = [{"saleID": "2"}, {"SaleLines": ""}, {"SaleLines": {"SaleLine": []}}]
    for other in others:
        with pytest.raises(Changed):
            merge(first, other)
