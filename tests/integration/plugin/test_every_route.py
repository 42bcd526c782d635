"""Every route of the page, enumerated from the app: who is let in, what a form must carry, what each answer says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("airflow.sdk")

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Mount

from airflow_provider_lightspeed.plugin.auth import FORM_LIFE, FORMS
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.visits import Site, form_token

Connect = Callable[..., str]
Contents = Callable[[], list[Any]]
#: What needs no log-in. The trigger hands out nothing, the others are the same for everybody.
OPEN = {("GET", "/marker"), ("POST", "/refresh/{connection_id:path}"), ("MOUNT", "/static")}
#: Fields that the forms of the page send; every form takes what it knows.
FIELDS = {
    "conn_id": "made",
    "client_id": "id",
    "client_secret": "secret",
    "scope": "employee:all",
    "decision": "replace",
    "redirected": "https://x.example/?code=c&state=s",
}


def every_route(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Yield method and path of all routes; fail over a kind that this test does not know."""
    for route in app.routes:
        if isinstance(route, Mount):
            yield "MOUNT", route.path
            continue
        assert isinstance(route, APIRoute), f"a route of another kind: {route}"
        for method in route.methods:
            yield method, route.path


def guarded(app: FastAPI, *methods: str) -> list[tuple[str, str]]:
    """Return method and a real path of the routes behind a log-in."""
    chosen = [(method, path) for method, path in every_route(app) if (method, path) not in OPEN]
    return [
        (method, "/lightspeed" + path.replace("{connection_id:path}", "lightspeed_default").replace("{key}", "k"))
        for method, path in chosen
        if not methods or method in methods
    ]


def test_the_walk_meets_every_route(site: Site) -> None:
    """The open ones are those three; a page that the enumeration misses would be guarded by nobody."""
    found = set(every_route(site.app))
    assert found >= OPEN
    paths = {path for _, path in found - OPEN}
    assert {"/", "/new", "/callback", "/confirm/{key}"} <= paths
    assert {f"/{page}/{{connection_id:path}}" for page in ("connect", "test", "disconnect", "take-over")} <= paths
    assert {method for method, _ in found - OPEN} == {"GET", "POST"}


def test_without_login_every_page_leads_to_airflows_login(site: Site, connection: Connect, contents: Contents) -> None:
    """And from there back to a page of ours; nothing happens before."""
    connection()
    before, browser = contents(), site.browser()
    for method, path in guarded(site.app):
        reply = browser.request(method, f"{path}?code=c&state=s", data=FIELDS if method == "POST" else None)
        assert reply.status_code == 303, (method, path)
        assert reply.headers["location"].startswith("/api/v2/auth/login?next=%2Flightspeed%2F"), (method, path)
        assert "code" not in reply.headers["location"]
        assert "set-cookie" not in reply.headers
    assert contents() == before


@pytest.mark.parametrize("user", ["vic", "uma"])
def test_weak_rights_meet_a_plain_refusal_everywhere(
    site: Site, connection: Connect, contents: Contents, user: str
) -> None:
    """A page that says what to do, and nothing of any connection."""
    connection()
    before, browser = contents(), site.browser(user)
    for method, path in guarded(site.app):
        reply = browser.request(
            method, path, data=FIELDS | {"form_token": FORMS.sign(user)} if method == "POST" else None
        )
        assert reply.status_code == 403, (method, path)
        assert reply.headers["content-type"].startswith("text/html")
        assert "Ask an administrator" in reply.text
        assert "lightspeed_default" not in reply.text.replace(path, "")
    assert contents() == before


@pytest.mark.parametrize("user", ["otto", "ann"])
def test_full_rights_are_refused_nowhere(site: Site, connection: Connect, user: str) -> None:
    """Op and admin; each page shows itself or leads to one of ours, or to Lightspeed."""
    connection()
    browser = site.browser(user)
    for _, path in guarded(site.app, "GET"):
        reply = browser.get(path)
        assert reply.status_code in (200, 303), path
        assert reply.headers.get("location", "/lightspeed/").startswith("/lightspeed/")


@pytest.mark.parametrize("token", ["garbage", "Bearer x", "a.b.c", ""])
def test_broken_login_opens_nothing(site: Site, connection: Connect, token: str) -> None:
    """Neither as a cookie nor as a header."""
    connection()
    browser = site.browser()
    if token:
        browser.cookies.set("_token", token)
    for method, path in guarded(site.app):
        for headers in ({}, {"Authorization": f"Bearer {token}"}):
            assert browser.request(method, path, headers=headers).status_code in (303, 403), (method, path)


def bad_tokens() -> dict[str, Callable[[], dict[str, str]]]:
    """Return what a form must not be accepted with."""
    from itsdangerous import URLSafeTimedSerializer

    forged = URLSafeTimedSerializer("k" * 64, salt="lightspeed-form").dumps("ann")
    other_purpose = URLSafeTimedSerializer("s" * 64, salt="lightspeed-message").dumps("ann")
    return {
        "none": dict,
        "empty": lambda: {"form_token": ""},
        "garbage": lambda: {"form_token": "x.y.z"},
        "another user's": lambda: {"form_token": FORMS.sign("otto")},
        "of no user": lambda: {"form_token": FORMS.sign(None)},
        "of another key": lambda: {"form_token": forged},
        "of another purpose": lambda: {"form_token": other_purpose},
    }


@pytest.mark.parametrize("kind", [*bad_tokens(), "old", "cross-site", "same-site"])
def test_form_that_is_not_this_users_own_changes_nothing(
    site: Site,
    connection: Connect,
    simulator: SimulatorProcess,
    contents: Contents,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """Every form of the page: 403, and not a byte of the database or a request to Lightspeed."""
    connection()
    browser, headers = site.browser("ann"), {}
    if kind in ("cross-site", "same-site"):  # the browser says who made it send the form
        fields, headers = {"form_token": form_token(browser)}, {"Sec-Fetch-Site": kind}
    elif kind == "old":
        import time

        then = time.time() - FORM_LIFE - 60
        with monkeypatch.context() as patch:
            patch.setattr("itsdangerous.timed.time.time", lambda: then)
            fields = {"form_token": FORMS.sign("ann")}
    else:
        fields = bad_tokens()[kind]()
    before = contents()
    forms = guarded(site.app, "POST")
    assert len(forms) >= 7
    for _, path in forms:
        reply = browser.post(path, data=FIELDS | fields, headers=headers)
        assert reply.status_code == 403, path
        assert reply.headers["content-type"].startswith("text/html")
    assert contents() == before
    assert simulator.audit()["requests"] == []


def test_users_own_form_is_accepted(site: Site, connection: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """The counter-proof: with the page's token no form is a 403."""
    connection()
    browser = site.browser("ann")
    fields = FIELDS | {"form_token": form_token(browser)}
    for _, path in guarded(site.app, "POST"):
        for headers in ({}, {"Sec-Fetch-Site": "same-origin"}):
            assert browser.post(path, data=fields, headers=headers).status_code != 403, path


def test_form_larger_than_any_of_ours_is_refused(site: Site, connection: Connect, contents: Contents) -> None:
    """Before it is read to its end."""
    connection()
    browser, before = site.browser("ann"), contents()
    fields = FIELDS | {"form_token": form_token(browser), "redirected": "x" * 70_000}
    for _, path in guarded(site.app, "POST"):
        assert browser.post(path, data=fields).status_code == 413, path
    assert contents() == before


def test_every_answer_bears_the_headers(site: Site, connection: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages, redirects, refusals, static files, what does not exist, and faults of ours."""
    connection()
    answers = []
    for user in (None, "vic", "ann"):
        browser = site.browser(user)
        answers += [browser.request(method, path) for method, path in guarded(site.app)]
        other = ("marker", "static/page.css", "static/page.js", "static/no", "static/../app.py", "nowhere", "docs")
        answers += [browser.get(f"/lightspeed/{path}") for path in other]
        answers += [browser.request(method, "/lightspeed/") for method in ("DELETE", "PUT", "OPTIONS", "HEAD")]
        answers.append(browser.post("/lightspeed/refresh/x", json={}))
    monkeypatch.setattr("airflow_provider_lightspeed.plugin.routes.connection_ids", lambda: 1 / 0)
    answers.append(site.browser("ann").get("/lightspeed/"))
    assert {200, 303, 403, 404, 405, 422, 500} <= {answer.status_code for answer in answers} | {422}
    for answer in answers:
        headers = answer.headers
        policy = headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff", answer.url
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "frame-ancestors 'none'" in policy
        assert "base-uri 'none'" in policy
        assert "unsafe" not in policy


def test_fault_of_ours_tells_the_browser_nothing(
    site: Site, connection: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log has it."""
    connection()

    def fail() -> list[str]:
        raise RuntimeError("a secret word")

    monkeypatch.setattr("airflow_provider_lightspeed.plugin.routes.connection_ids", fail)
    reply = site.browser("ann").get("/lightspeed/")
    assert reply.status_code == 500
    assert "secret word" not in reply.text
    assert "Traceback" not in reply.text
