"""Airflow's own Test button, as its list of connections presses it, through Airflow's whole API app."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("airflow.sdk")

from fastapi.testclient import TestClient

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.visits import CONN

Connect = Callable[..., str]
Settings = dict[str, str]


@pytest.fixture
def api(airflow_database: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """Airflow's API with every plugin, and an administrator's login."""
    from airflow.api_fastapi.app import create_app, get_auth_manager, purge_cached_app
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    for name, value in (settings | {"core__test_connection": "Enabled"}).items():
        monkeypatch.setenv(f"AIRFLOW__{name.upper()}", value)
    purge_cached_app()
    client = TestClient(create_app("core"), base_url="http://testserver/")
    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="ann", role="admin"))
    client.headers["Authorization"] = f"Bearer {token}"
    yield client
    purge_cached_app()


def pressed(api: TestClient, conn_id: str) -> dict[str, Any]:
    """Return what the list sends for a connection: Airflow's own answer, with ``null`` as the list turns it."""
    shown = api.get(f"/api/v2/connections/{conn_id}").json()
    text = {name: shown[name] or "" for name in ("description", "host", "login", "password", "schema")}
    extra = shown["extra"] or "{}"
    return {
        "connection_id": conn_id,
        "conn_type": shown["conn_type"],
        **text,
        "extra": extra,
        "port": shown["port"] or 0,
    }


def test_test_button_tests_the_stored_connection(
    api: TestClient, connection: Connect, simulator: SimulatorProcess
) -> None:
    """Whoever made it: the row has no port, or 0, and the list sends 0. Another host is still refused by Airflow."""
    for conn_id, port in ((CONN, None), ("zero", 0)):
        connection(conn_id, port=port)
        sent = pressed(api, conn_id)
        assert (sent["port"], sent["password"], json.loads(sent["extra"])["refresh_token"]) == (0, "***", "***")
        reply = api.post("/api/v2/connections/test", json=sent)
        assert (reply.status_code, reply.json()["status"]) == (200, True), reply.text
        assert f"account {simulator.account_id}" in reply.json()["message"]
    elsewhere = api.post("/api/v2/connections/test", json={**pressed(api, CONN), "host": "http://127.0.0.1:1"})
    assert elsewhere.status_code == 400


def test_other_types_of_connections_are_tested_as_airflow_does(api: TestClient, connection: Connect) -> None:
    """Port 0 of a connection that is not ours is Airflow's business; without a login nothing is tested."""
    connection(CONN)
    sent = pressed(api, CONN)
    assert api.post("/api/v2/connections/test", json={**sent, "conn_type": "http"}).status_code == 400
    del api.headers["Authorization"]
    assert api.post("/api/v2/connections/test", json=sent).status_code == 401
