"""How a ledger is stored: it comes back as it was, or not at all."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.auth.codec import dump, load
from airflow_provider_lightspeed.auth.ledger import (
    REMEMBERED_ROTATED,
    REMEMBERED_SEEDS,
    Account,
    Failure,
    Ledger,
    Place,
)
from airflow_provider_lightspeed.exceptions import LightspeedDataError
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.settings import ConnectionSettings
from tests.support.fakes import NOON, make_token

SETTINGS = ConnectionSettings("ls", "client", Secret("secret"), refresh_token=Secret("seed"))


HERE = Place("row:1", "postgresql://db/airflow")


FIRST = Ledger().granted(SETTINGS, make_token("1"), Secret("seed"), place=HERE, by="test")


def test_full_ledger_fits_into_the_smallest_text_column() -> None:
    """MySQL keeps 65,535 bytes in a connection's extra, after Fernet has added a third."""
    full = dataclasses.replace(
        FIRST, seeds=("0" * 12,) * REMEMBERED_SEEDS, rotated=("0" * 12,) * REMEMBERED_ROTATED, dead=("0" * 16,) * 16
    )
    tokens = 8 * 2_000
    assert (len(json.dumps(dump(full))) + tokens) * 4 / 3 + 200 < 65_535


@given(
    st.integers(0, 10**9),
    st.booleans(),
    st.sampled_from([None, *Failure]),
    st.lists(st.text("0123456789abcdef", min_size=12, max_size=12), max_size=5, unique=True),
)
def test_stored_ledger_comes_back_the_same(
    generation: int, with_token: bool, failure: Failure | None, seeds: list[str]
) -> None:
    """Through JSON, as it lies in the database."""
    ledger = Ledger(
        generation=generation,
        token=make_token() if with_token else None,
        predecessor=Secret("before") if with_token else None,
        siblings=(Secret("beside"),) if with_token else (),
        seeds=tuple(seeds),
        rotated=tuple(reversed(seeds)),
        failure=failure,
        failed_with="abc",
        dead=tuple(seeds),
        destination=SETTINGS.destination,
        origin="row:3",
        owner="postgresql://db/airflow http://airflow",
        refreshed_at=NOON if with_token else None,
        refreshed_by="dag.task",
        ahead=-3600.5,
        unchanged=with_token,
    )
    assert load(json.loads(json.dumps(dump(ledger)))) == ledger
    assert load({}) == Ledger()


def test_ledger_of_a_newer_package_is_not_read() -> None:
    """Half of a deployment upgraded: nothing is written back that would lose what the newer one knows."""
    with pytest.raises(LightspeedDataError, match="same version"):
        load({**dump(FIRST), "version": 99})


@pytest.mark.parametrize("account", [Account(), Account("Tea & co", 12.5, 60.0, 1.0, NOON), Account("No bucket")])
def test_account_comes_back_as_it_was_stored(account: Account) -> None:
    """With the bucket, or without one; a ledger written before there was one has none."""
    ledger = dataclasses.replace(FIRST, account=account)
    data = json.loads(json.dumps(dump(ledger)))
    assert load(data) == ledger
    del data["account"]
    assert load(data).account == Account()
