"""How a ledger is stored: it comes back as it was, or not at all."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.auth.codec import MOST, dump, load, load_token
from airflow_provider_lightspeed.auth.ledger import (
    REMEMBERED_ROTATED,
    REMEMBERED_SEEDS,
    Account,
    Failure,
    Ledger,
    Place,
)
from airflow_provider_lightspeed.auth.step import Claim, next_step, server_time
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
    st.integers(0, MOST),
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


#: Any JSON value as Python reads it: also NaN, infinities, whole numbers of any size, lone surrogates.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
ANYTHING: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.sampled_from(["***", "", "1970-01-01"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)
FULL = dataclasses.replace(
    FIRST, siblings=(Secret("beside"),), failure=Failure.INVALID_GRANT, account=Account("Tea", 1.0, 60.0, 1.0, NOON)
)
PATHS = [
    *((name,) for name in dump(FULL)),
    *(("token", name) for name in dump(FULL)["token"]),
    *(("account", name) for name in dump(FULL)["account"]),
]


def as_stored(ledger: Ledger) -> dict[str, Any]:
    """Return what lies in the database."""
    data: dict[str, Any] = json.loads(json.dumps(dump(ledger)))
    return data


def use(ledger: Ledger) -> None:
    """Do with a ledger what its readers do; none of it may fail."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    place = Place("row:1", "db")
    next_step(ledger, SETTINGS, Claim("0" * 64), place=place, now=now)
    json.dumps(dump(ledger)).encode()
    assert ledger.lapses_at is None or ledger.lapses_at > datetime.min.replace(tzinfo=UTC)
    server_time(ledger, now)
    if ledger.token:
        ledger.token.state(now)
        ledger.token.access_token.reveal().encode("latin-1")


@given(ANYTHING)
def test_any_json_value_is_a_ledger_or_the_one_error(data: object) -> None:
    """Nothing else comes out, whatever stands in the database."""
    try:
        use(load(data))
    except LightspeedDataError:
        pass


@given(st.sampled_from(PATHS), ANYTHING)
def test_any_value_in_any_field_is_a_ledger_or_the_one_error(path: tuple[str, ...], value: object) -> None:
    """One field at a time: most of the ledger is what it was."""
    data = as_stored(FULL)
    inner = data if len(path) == 1 else data[path[0]]
    inner[path[-1]] = value
    try:
        use(load(data))
    except LightspeedDataError:
        pass


@pytest.mark.parametrize("name", [name for name in dump(FIRST) if name != "account"])
def test_lost_field_is_named(name: str) -> None:
    """Every one counts: with another's default, a token that is dead would pass for fresh."""
    data = as_stored(FIRST)
    del data[name]
    with pytest.raises(LightspeedDataError, match=name):
        load(data)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("token", "access_token"), "***"),
        (("token", "refresh_token"), "***"),
        (("token",), "***"),
        (("predecessor_token",), "***"),
        (("sibling_tokens",), ["***"]),
        (("sibling_tokens",), "***"),
        (("seeds",), None),
        (("generation",), True),
        (("generation",), MOST + 1),
        (("generation",), -1),
        (("generation",), 1.0),
        (("version",), True),
        (("ahead",), float("nan")),
        (("ahead",), 10**400),
        (("refreshed_at",), "9999-12-31T23:59:59+00:00"),
        (("refreshed_at",), "0001-01-01T00:00:00+14:00"),
        (("refreshed_at",), "2026-01-01T00:00:00"),
        (("owner",), "\ud83d"),
        (("token", "access_token"), "line\nend"),
    ],
)
def test_value_that_cannot_be_used_is_refused_by_its_fields_name(path: tuple[str, ...], value: object) -> None:
    """What Airflow shows in place of a secret is none; no value is in the error."""
    data = as_stored(FULL)
    inner = data if len(path) == 1 else data[path[0]]
    inner[path[-1]] = value
    with pytest.raises(LightspeedDataError, match=path[-1]) as caught:
        load(data)
    assert "line" not in str(caught.value)


@given(ANYTHING)
def test_any_json_value_is_a_pair_or_the_one_error(data: object) -> None:
    """The pair of a consent that waits is stored by itself."""
    try:
        load_token(data)
    except LightspeedDataError:
        pass
