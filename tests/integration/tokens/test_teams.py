"""Companion and copies belong to the connection's team: judged by what Airflow lets a team's tasks read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

pytest.importorskip("airflow.models.team")

from airflow.api_fastapi.execution_api.routes.connections import get_connection
from airflow.api_fastapi.execution_api.routes.variables import get_variable
from airflow.models.connection import Connection
from airflow.models.team import Team
from airflow.models.variable import Variable
from fastapi import HTTPException
from sqlalchemy import delete, insert, select, update

from airflow_provider_lightspeed.auth.codec import dump
from airflow_provider_lightspeed.auth.ledger import Failure, Ledger
from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.compat import new_session
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.tokens.companion import LEDGER_TYPE, ledger_id
from airflow_provider_lightspeed.tokens.refresh import Refresher
from airflow_provider_lightspeed.tokens.status import status
from airflow_provider_lightspeed.tokens.store import locked_ledger, peek

Connect = Callable[..., str]
Stored = Callable[[str], dict[str, Any]]
CONN = "shop"


@pytest.fixture
def give(connection: Connect, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str | None], None]]:
    """Return a function that gives the connection, and nothing else, to a team."""
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    session = new_session()
    session.add_all([Team(name=name) for name in ("team_a", "team_b")])
    session.commit()

    def change(team: str | None) -> None:
        session.execute(update(Connection).where(Connection.conn_id == CONN).values(team_name=team))
        session.commit()

    connection(CONN)
    change("team_a")
    yield change
    for model in (Connection, Variable):
        session.execute(update(model).values(team_name=None))
    session.execute(delete(Team))
    session.commit()
    session.close()


def copies() -> list[str]:
    session = new_session()
    try:
        return list(session.scalars(select(Variable.__table__.c.key)))
    finally:
        session.close()


def readable(team: str | None) -> set[str]:
    """Return what Airflow's Execution API gives to a task of this team."""
    found = set()
    for name in copies():
        with suppress(HTTPException):  # 404
            get_variable(name, team)
            found.add(name)
    with suppress(HTTPException):
        get_connection(ledger_id(CONN), team)
        found.add(ledger_id(CONN))
    return found


def seed(stored: Stored) -> Claim:
    return Claim(Secret(stored(CONN)["refresh_token"]).fingerprint())


def test_only_the_connections_team_reads_its_tokens(give: Callable[[str | None], None], stored: Stored) -> None:
    """Neither the companion nor one of the copies is another team's, or that of tasks without a team."""
    assert Refresher().refresh(CONN, seed(stored)).outcome is Outcome.REFRESHED
    everything = {*copies(), ledger_id(CONN)}
    assert len(everything) == 3
    assert readable("team_a") == everything
    assert readable("team_b") == readable(None) == set()


@pytest.mark.parametrize("reader", ["status", "refresh"])
def test_tokens_follow_the_connection_to_another_team(
    give: Callable[[str | None], None], stored: Stored, reader: str
) -> None:
    """With the next read by the database's side, also for a task that can read nothing but the connection yet."""
    Refresher().refresh(CONN, seed(stored))
    before = dump(peek(CONN).ledger)
    give("team_b")
    if reader == "status":
        assert status(CONN).attention == ()
    else:
        Refresher().refresh(CONN, seed(stored))
    assert {*copies(), ledger_id(CONN)} == readable("team_b")
    assert readable("team_a") == set()
    assert dump(peek(CONN).ledger) == dump(peek(CONN).visible) == before
    token = peek(CONN).ledger.token
    assert token is not None
    assert Refresher().refresh(CONN, Claim(token.access_token.fingerprint())).outcome is Outcome.FRESH
    give(None)
    peek(CONN)
    assert readable("team_a") == readable(None) == {*copies(), ledger_id(CONN)}


def test_companion_that_another_team_plants_is_not_believed(give: Callable[[str | None], None], stored: Stored) -> None:
    """Whoever may make connections of one team could otherwise say what tokens another team's connection has."""
    evil = Ledger(generation=7, failure=Failure.DISCONNECTED, origin="row:1")
    session = new_session()
    fields = {"conn_id": ledger_id(CONN), "conn_type": LEDGER_TYPE, "extra": json.dumps(dump(evil))}
    flags = {"is_encrypted": False, "is_extra_encrypted": False, "team_name": "team_b"}
    session.execute(insert(Connection.__table__).values({**fields, **flags}))
    session.commit()
    session.close()
    assert peek(CONN).ledger == Ledger()
    assert readable("team_b") == set()
    assert Refresher().refresh(CONN, seed(stored)).outcome is Outcome.REFRESHED
    assert peek(CONN).ledger.generation == 1


def test_team_is_followed_while_somebody_refreshes(give: Callable[[str | None], None], stored: Stored) -> None:
    """A read that finds the ledger locked answers as before; the holder's save brings the team along."""
    Refresher().refresh(CONN, seed(stored))
    with locked_ledger(CONN) as locked:
        locked.read()
        give("team_b")
        assert peek(CONN).ledger.generation == 1
    peek(CONN)
    assert readable("team_a") == set()
