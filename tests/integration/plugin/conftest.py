"""A site to go through, with users of all roles and, if asked for, teams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow.sdk")

from tests.support.visits import TEAM_USERS, USERS, Site


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """What the deployment is configured with; tests may add to it before they ask for the site."""
    return {
        "core__auth_manager": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "core__simple_auth_manager_users": ",".join(f"{name}:{role}" for name, role in USERS.items()),
        "core__simple_auth_manager_passwords_file": str(tmp_path / "passwords.json"),
        "api__secret_key": "s" * 64,
        "api__base_url": "http://testserver",
        "api_auth__jwt_secret": "j" * 64,
    }


@pytest.fixture
def site(airflow_database: None, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The page, behind a real auth manager."""
    from airflow.api_fastapi.app import init_auth_manager, purge_cached_app

    for name, value in settings.items():
        monkeypatch.setenv(f"AIRFLOW__{name.upper()}", value)
    purge_cached_app()
    init_auth_manager()
    yield Site()
    purge_cached_app()


@pytest.fixture
def teams(settings: dict[str, str], airflow_database: None) -> Iterator[None]:
    """A deployment with teams; ask for it before the site."""
    from airflow.models.connection import Connection
    from airflow.models.team import Team

    from airflow_provider_lightspeed.compat import new_session

    users = ",".join(f"{name}:{role}" for name, role in (USERS | TEAM_USERS).items())
    settings |= {"core__multi_team": "True", "core__simple_auth_manager_users": users}
    session = new_session()
    session.add_all([Team(name=name) for name in ("team_a", "team_b")])
    session.commit()
    yield
    session.query(Connection).update({"team_name": None})
    session.query(Team).delete()
    session.commit()
    session.close()


@pytest.fixture
def belongs() -> Callable[[str, str], None]:
    """Return a function that gives a connection, and its companion if there is one, to a team."""

    def give(conn_id: str, team: str) -> None:
        from airflow.models.connection import Connection

        from airflow_provider_lightspeed.compat import new_session

        session = new_session()
        session.query(Connection).filter(Connection.conn_id.startswith(conn_id)).update({"team_name": team})
        session.commit()
        session.close()

    return give


@pytest.fixture
def contents() -> Callable[[], list[Any]]:
    """Return a function that reads every connection and variable, as it lies in the database."""

    def read() -> list[Any]:
        from airflow.models.connection import Connection
        from airflow.models.variable import Variable
        from sqlalchemy import select

        from airflow_provider_lightspeed.compat import new_session

        session = new_session()
        try:
            return [
                tuple(row)
                for table in (Connection.__table__, Variable.__table__)
                for row in session.execute(select(table).order_by(table.c.id))
            ]
        finally:
            session.close()

    return read
