"""``connect`` against the simulator: scopes, answers, wrong pastes; what is said, and what is left behind."""

from __future__ import annotations

import io
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.auth.scopes import READ_ONLY
from airflow_provider_lightspeed.cli import main
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens.store import locked_ledger
from tests.support.person import CTRL_C, CTRL_D, LEDGER, Capture, Connect, Stored, alive, connected, secrets_of


def test_connect_stores_a_grant_and_prints_no_secret(
    connection: Connect, simulator: SimulatorProcess, stored: Stored, person: Any, capsys: Capture
) -> None:
    """The connection had none; afterwards it has, with account and scopes, and the account's name is printed."""
    connection(extra={"refresh_token": ""})
    someone, heard = person()
    main(["connect", "lightspeed_default"])
    out, err = capsys.readouterr()
    assert simulator.account_id in out
    ledger = stored(LEDGER)
    assert ledger["token"]["account_id"] == simulator.account_id
    assert "employee:register_read" in stored("lightspeed_default")["scope"]
    said = "".join([*heard, out, err])
    assert not [secret for secret in secrets_of(simulator, ledger, someone.redirected) if secret in said]


def scope_of(url: str) -> list[str]:
    """Return the scopes that an authorize URL asks for."""
    (scope,) = parse_qs(urlsplit(url).query)["scope"]
    return scope.split()


@pytest.mark.parametrize(
    "given",
    [
        ["--scope", "employee:reports,employee:tags", "--scope", "employee:vendors"],
        ["--scope", "employee:reports employee:tags, employee:vendors"],
    ],
)
def test_scopes_are_the_ones_asked_for(connection: Connect, stored: Stored, person: Any, given: list[str]) -> None:
    """Separated by commas or spaces, or repeated."""
    connection()
    someone, _ = person()
    main(["connect", "lightspeed_default", *given])
    scopes = ["employee:reports", "employee:tags", "employee:vendors"]
    assert scope_of(someone.url) == stored(LEDGER)["token"]["scope"] == scopes


def test_scope_that_there_is_not_is_named(connection: Connect) -> None:
    """Before anybody is sent anywhere, with the one that was meant."""
    connection()
    with pytest.raises(SystemExit, match=r"error: scope: 'employee:report' .*employee:reports"):
        main(["connect", "lightspeed_default", "--scope", "employee:report"])


def test_scopes_are_the_connections_own_else_those_that_only_read(connection: Connect, person: Any) -> None:
    """Who connects once more keeps what was chosen before; who never chose can break nothing."""
    connection(extra={"refresh_token": ""})
    first, _ = person()
    main(["connect", "lightspeed_default"])
    assert scope_of(first.url) == list(READ_ONLY)
    for options in (["--scope", "employee:tags"], []):
        again, _ = person()
        main(["connect", "lightspeed_default", *options])
        assert scope_of(again.url) == ["employee:tags"]


def test_browser_opens_if_that_is_asked_for(connection: Connect, person: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the address that is printed; without ``--open``, none does: the shell may be far from the person."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    connection()
    person()
    main(["connect", "lightspeed_default"])
    assert opened == []
    someone, _ = person()
    main(["connect", "lightspeed_default", "--open"])
    assert opened == [someone.url]


def test_refusal_at_lightspeed_is_said(
    connection: Connect, simulator: SimulatorProcess, stored: Stored, person: Any, capsys: Capture
) -> None:
    """Nothing is stored."""
    connection()
    before = stored("lightspeed_default")
    _, heard = person(decision="deny")
    with pytest.raises(SystemExit, match="error: consent was refused") as ended:
        main(["connect", "lightspeed_default"])
    assert stored("lightspeed_default") == before
    said = "".join([*heard, *capsys.readouterr(), str(ended.value.code)])
    assert not [secret for secret in (simulator.client_secret, before["refresh_token"]) if secret in said]


@pytest.mark.parametrize(("options", "answer"), [([], "y"), ([], "Yes"), (["--yes"], ""), (["-y"], "n")])
def test_another_account_takes_over_after_a_yes(
    connection: Connect, simulator: SimulatorProcess, stored: Stored, person: Any, options: list[str], answer: str
) -> None:
    """Both accounts are named in the question; ``--yes`` is the answer before it is asked."""
    connection()
    connected(person)
    person(account="777", words=answer)
    main(["connect", "lightspeed_default", *options])
    assert stored(LEDGER)["token"]["account_id"] == "777"
    assert alive(simulator, "777") == 1


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("n", "Nothing was changed; the new grant was revoked."),
        ("", "Nothing was changed; the new grant was revoked."),
        (CTRL_D, "error: nothing was entered"),
        (CTRL_C, 130),
    ],
)
def test_another_account_changes_nothing_without_a_yes(
    connection: Connect,
    simulator: SimulatorProcess,
    stored: Stored,
    person: Any,
    capsys: Capture,
    answer: str,
    code: str | int,
) -> None:
    """The old tokens stay, and a grant that nobody has any more is revoked, however the question ended."""
    connection()
    connected(person)
    before = stored(LEDGER)
    someone, heard = person(account="777", words=answer)
    with pytest.raises(SystemExit) as ended:
        main(["connect", "lightspeed_default"])
    assert ended.value.code == code
    assert stored(LEDGER) == before
    assert alive(simulator, "777") == 0
    said = "".join([*heard, *capsys.readouterr(), str(code)])
    assert f"reads account {simulator.account_id} so far; this consent is for account 777" in said
    assert not [secret for secret in secrets_of(simulator, before, someone.redirected) if secret in said]


def test_tokens_that_stay_locked_leave_no_grant_behind(
    connection: Connect, simulator: SimulatorProcess, stored: Stored, person: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be stored is revoked: on the command line there is no second press of the button."""
    connection()
    connected(person)
    before = stored(LEDGER)
    monkeypatch.setattr("airflow_provider_lightspeed.tokens.connect.LOCK_PATIENCE", 0.0)
    person(account="777")
    with locked_ledger("lightspeed_default"), pytest.raises(SystemExit, match=r"^error: "):
        main(["connect", "lightspeed_default", "--yes"])
    assert stored(LEDGER) == before
    assert alive(simulator, "777") == 0


def test_what_cannot_be_revoked_either_is_said_beside_the_reason(
    connection: Connect, simulator: SimulatorProcess, person: Any, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """The command reports what ended it; that a grant is left alive, and where to end it, stands above."""
    connection()
    connected(person)
    monkeypatch.setattr("airflow_provider_lightspeed.tokens.connect.LOCK_PATIENCE", 0.0)
    person(account="777")
    simulator.faults({"action": "status", "path": "/oauth/revoke", "status": 503, "count": None})
    with locked_ledger("lightspeed_default"), pytest.raises(SystemExit, match=r"^error: .*another process"):
        main(["connect", "lightspeed_default", "--yes"])
    assert "The new grant is still alive: end it in Lightspeed's settings" in capsys.readouterr().err


@pytest.mark.parametrize("pasted", ["", "https://example.com/", "https://example.com/?code=x&state=another"])
def test_wrong_paste_is_explained(
    connection: Connect, stored: Stored, monkeypatch: pytest.MonkeyPatch, pasted: str
) -> None:
    """One line, and what to do; nothing is stored."""
    connection()
    before = stored("lightspeed_default")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{pasted}\n"))
    with pytest.raises(SystemExit, match=r"^error: .*(start again|paste the whole)") as ended:
        main(["connect", "lightspeed_default"])
    assert "\n" not in str(ended.value.code)
    assert stored("lightspeed_default") == before
