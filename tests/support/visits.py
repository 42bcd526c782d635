"""Going through the page in this process: mounted as Airflow does it, log-ins of a real simple auth manager."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import requests
from fastapi import FastAPI
from fastapi.testclient import TestClient

from airflow_provider_lightspeed.plugin.app import create_app
from airflow_provider_lightspeed.tokens.store import peek

#: Role of each user; ``user`` and ``viewer`` may not even read connections.
USERS = {"ann": "admin", "otto": "op", "uma": "user", "vic": "viewer"}
TEAM_USERS = {"tom": "op:team_a", "tim": "op:team_b"}
CONN = "lightspeed_default"
SCOPE = {"scope": "employee:all"}
FORM_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')


class Site:
    """Airflow's root app, as far as the page sees it."""

    def __init__(self) -> None:
        self.app = create_app()
        self.root = FastAPI(redirect_slashes=False)
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


def depart(browser: TestClient, conn_id: str = CONN) -> str:
    """Press *Continue at Lightspeed* and return where the browser is sent."""
    reply = send(browser, f"connect/{conn_id}", SCOPE)
    assert reply.status_code == 303
    return str(reply.headers["location"])


def generation(conn_id: str = CONN) -> int:
    return peek(conn_id).ledger.generation
