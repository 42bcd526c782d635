"""Going through the page as people do who should not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("airflow.sdk")

from fastapi.testclient import TestClient

from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens import attempts
from airflow_provider_lightspeed.tokens.store import peek
from tests.support.visits import CONN, SCOPE, Site, allow, depart, form_token, generation, message, send

Connect = Callable[..., str]
Stored = Callable[[str], dict[str, Any]]


def test_stolen_state_is_worthless_and_the_victims_consent_goes_on(
    site: Site, connection: Connect, simulator: SimulatorProcess
) -> None:
    """Neither may somebody finish another's consent, nor be lured into finishing one."""
    connection(extra={"refresh_token": ""})
    victim, thief = site.browser("otto"), site.browser("ann")
    back = allow(depart(victim))
    thief.get(back)
    assert "another Airflow user" in message(thief)
    send(thief, "callback", {"redirected": back})
    assert "another Airflow user" in message(thief)
    assert (generation(), simulator.audit("token")["requests"]) == (0, [])
    victim.get(back)
    assert "Connected to" in message(victim)


def test_callback_is_good_once(site: Site, connection: Connect, simulator: SimulatorProcess) -> None:
    """Replayed, it sends nothing and changes nothing."""
    connection(extra={"refresh_token": ""})
    browser = site.browser("otto")
    back = allow(depart(browser))
    browser.get(back)
    sent = len(simulator.audit("token")["requests"])
    for reply in (browser.get(back), send(browser, "callback", {"redirected": back})):
        assert reply.headers["location"] == "/lightspeed/"
    assert "used already" in message(browser)
    assert (generation(), len(simulator.audit("token")["requests"])) == (1, sent)


def test_denied_consent_comes_back_with_words(site: Site, connection: Connect) -> None:
    """And its state is used up."""
    connection(extra={"refresh_token": ""})
    browser = site.browser("otto")
    back = allow(depart(browser), "deny")
    browser.get(back)
    assert "consent was refused" in message(browser)
    browser.get(back)
    assert "used already" in message(browser)


def test_rights_that_end_before_the_callback_end_the_consent(site: Site, connection: Connect) -> None:
    """The same person, no longer an Op."""
    connection(extra={"refresh_token": ""})
    back = allow(depart(site.browser("otto")))
    assert site.browser("otto", role="viewer").get(back).status_code == 403
    assert generation() == 0


def test_logged_out_callback_keeps_the_code_out_of_the_login_address(site: Site, connection: Connect) -> None:
    """It would be in browser history, logs and referrers."""
    connection(extra={"refresh_token": ""})
    back = allow(depart(site.browser("otto")))
    for path in (back, back.replace("/callback?", "/callback/?")):
        location = site.browser().get(path).headers["location"]
        assert location == "/api/v2/auth/login?next=%2Flightspeed%2F"


def test_query_is_gone_before_anybody_logs_it(site: Site, connection: Connect) -> None:
    """Airflow's access log reads it from the request's scope once the answer is out; on every path."""
    scopes: list[Any] = []

    async def watch(scope: Any, receive: Any, send: Any) -> None:
        await site.root(scope, receive, send)
        scopes.append(scope)

    browser = TestClient(watch, follow_redirects=False)
    for page in ("callback", "callback/", "callback/x", "Callback", "", "connect/a", "nowhere", "static/page.css"):
        browser.get(f"/lightspeed/{page}?code=the-code&state=the-state")
    assert [scope["query_string"] for scope in scopes] == [b""] * 8


def test_nothing_secret_is_logged_on_the_way(
    site: Site, connection: Connect, simulator: SimulatorProcess, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither code nor state nor token nor client secret, at DEBUG."""
    caplog.set_level(logging.DEBUG)
    connection(extra={"refresh_token": ""})
    browser = site.browser("otto")
    away = depart(browser)
    back = allow(away)
    caplog.clear()  # what this test's own HTTP client says
    send(browser, "callback", {"redirected": back})
    held = peek(CONN).ledger.token
    assert held is not None
    told = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("airflow"))
    code, state = (back.partition(f"{name}=")[2].partition("&")[0] for name in ("code", "state"))
    for secret in (code, state, held.access_token.reveal(), held.refresh_token.reveal(), simulator.client_secret):
        assert secret
        assert secret not in told


def test_no_page_shows_a_secret(site: Site, connection: Connect, simulator: SimulatorProcess) -> None:
    """Nor do headers and cookies."""
    connection(extra={"refresh_token": ""})
    browser = site.browser("otto")
    browser.get(allow(depart(browser)))
    held = peek(CONN).ledger.token
    assert held is not None
    pages = ("", "new", f"connect/{CONN}", f"disconnect/{CONN}")
    shown = [browser.get(f"/lightspeed/{page}") for page in pages]
    shown += [send(browser, f"{action}/{CONN}") for action in ("test", "disconnect")]
    for reply in shown:
        text = f"{reply.text}{reply.headers}"
        for secret in (held.access_token.reveal(), held.refresh_token.reveal(), simulator.client_secret):
            assert secret not in text


def test_team_sees_and_touches_its_own_connections_only(
    teams: None, site: Site, connection: Connect, belongs: Callable[[str, str], None]
) -> None:
    """The page works in a deployment with teams, and knows whose a connection is."""
    connection("conn_of_a")
    connection("conn_of_b")
    belongs("conn_of_a", "team_a")
    belongs("conn_of_b", "team_b")
    browser = site.browser("tom")
    page = browser.get("/lightspeed/")
    assert page.status_code == 200
    assert "conn_of_a" in page.text
    assert "conn_of_b" not in page.text
    for name, status in (("conn_of_a", 200), ("conn_of_b", 403)):
        for action in ("connect", "disconnect"):
            assert browser.get(f"/lightspeed/{action}/{name}").status_code == status, (action, name)
    for action in ("connect", "test", "disconnect", "take-over"):
        assert send(browser, f"{action}/conn_of_b", SCOPE).status_code == 403, action
    assert send(browser, "connect/conn_of_a", SCOPE).status_code == 303


def test_partner_of_another_team_is_counted_but_not_named(
    teams: None, site: Site, connection: Connect, belongs: Callable[[str, str], None], simulator: SimulatorProcess
) -> None:
    """Whoever disconnects is told that others stop, and learns no name that they may not see."""
    seed = simulator.grant()["refresh_token"]
    connection("conn_of_a", extra={"refresh_token": seed})
    connection("conn_of_b", extra={"refresh_token": seed})
    belongs("conn_of_a", "team_a")
    belongs("conn_of_b", "team_b")
    page = site.browser("tom").get("/lightspeed/disconnect/conn_of_a").text
    assert "1 that you may not see" in page
    assert "conn_of_b" not in page
    assert "conn_of_b" in site.browser("ann").get("/lightspeed/disconnect/conn_of_a").text


def test_connection_that_changes_teams_meanwhile_is_out_of_reach(
    teams: None, site: Site, connection: Connect, belongs: Callable[[str, str], None]
) -> None:
    """At the callback and on the confirmation, whoever began; what waits there stays."""
    connection("conn", extra={"refresh_token": ""})
    belongs("conn", "team_a")
    browser = site.browser("tom")
    token = form_token(browser)
    browser.get(allow(depart(browser, "conn")))
    assert generation("conn") == 1
    back = allow(depart(browser, "conn"))
    ask = browser.get(allow(depart(browser, "conn"), sim_account="777")).headers["location"]
    belongs("conn", "team_b")
    assert browser.get(back).status_code == 403
    for decision in ("replace", "keep"):
        assert browser.post(ask, data={"form_token": token, "decision": decision}).status_code == 403
    assert generation("conn") == 1
    assert attempts.look(Secret(ask.rpartition("/")[2]), "tom") is not None
