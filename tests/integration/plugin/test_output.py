"""Where a redirect of the page leads, and what the page shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

pytest.importorskip("airflow.sdk")


from airflow_provider_lightspeed.auth.ledger import Account
from airflow_provider_lightspeed.plugin.auth import FORMS
from airflow_provider_lightspeed.tokens.store import locked_ledger
from tests.support.visits import CONN, SCOPE, Site, allow, depart, form_token, message, send

Connect = Callable[..., str]
Stored = Callable[[str], dict[str, Any]]
#: IDs that a redirect must not be led astray by.
HOSTILE_IDS = [
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "..",
    "../../../evil",
    "%0d%0aSet-Cookie: x=1",
    "\r\nLocation: https://evil.example",
    "javascript:alert(1)",
    "https://evil.example",
    "?next=https://evil.example",
    "#@evil.example",
    "a%2F..%2F..",
    "\u2028\u00e9",
    "x" * 3_000,
]
MARKUP = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.mark.parametrize("conn_id", HOSTILE_IDS)
def test_no_connection_id_leads_elsewhere(site: Site, connection: Connect, conn_id: str) -> None:
    """Logged in or not, raw or encoded: every redirect stays here, and no header is added."""
    connection()
    strangers, browser = site.browser(), site.browser("otto")
    token = form_token(browser)
    for page in ("connect", "disconnect", "test", "take-over"):
        path = f"/lightspeed/{page}/{quote(conn_id, safe='')}"
        replies = [strangers.get(path), strangers.post(path), browser.get(path)]
        replies.append(browser.post(path, data={"form_token": token, **SCOPE}))
        for reply in replies:
            location = reply.headers.get("location", "/lightspeed/")
            assert location.startswith(("/lightspeed/", "/api/v2/auth/login?next=%2F")), location
            assert "x" not in reply.cookies
            if location.startswith("/api"):
                wanted = location.partition("next=")[2]
                assert wanted.startswith("%2Flightspeed%2F")


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_next_is_nobodys_parameter(site: Site, connection: Connect, target: str) -> None:
    """No page of ours reads one."""
    for browser in (site.browser(), site.browser("otto")):
        for page in ("", "new", "callback", "connect/x"):
            reply = browser.get(f"/lightspeed/{page}", params={"next": target, "redirect": target, "url": target})
            assert "evil" not in reply.headers.get("location", "")
            assert "alert" not in reply.headers.get("location", "")


def test_host_header_decides_nothing(site: Site, connection: Connect) -> None:
    """The redirect URI to register comes from the configuration."""
    connection()
    browser = site.browser("otto")
    page = browser.get("/lightspeed/", headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
    assert "http://testserver/lightspeed/callback" in page.text
    assert "evil" not in page.text
    reply = site.browser().get("/lightspeed/", headers={"Host": "evil.example"})
    assert "evil" not in reply.headers["location"]


def test_markup_stays_text(site: Site, connection: Connect) -> None:
    """Of account names, of what Lightspeed says in the callback, of pasted addresses and of IDs in a path."""
    connection(extra={"refresh_token": ""})
    browser = site.browser("otto")
    browser.get(allow(depart(browser)))
    with locked_ledger(CONN) as locked:
        found = locked.read()
        assert found.stored is not None
        named = dataclasses.replace(found.ledger, account=Account(MARKUP), refreshed_by=MARKUP)
        locked.save(named, found.stored, expected=named.generation)
    texts = [browser.get(f"/lightspeed/{page}").text for page in ("", f"disconnect/{CONN}", f"connect/{CONN}")]
    state = depart(browser).partition("state=")[2].partition("&")[0]
    callback = {"error": MARKUP, "error_description": MARKUP, "state": state}
    browser.get("/lightspeed/callback", params=callback)
    texts.append(browser.get("/lightspeed/").text)
    assert "&lt;script&gt;" in texts[-1]
    send(browser, "callback", {"redirected": f"https://x/?error={quote(MARKUP)}&state={MARKUP}"})
    texts.append(browser.get("/lightspeed/").text)
    for page in ("connect", "disconnect", "test", "take-over"):
        texts.append(browser.get(f"/lightspeed/{page}/{quote(MARKUP, safe='')}").text)
        send(browser, f"{page}/{quote(MARKUP, safe='')}", SCOPE)
        texts.append(browser.get("/lightspeed/").text)
    fields = {"conn_id": MARKUP, "client_id": MARKUP, "host": MARKUP, "auth_url": MARKUP, "scope": MARKUP}
    texts.append(send(browser, "new", fields).text)
    for text in texts:
        assert "<script>alert" not in text
        assert "<img src=x" not in text


def test_long_message_fits_into_a_cookie(site: Site, connection: Connect) -> None:
    """A browser would drop a larger one, and the words with it."""
    connection(extra={"refresh_token": ""})
    browser = site.browser("otto")
    for letter in ("x", "\u00e9", "\u5e97", "\U0001f9fe"):
        state = depart(browser).partition("state=")[2].partition("&")[0]
        words = "".join(chr(ord(letter) + number % 7) for number in range(3_000))
        reply = browser.get("/lightspeed/callback", params={"error": "x", "error_description": words, "state": state})
        assert len(reply.headers["set-cookie"].partition(";")[0]) < 4_000
        assert words[:200] in message(browser)


def test_forged_message_is_not_shown(site: Site, connection: Connect) -> None:
    """The cookie is signed; a neighbour on the same domain cannot put words into the page."""
    connection()
    browser = site.browser("otto")
    for value in ("x.y.z", FORMS.sign(["good", "Call 0800-EVIL"])):
        browser.cookies.set("lightspeed_message", value)
        assert "EVIL" not in browser.get("/lightspeed/").text
        browser.cookies.delete("lightspeed_message")
