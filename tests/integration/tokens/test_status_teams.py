"""Whose a connection is, in a deployment with teams."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("airflow.sdk")

from airflow.models.connection import Connection
from airflow.models.team import Team
from sqlalchemy import delete, update

from airflow_provider_lightspeed.auth.ledger import Failure
from airflow_provider_lightspeed.compat import new_session
from airflow_provider_lightspeed.tokens.refresh import Refresher
from airflow_provider_lightspeed.tokens.status import connection_ids, status
from airflow_provider_lightspeed.tokens.store import ledger_id, locked_ledger

CONN = "shop"


@pytest.fixture
def of_team(
    airflow_database: None, connection: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], None]]:
    """Return a function that gives a row to the team."""
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    session = new_session()
    session.add(Team(name="team_a"))
    session.commit()

    def give(conn_id: str) -> None:
        session.execute(update(Connection).where(Connection.conn_id == conn_id).values(team_name="team_a"))
        session.commit()

    connection(CONN)
    give(CONN)
    yield give
    session.execute(update(Connection).values(team_name=None))
    session.execute(delete(Team))
    session.commit()
    session.close()


def test_connection_that_cannot_be_read_stays_its_teams(of_team: Callable[[str], None]) -> None:
    """Otherwise every team would see its ID, and what is wrong with it."""
    session = new_session()
    session.execute(update(Connection).where(Connection.conn_id == CONN).values(extra="not encrypted"))
    session.commit()
    session.close()
    found = status(CONN)
    assert (found.source, found.team) == ("", "team_a")


def test_tokens_left_over_stay_their_teams(of_team: Callable[[str], None]) -> None:
    """The companion, made for the team's connection, still says whose it was."""
    with locked_ledger(CONN) as locked:
        found = locked.read()
        assert found.stored is not None
        ledger = found.ledger.failed(found.stored.settings, Failure.INVALID_GRANT)
        assert Refresher().persist(locked, ledger, found.stored, expected=0)
    session = new_session()
    session.execute(delete(Connection).where(Connection.conn_id == CONN))
    session.commit()
    session.close()
    assert CONN in connection_ids()
    assert status(CONN).team == "team_a"
    assert ledger_id(CONN) not in connection_ids()


def test_what_there_is_not_is_no_teams(of_team: Callable[[str], None]) -> None:
    """And a deployment without teams never asks."""
    assert status("nobody").team is None
