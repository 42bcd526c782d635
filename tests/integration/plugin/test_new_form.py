"""The form for a new connection."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("airflow.sdk")

from airflow_provider_lightspeed.settings import LONGEST_ID
from tests.support.visits import SCOPE, Site, send


def test_the_form_takes_ids_as_long_as_a_ledger_can_have(site: Site) -> None:
    """The browser stops typing where storing would refuse."""
    assert f'maxlength="{LONGEST_ID}"' in site.browser("ann").get("/lightspeed/new").text


FIELDS = {
    "conn_id": "shop",
    "client_id": "id",
    "client_secret": "secret",
    "host": "http://127.0.0.1:9",
    "auth_url": "http://127.0.0.1:9",
    **SCOPE,
}


def offered(site: Site, user: str) -> list[str]:
    page = site.browser(user).get("/lightspeed/new").text
    return re.findall(r'<option value="([^"]*)"', page)


def team_of_row(conn_id: str) -> str | None:
    from airflow.models.connection import Connection
    from sqlalchemy import select

    from airflow_provider_lightspeed.compat import new_session

    session = new_session()
    try:
        return session.scalars(select(Connection.team_name).where(Connection.conn_id == conn_id)).one()
    finally:
        session.close()


def test_form_has_no_teams_where_there_are_none(site: Site, connection: Callable[..., str]) -> None:
    """And takes none, whoever sends one."""
    assert "<select" not in site.browser("ann").get("/lightspeed/new").text
    assert send(site.browser("ann"), "new", FIELDS | {"team": "team_a"}).status_code == 403
    assert send(site.browser("ann"), "new", FIELDS).status_code == 303
    assert team_of_row("shop") is None


def test_form_offers_the_teams_that_the_user_may_create_in(
    teams: None, site: Site, connection: Callable[..., str]
) -> None:
    """An admin all of them, others their own; the auth manager says so."""
    assert offered(site, "ann") == ["", "team_a", "team_b"]
    assert offered(site, "tom") == ["", "team_a"]
    assert offered(site, "tim") == ["", "team_b"]


def test_new_connection_belongs_to_the_chosen_team(teams: None, site: Site, connection: Callable[..., str]) -> None:
    """Only that team's people go on to its consent."""
    browser = site.browser("tom")
    made = send(browser, "new", FIELDS | {"team": "team_a"})
    assert (made.status_code, team_of_row("shop")) == (303, "team_a")
    assert browser.get(made.headers["location"]).status_code == 200
    assert site.browser("tim").get(made.headers["location"]).status_code == 403


def test_chosen_team_is_kept_when_a_field_is_wrong(teams: None, site: Site, connection: Callable[..., str]) -> None:
    """Sent again, the corrected form makes the same team's connection."""
    wrong = send(site.browser("tom"), "new", FIELDS | {"team": "team_a", "host": "https://evil.example"})
    assert wrong.status_code == 422
    assert '<option value="team_a" selected>' in wrong.text


@pytest.mark.parametrize("team", ["team_b", "team_c", "Team_a", "<b>"])
def test_other_teams_are_refused_on_the_server(
    teams: None, site: Site, connection: Callable[..., str], contents: Callable[[], list[Any]], team: str
) -> None:
    """Whatever the browser sends: another team, or one that there is not."""
    browser, before = site.browser("tom"), contents()
    assert send(browser, "new", FIELDS | {"team": team}).status_code == 403
    assert contents() == before


def test_who_may_create_in_a_team_alone_gets_the_form(
    teams: None, site: Site, connection: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An auth manager may keep connections without a team for administrators."""
    from airflow.api_fastapi.app import get_auth_manager

    manager = get_auth_manager()
    real = manager.is_authorized_connection

    def strict(*, method: Any, user: Any, details: Any = None) -> bool:
        has_team = details is not None and details.team_name is not None
        return real(method=method, user=user, details=details) and (method != "POST" or has_team)

    monkeypatch.setattr(manager, "is_authorized_connection", strict)
    assert offered(site, "tom") == ["team_a"]
    assert "New connection" in site.browser("tom").get("/lightspeed/").text
    assert send(site.browser("tom"), "new", FIELDS).status_code == 403
    assert send(site.browser("tom"), "new", FIELDS | {"team": "team_a"}).status_code == 303
