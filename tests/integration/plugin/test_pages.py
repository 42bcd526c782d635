"""Going through the page as people do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("airflow.sdk")


from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.visits import CONN, SCOPE, Site, allow, depart, form_token, generation, message, send

Connect = Callable[..., str]
Stored = Callable[[str], dict[str, Any]]


def test_connect_test_and_disconnect_from_the_page(
    site: Site, connection: Connect, simulator: SimulatorProcess
) -> None:
    """From the first click to the last, with what each of them says."""
    connection(extra={"refresh_token": ""})
    browser = site.browser("otto")
    away = depart(browser)
    assert away.startswith(f"{simulator.base_url}/auth/oauth/authorize?")
    back = browser.get(allow(away))
    assert (back.status_code, back.headers["location"]) == (303, "/lightspeed/")
    assert f"{CONN}: Connected to" in message(browser)
    assert message(browser) == ""  # shown once
    assert "Connected" in browser.get("/lightspeed/").text
    assert send(browser, f"test/{CONN}").headers["location"] == "/lightspeed/"
    assert "Connected to" in message(browser)
    assert "Revoke and disconnect" in browser.get(f"/lightspeed/disconnect/{CONN}").text
    assert send(browser, f"disconnect/{CONN}").headers["location"] == "/lightspeed/"
    assert "is disconnected" in message(browser)
    assert simulator.audit("revoke")["requests"][0]["status"] == 200


def test_pasted_address_does_the_same(site: Site, connection: Connect) -> None:
    """Whatever host the registered redirect URI names."""
    connection(extra={"refresh_token": ""})
    browser = site.browser("otto")
    query = allow(depart(browser)).partition("?")[2]
    send(browser, "callback", {"redirected": f"https://elsewhere.example/any/path?{query}"})
    assert "Connected to" in message(browser)


def test_redirect_uri_with_a_slash_at_its_end_is_answered_without_another_hop(site: Site, connection: Connect) -> None:
    """A redirect would carry the code into the access log."""
    connection(extra={"refresh_token": ""})
    browser = site.browser("otto")
    browser.get(allow(depart(browser)).replace("/callback?", "/callback/?"))
    assert "Connected to" in message(browser)


def test_new_connection_goes_on_to_its_consent(site: Site, connection: Connect, stored: Stored) -> None:
    """And the secret does not come back to the browser, neither then nor with an error."""
    browser = site.browser("otto")
    fields = {"conn_id": "shop/a:1", "client_id": "id", "client_secret": "secret-of-the-client", **SCOPE}
    wrong = send(browser, "new", fields | {"host": "https://evil.example"})
    assert (wrong.status_code, "allowed_hosts" in wrong.text) == (422, True)
    assert "secret-of-the-client" not in wrong.text
    servers = {"host": "http://127.0.0.1:9", "auth_url": "http://127.0.0.1:9"}
    made = send(browser, "new", fields | servers)
    assert (made.status_code, made.headers["location"]) == (303, "/lightspeed/connect/shop/a%3A1")
    assert "secret-of-the-client" not in str(made.headers)
    page = browser.get(made.headers["location"])
    assert (page.status_code, "shop/a:1" in page.text) == (200, True)
    assert "secret-of-the-client" not in page.text
    assert stored("shop/a:1")["scope"] == "employee:all"


def test_another_account_waits_for_its_users_decision(site: Site, connection: Connect, stored: Stored) -> None:
    """Nobody else can take or decline it; the one who began can, once."""
    connection(extra={"refresh_token": ""})
    browser, other = site.browser("otto"), site.browser("ann")
    browser.get(allow(depart(browser)))
    ask = browser.get(allow(depart(browser), sim_account="777")).headers["location"]
    assert ask.startswith("/lightspeed/confirm/")
    page = browser.get(ask).text
    assert "12345" in page
    assert "777" in page
    assert other.get(ask).headers["location"] == "/lightspeed/"
    for decision in ("replace", "keep"):
        send(other, ask.removeprefix("/lightspeed/"), {"decision": decision})
        assert "nothing to confirm" in message(other)
    assert (generation(), stored(CONN)["account_id"]) == (1, "12345")
    send(browser, ask.removeprefix("/lightspeed/"), {"decision": "replace"})
    assert "Connected to" in message(browser) or "stored" in message(browser)
    assert (generation(), stored(CONN)["account_id"]) == (2, "777")
    send(browser, ask.removeprefix("/lightspeed/"), {"decision": "replace"})
    assert "nothing to confirm" in message(browser)
    assert generation() == 2


def test_confirmed_pair_waits_on_until_it_is_stored(
    site: Site, connection: Connect, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that fails in between loses no grant: the person presses once more."""
    connection(extra={"refresh_token": ""})
    browser = site.browser("otto")
    browser.get(allow(depart(browser)))
    ask = browser.get(allow(depart(browser), sim_account="777")).headers["location"].removeprefix("/lightspeed/")
    with monkeypatch.context() as failing:
        failing.setattr("airflow_provider_lightspeed.tokens.store.LockedLedger.save", _fail)
        failing.setattr("airflow_provider_lightspeed.tokens.refresh.PERSIST_PATIENCE", 0.0)
        reply = send(browser, ask, {"decision": "replace"})
    assert reply.headers["location"] == f"/lightspeed/{ask}"
    assert "the metadata database failed (OperationalError)" in message(browser)
    assert generation() == 1
    send(browser, ask, {"decision": "replace"})
    assert (generation(), stored(CONN)["account_id"]) == (2, "777")


def _fail(*_: object, **__: object) -> bool:
    from sqlalchemy.exc import OperationalError

    raise OperationalError("UPDATE", {}, Exception("the database went away"))


def test_declined_account_changes_nothing(site: Site, connection: Connect, simulator: SimulatorProcess) -> None:
    """Its grant is given back."""
    connection(extra={"refresh_token": ""})
    browser = site.browser("otto")
    browser.get(allow(depart(browser)))
    ask = browser.get(allow(depart(browser), sim_account="777")).headers["location"]
    send(browser, ask.removeprefix("/lightspeed/"), {"decision": "keep"})
    assert "nothing was changed" in message(browser)
    assert generation() == 1
    assert not [grant for grant in simulator.grants() if grant["account_id"] == "777" and not grant["revoked"]]


def test_one_unreadable_connection_hides_no_other(site: Site, connection: Connect) -> None:
    """Encrypted with another key, or pointing nowhere: its card says so."""
    from airflow.models.connection import Connection
    from sqlalchemy import update

    from airflow_provider_lightspeed.compat import new_session

    connection("good")
    connection("other_key")
    connection("no_url", host="https://[")
    session = new_session()
    table = Connection.__table__
    broken = update(table).where(table.c.conn_id == "other_key").values(extra="gAAAAABnothing", password=None)
    session.execute(broken)
    session.commit()
    session.close()
    browser = site.browser("otto")
    page = browser.get("/lightspeed/")
    assert page.status_code == 200
    assert "cannot be read" in page.text
    assert "not a base URL" in page.text
    assert "good" in page.text
    assert browser.get("/lightspeed/disconnect/good").status_code == 200
    assert browser.get("/lightspeed/disconnect/other_key").status_code == 303
    for action in ("test", "disconnect", "take-over", "connect"):
        assert send(browser, f"{action}/other_key", SCOPE).status_code == 303, action


def test_waiting_for_lightspeed_keeps_nobody_from_looking(
    site: Site, connection: Connect, simulator: SimulatorProcess
) -> None:
    """As many as there are threads wait for a slow answer; the overview is there before they are done."""
    import threading

    connection()
    simulator.faults({"action": "slow", "path": "/API", "seconds": 1.5, "count": None})
    browser = site.browser("otto")
    ends: list[str] = []
    token = form_token(browser)

    def press() -> None:
        site.browser("otto").post(f"/lightspeed/test/{CONN}", data={"form_token": token})
        ends.append("tested")

    threads = [threading.Thread(target=press) for _ in range(6)]
    for thread in threads:
        thread.start()
    wait_for_api(simulator)
    assert browser.get("/lightspeed/").status_code == 200
    ends.append("seen")
    for thread in threads:
        thread.join(60)
    assert ends[0] == "seen"


def wait_for_api(simulator: SimulatorProcess) -> None:
    """Return once a refresh has been answered: the first of those who test has its token."""
    from tools.airflow_api import wait_until

    wait_until("a grant", lambda: simulator.audit("token")["requests"] or None, timeout=30)
