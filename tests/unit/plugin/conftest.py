"""The page in this process: the app mounted as Airflow does it, and a real simple auth manager with real log-ins."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow.sdk")

import requests
from fastapi import FastAPI
from fastapi.testclient import TestClient

from airflow_provider_lightspeed.plugin.app import create_app

#: Role of each user; ``user`` and ``viewer`` may not even read connections.
USERS = {"ann": "admin", "otto": "op", "uma": "user", "vic": "viewer"}
TEAM_USERS = {"tom": "op:team_a", "tim": "op:team_b"}
FORM_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')


class Site:
    """Airflow's root app, as far as the page sees it."""

    def __init__(self) -> None:
        self.app = create_app()
        self.root = FastAPI()
        self.root.mount("/lightspeed", self.app)

    def browser(self, user: str | None = None, **claims: Any) -> TestClient:
        """Return a browser that has logged in, follows no redirect, and keeps cookies."""
        found = TestClient(self.root, follow_redirects=False, raise_server_exceptions=False)
        if user:
            from airflow.api_fastapi.app import get_auth_manager
            from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

            role, _, team = (USERS | TEAM_USERS)[user].partition(":")
            facts = {"role": role, "teams": [team] if team else []} | claims
            found.cookies.set("_token", get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=user, **facts)))
        return found


def form_token(browser: TestClient, path: str = "/lightspeed/new") -> str:
    """Return what a form of this user's page carries."""
    found = FORM_TOKEN.search(browser.get(path).text)
    assert found, "no form on this page"
    return found[1]


def send(browser: TestClient, path: str, fields: Mapping[str, Any] | None = None, **headers: str) -> Any:
    """Post a form as the page does."""
    data = {"form_token": form_token(browser), **(fields or {})}
    return browser.post(f"/lightspeed/{path}", data=data, headers=headers)


def message(browser: TestClient) -> str:
    """Return the message that waits for the next page, and show it."""
    found = re.search(r'<p class="message[^>]*>(.*?)</p>', browser.get("/lightspeed/").text, re.DOTALL)
    return found[1].strip() if found else ""


def allow(authorize_url: str, decision: str = "allow", **more: str) -> str:
    """Press the button at Lightspeed; return the path and query that the browser comes back with."""
    url = authorize_url + "".join(f"&{key}={value}" for key, value in more.items())
    pressed = requests.post(url, data={"decision": decision}, allow_redirects=False, timeout=30)
    return "/lightspeed/callback?" + pressed.headers["Location"].partition("?")[2]


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
def teams(settings: dict[str, str]) -> None:
    """A deployment with teams."""
    users = ",".join(f"{name}:{role}" for name, role in (USERS | TEAM_USERS).items())
    settings |= {"core__multi_team": "True", "core__simple_auth_manager_users": users}


@pytest.fixture
def belongs(connection: Callable[..., str]) -> Iterator[Callable[[str, str], None]]:
    """Return a function that gives a connection, and its companion if there is one, to a team."""
    from airflow.models.connection import Connection
    from airflow.models.team import Team

    from airflow_provider_lightspeed.compat import new_session

    def give(conn_id: str, team: str) -> None:
        session = new_session()
        if session.get(Team, team) is None:
            session.add(Team(name=team))
            session.flush()
        session.query(Connection).filter(Connection.conn_id.startswith(conn_id)).update({"team_name": team})
        session.commit()
        session.close()

    yield give
    session = new_session()
    session.query(Connection).update({"team_name": None})
    session.query(Team).delete()
    session.commit()
    session.close()


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
