"""A Fernet key that is lost: connecting, or a new refresh token, is all it takes. A rotated one loses nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow.models.connection import Connection
from airflow.models.variable import Variable
from cryptography.fernet import Fernet
from sqlalchemy import select, update

from airflow_provider_lightspeed.auth.codec import dump
from airflow_provider_lightspeed.auth.scopes import READ_ONLY
from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.compat import new_session
from airflow_provider_lightspeed.exceptions import InvalidArgument, LightspeedDataError
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens.create import NewConnection, create
from airflow_provider_lightspeed.tokens.refresh import Refresher
from airflow_provider_lightspeed.tokens.status import status
from airflow_provider_lightspeed.tokens.store import peek
from tests.support.fernet import forget_fernet
from tests.support.token_steps import CONN, connect

Connect = Callable[..., str]
Stored = Callable[[str], dict[str, Any]]
KEY = "AIRFLOW__CORE__FERNET_KEY"


@pytest.fixture
def use_key(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Return a function that configures Fernet keys; the tests' own comes back."""
    mine = os.environ[KEY]

    def use(keys: str) -> None:
        monkeypatch.setenv(KEY, keys)
        forget_fernet()

    yield use
    use(mine)


def new_key() -> str:
    return Fernet.generate_key().decode()


@pytest.fixture
def in_environment(
    connection: Connect, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    """Return a function that gives the environment's connection a refresh token."""

    def give(refresh_token: str) -> None:
        fields = {"conn_type": "lightspeed", **simulator.connection(refresh_token=refresh_token)}
        monkeypatch.setenv("AIRFLOW_CONN_LIGHTSPEED_DEFAULT", json.dumps(fields))

    give(simulator.grant()["refresh_token"])
    return give


def claim() -> Claim:
    found = peek(CONN)
    assert found.stored is not None
    token = found.ledger.token
    return Claim((token.access_token if token else found.stored.settings.refresh_token).fingerprint())


def test_new_refresh_token_heals(
    in_environment: Callable[[str], None], simulator: SimulatorProcess, use_key: Callable[[str], None]
) -> None:
    """The state says before what is needed, and why."""
    Refresher().refresh(CONN, claim())
    use_key(new_key())
    said = " ".join(status(CONN).attention)
    assert "another Fernet key" in said
    assert "new,old" in said
    assert "connect, or put in a new refresh token" in said
    in_environment(simulator.grant()["refresh_token"])
    assert Refresher().refresh(CONN, claim()).outcome is Outcome.REFRESHED
    assert Refresher().refresh(CONN, claim()).outcome is Outcome.FRESH
    assert status(CONN).attention == ()


def test_connecting_heals(in_environment: Callable[[str], None], use_key: Callable[[str], None]) -> None:
    """Also after the dead refresh token was tried."""
    Refresher().refresh(CONN, claim())
    use_key(new_key())
    connect(CONN)
    assert Refresher().refresh(CONN, claim()).outcome is Outcome.FRESH
    assert status(CONN).attention == ()


def test_key_that_comes_back_brings_the_tokens_back(
    in_environment: Callable[[str], None], simulator: SimulatorProcess, use_key: Callable[[str], None]
) -> None:
    """A process with a wrong key tries the refresh token that it sees, in vain, and leaves what it cannot read alone."""
    from airflow_provider_lightspeed.hooks.lightspeed import LightspeedHook

    mine = os.environ[KEY]
    assert LightspeedHook(CONN).count("Shop") > 0  # with that, the first refresh token is dead
    before = dump(peek(CONN).ledger)
    use_key(new_key())
    assert Refresher().refresh(CONN, claim()).outcome is Outcome.INVALID_GRANT
    use_key(mine)
    assert dump(peek(CONN).ledger) == dump(peek(CONN).visible) == before
    assert Refresher().refresh(CONN, claim()).outcome is Outcome.FRESH


def test_connection_that_airflow_cannot_load_is_filled_in_anew(
    connection: Connect, simulator: SimulatorProcess, stored: Stored, use_key: Callable[[str], None]
) -> None:
    """Neither its page nor its commands can: the form for a new connection does, for whoever may edit it."""
    connection()
    Refresher().refresh(CONN, claim())
    use_key(new_key())
    with pytest.raises(LightspeedDataError, match="enter client ID and secret anew"):
        peek(CONN)
    filled = {"conn_id": CONN, "client_id": simulator.client_id}
    servers = {"host": simulator.base_url, "auth_url": simulator.base_url}
    new = NewConnection.read({**filled, **servers}, Secret(simulator.client_secret), READ_ONLY)
    with pytest.raises(InvalidArgument, match="already"):
        create(new, "Ann")
    create(new, "Ann", may_replace=True)
    with pytest.raises(InvalidArgument, match="already"):
        create(new, "Ann", may_replace=True)
    assert "its tokens are lost" in " ".join(status(CONN).attention)
    connect(CONN)
    assert Refresher().refresh(CONN, claim()).outcome is Outcome.FRESH
    assert status(CONN).attention == ()


@pytest.mark.parametrize("overwritten", [False, True], ids=["", "companion overwritten afterwards"])
def test_rotated_key_loses_nothing(
    connection: Connect,
    simulator: SimulatorProcess,
    stored: Stored,
    use_key: Callable[[str], None],
    *,
    overwritten: bool,
) -> None:
    """Though nothing is refreshed in between; a look at the page while both keys are there signs the copies anew."""
    connection()
    Refresher().refresh(CONN, claim())
    before, new = dump(peek(CONN).ledger), new_key()
    use_key(f"{new},{os.environ[KEY]}")
    if overwritten:
        status(CONN)
    rotate()
    use_key(new)
    if overwritten:
        session, table = new_session(), Connection.__table__
        session.execute(update(table).where(table.c.conn_id.like("%tokens")).values(extra=None))
        session.commit()
        session.close()
    assert dump(peek(CONN).ledger) == before
    assert status(CONN).attention == () or overwritten
    token = Secret(stored(CONN)["refresh_token"]).fingerprint()
    answer = Refresher().refresh(CONN, Claim(token) if overwritten else claim())
    assert answer.outcome is (Outcome.BUSY if overwritten else Outcome.FRESH)
    assert Refresher().refresh(CONN, claim()).outcome is Outcome.FRESH
    assert len(simulator.audit("token")["requests"]) == 1


def rotate() -> None:
    """Do what ``airflow rotate-fernet-key`` does."""
    session = new_session()
    models: tuple[Any, ...] = (Connection, Variable)
    for model in models:
        for row in session.scalars(select(model)):
            row.rotate_fernet_key()
    session.commit()
    session.close()
