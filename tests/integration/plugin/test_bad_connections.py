"""One bad connection is one bad card, and one bad answer: of the page, of the commands, of the refresh trigger."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("airflow.sdk")

from airflow_provider_lightspeed.cli import main
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.tokens.probe import probe
from airflow_provider_lightspeed.tokens.status import partners, status
from tests.support.bad_connections import EXTRAS, FIELDS, READABLE
from tests.support.visits import SCOPE, Site, form_token

Connect = Callable[..., str]
Stored = Callable[[str], dict[str, Any]]
FAULT = "unexpected error"


@pytest.fixture
def bad(connection: Connect, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Bad connections of every kind between two good ones; return the IDs of the bad ones."""
    from airflow.models.connection import Connection
    from airflow.models.crypto import get_fernet
    from sqlalchemy import update

    from airflow_provider_lightspeed.compat import new_session

    monkeypatch.setenv("AIRFLOW__LIGHTSPEED__ALLOWED_HOSTS", "http://127.0.0.1:*,*.lightspeedapp.com")
    connection("a_good")
    connection("z_good")
    for name in EXTRAS:
        connection(name, extra={})
    for name, fields in FIELDS.items():
        connection(name, **fields)
    session, column = new_session(), Connection.__table__.c
    for name, text in EXTRAS.items():
        encrypted = get_fernet().encrypt(text.encode()).decode()
        change = update(Connection.__table__).where(column.conn_id == name)
        session.execute(change.values(extra=encrypted, is_extra_encrypted=True))
    session.commit()
    session.close()
    return [*EXTRAS, *FIELDS]


def card(page: str, conn_id: str) -> str:
    """Return the part of the page that shows a connection."""
    found = re.search(rf'<section class="card"[^>]*>\s*<div class="card-head">\s*<h2[^>]*>{conn_id}</h2>.*?</section>', page, re.DOTALL)  # fmt: skip
    assert found, f"no card of {conn_id}"
    return found[0]


def test_page_shows_every_connection_whatever_is_in_one(
    site: Site, bad: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A bad one says what is wrong with it; none is a fault of ours."""
    browser = site.browser("otto")
    reply = browser.get("/lightspeed/")
    assert reply.status_code == 200
    for name in ("a_good", "z_good"):
        assert "Not connected" in card(reply.text, name)
        assert "Connect<" in card(reply.text, name)
    for name in bad:
        shown = card(reply.text, name)
        assert ("Needs attention" in shown) == (name not in READABLE), name
        assert len(shown) < 4_000, name
    assert FAULT not in caplog.text
    token = form_token(browser)
    for name in ("true", "surrogate", "deep_object", "account_infinite", "login_long"):
        for page in ("connect", "disconnect"):
            assert browser.get(f"/lightspeed/{page}/{name}").status_code == 303, (page, name)
        for action in ("test", "disconnect", "take-over", "connect"):
            reply = browser.post(f"/lightspeed/{action}/{name}", data={"form_token": token, **SCOPE})
            assert reply.status_code == 303, (action, name)
    assert FAULT not in caplog.text


def test_commands_tell_of_each_connection(
    bad: list[str], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """``status`` lists all of them, the good ones with nothing amiss but the consent; other faults are none."""
    with pytest.raises(SystemExit) as ended:
        main(["status", "-o", "json"])
    assert ended.value.code == 1
    out = capsys.readouterr().out
    found = {each["conn_id"]: each for each in json.loads(out[out.index("[\n") :])}
    assert found.keys() >= {"a_good", "z_good", *bad}
    assert found["a_good"]["attention"] == []
    for name in bad:
        is_fine = found[name]["attention"] == ["no refresh token: connect"]
        assert is_fine == (name in READABLE), name
    with pytest.raises(SystemExit):
        main(["status"])
    assert "\n! true: " in capsys.readouterr().out
    assert FAULT not in caplog.text


def test_partners_and_test_of_a_good_connection_pass_bad_ones_by(
    bad: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """And the test of a bad one says what is wrong with it."""
    assert partners("a_good") == []
    works, words = probe("a_good")
    assert works, words
    for name in bad:
        works, words = probe(name)
        assert isinstance(words, str)
        assert not works or name in READABLE, name
    assert FAULT not in caplog.text


def test_trigger_gives_bad_connections_and_strangers_one_answer(
    site: Site, bad: list[str], stored: Stored, caplog: pytest.LogCaptureFixture
) -> None:
    """Unknown connection, unreadable connection, wrong hash, malformed body: status, body and headers are alike."""
    browser = site.browser()
    seen = Secret(stored("a_good")["refresh_token"]).fingerprint()
    paths = [name for name in (*bad, "nobody", "a b") if name not in READABLE]
    replies = [browser.post(f"/lightspeed/refresh/{path}", json={"seen": seen}) for path in paths]
    replies.append(browser.post("/lightspeed/refresh/a_good", json={"seen": "0" * 64}))
    replies.append(browser.post("/lightspeed/refresh/a_good", content=b"{"))
    assert {(reply.status_code, reply.text, tuple(reply.headers.multi_items())) for reply in replies} == {
        (404, replies[-1].text, tuple(replies[-1].headers.multi_items()))
    }
    assert browser.post("/lightspeed/refresh/a_good", json={"seen": seen}).json()["outcome"] == "refreshed"
    assert FAULT not in caplog.text


def test_environment_variable_that_airflow_cannot_read_is_one_bad_card(
    site: Site, connection: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And answered like a connection that there is not."""
    connection("good")
    variables = {
        "JSON": '{"conn_type": "lightspeed", "port": 1e400}',
        "CUT": '{"conn_type": "lightspeed"',
        "PORT": "lightspeed://id:secret@host:99999/",
        "BRACKETS": "lightspeed://id:secret@[/",
        "DEEP": '{"conn_type": "lightspeed", "extra": ' + "[" * 50_000 + "}",
        "LOGIN": '{"conn_type": "lightspeed", "login": {"a": 1}, "password": 5}',
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", value)
    browser = site.browser("otto")
    reply = browser.get("/lightspeed/")
    assert reply.status_code == 200
    assert "Not connected" in card(reply.text, "good")
    for name in variables:
        assert "Needs attention" in card(reply.text, name.lower()), name
        assert not probe(name.lower())[0]
        answer = browser.post(f"/lightspeed/refresh/{name.lower()}", json={"seen": "0" * 64})
        assert (answer.status_code, answer.json()["outcome"]) == (404, "no_match"), name
    assert "secret" not in reply.text
    assert FAULT not in caplog.text


@pytest.mark.parametrize("name", ["peek", "settings_of", "database_time"])
def test_fault_in_reading_one_connection_is_its_own(
    site: Site, connection: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Whatever is raised: the others are shown and answered, the log says where, and nobody reads the error's text."""
    connection("good")
    connection("other")
    from airflow_provider_lightspeed.tokens import home, store

    module: Any = home if name == "settings_of" else store
    real = getattr(module, name)

    def fail(*arguments: Any, **options: Any) -> Any:
        conn_id = getattr(arguments[0], "conn_id", None) or arguments[0]
        if conn_id == "good" or name == "database_time":
            raise TypeError("a secret word")
        return real(*arguments, **options)

    monkeypatch.setattr(module, name, fail)
    if name == "peek":
        for place in ("status", "probe"):
            monkeypatch.setattr(f"airflow_provider_lightspeed.tokens.{place}.peek", fail)
        monkeypatch.setattr("airflow_provider_lightspeed.plugin.refresh.peek", fail)
    reply = site.browser("otto").get("/lightspeed/")
    assert reply.status_code == 200
    assert "TypeError" in card(reply.text, "good")
    assert card(reply.text, "other")
    answer = site.browser().post("/lightspeed/refresh/good", json={"seen": "0" * 64})
    assert (answer.status_code, answer.json()["outcome"]) == (404, "no_match")
    assert "secret word" not in reply.text + caplog.text


def test_account_name_that_utf_8_has_no_form_for_is_shown(site: Site, connection: Connect) -> None:
    """The API has sent half a surrogate pair before; the page of all connections is not lost over it."""
    import dataclasses

    from airflow_provider_lightspeed.auth.ledger import Account
    from airflow_provider_lightspeed.tokens.keep_alive import keep_alive
    from airflow_provider_lightspeed.tokens.store import locked_ledger

    connection("good")
    keep_alive("good")
    with locked_ledger("good") as locked:
        found = locked.read()
        assert found.stored is not None
        odd = dataclasses.replace(found.ledger, account=Account("Caf\ud83d", 1.0, 60.0, 1.0, found.now))
        assert locked.save(odd, found.stored, expected=odd.generation)
    reply = site.browser("otto").get("/lightspeed/")
    assert reply.status_code == 200
    assert "Caf?" in card(reply.text, "good")
    assert status("good").attention == ()
