"""``connect`` and ``disconnect`` against the simulator: the person's part is played over real HTTP."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

import pytest
import requests

pytest.importorskip("airflow")

from airflow_provider_lightspeed.cli import main
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess

Connect = Callable[..., str]
Stored = Callable[[str], dict[str, Any]]
LEDGER: Final = "lightspeed_default__lightspeed_tokens"


class Person:
    """Standard input of somebody who reads the printed address, decides there, and types what was asked for.

    :param decision: what they press at Lightspeed.
    :param account: of which account they are an employee; default the simulator's own.
    :param words: what they answer to each further question.
    """

    def __init__(self, printed: Callable[[], str], decision: str = "allow", account: str = "", words: str = "") -> None:
        self._printed, self._decision, self._account, self._words = printed, decision, account, [words]
        self.redirected = ""

    def isatty(self) -> bool:
        """It is a script that plays the person."""
        return False

    def readline(self) -> str:
        """Answer one question."""
        if self.redirected:
            return f"{self._words.pop(0)}\n"
        (url,) = (line for line in self._printed().splitlines() if line.startswith("http"))
        url += f"&sim_account={self._account}" if self._account else ""
        reply = requests.post(url, data={"decision": self._decision}, allow_redirects=False, timeout=30)
        self.redirected = reply.headers["Location"]
        return f"{self.redirected}\n"


@pytest.fixture
def person(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Person, list[str]]]:
    """Return a function that puts a person at standard input; what was printed so far is kept in the list."""

    def make(**options: str) -> tuple[Person, list[str]]:
        heard: list[str] = []

        def printed() -> str:
            out, err = capsys.readouterr()
            heard.extend((out, err))
            return out

        made = Person(printed, **options)
        monkeypatch.setattr(sys, "stdin", made)
        return made, heard

    return make


def secrets_of(simulator: SimulatorProcess, ledger: dict[str, Any], redirected: str) -> list[str]:
    """Return everything that must not be printed."""
    code = redirected.partition("code=")[2].partition("&")[0]
    token = ledger["token"]
    return [simulator.client_secret, token["access_token"], token["refresh_token"], code]


def test_connect_stores_a_grant_and_prints_no_secret(
    connection: Connect, simulator: SimulatorProcess, stored: Stored, person: Any, capsys: pytest.CaptureFixture[str]
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


def test_scopes_are_the_ones_asked_for(
    connection: Connect, simulator: SimulatorProcess, stored: Stored, person: Any
) -> None:
    """Separated by commas or repeated; one that the documentation does not have is named."""
    connection()
    person()
    main(["connect", "lightspeed_default", "--scope", "employee:reports,employee:tags", "--scope", "employee:vendors"])
    assert stored(LEDGER)["token"]["scope"] == ["employee:reports", "employee:tags", "employee:vendors"]
    with pytest.raises(SystemExit, match=r"error: scope: 'employee:report' .*employee:reports"):
        main(["connect", "lightspeed_default", "--scope", "employee:report"])


def test_refusal_at_lightspeed_is_said(connection: Connect, stored: Stored, person: Any) -> None:
    """Nothing is stored."""
    connection()
    person(decision="deny")
    with pytest.raises(SystemExit, match="error: consent was refused"):
        main(["connect", "lightspeed_default"])
    assert "refresh_token" in stored("lightspeed_default")


@pytest.mark.parametrize(("answer", "account"), [("y", "777"), ("n", "")])
def test_another_account_is_confirmed(
    connection: Connect, simulator: SimulatorProcess, stored: Stored, person: Any, answer: str, account: str
) -> None:
    """A person decides; a grant that nobody wants is revoked."""
    connection()
    person()
    main(["connect", "lightspeed_default"])
    person(account="777", words=answer)
    if answer == "y":
        main(["connect", "lightspeed_default"])
    else:
        with pytest.raises(SystemExit, match="the new grant was revoked"):
            main(["connect", "lightspeed_default"])
    assert stored(LEDGER)["token"]["account_id"] == (account or simulator.account_id)
    alive = [grant for grant in simulator.grants() if grant["account_id"] == "777" and not grant["revoked"]]
    assert len(alive) == (answer == "y")


@pytest.mark.parametrize("pasted", ["", "https://example.com/", "https://example.com/?code=x&state=another"])
def test_wrong_paste_is_explained(connection: Connect, monkeypatch: pytest.MonkeyPatch, pasted: str) -> None:
    """One line, and what to do."""
    connection()
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{pasted}\n"))
    with pytest.raises(SystemExit, match=r"^error: .*(start again|paste the whole)"):
        main(["connect", "lightspeed_default"])


def test_disconnect_revokes_and_forgets(
    connection: Connect, simulator: SimulatorProcess, stored: Stored, person: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a yes; the other connection on the same grant is named."""
    connection()
    person()
    main(["connect", "lightspeed_default"])
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    with pytest.raises(SystemExit, match=r"Nothing was changed"):
        main(["disconnect", "lightspeed_default"])
    assert stored(LEDGER)["token"]
    main(["disconnect", "lightspeed_default", "--yes"])
    assert stored(LEDGER)["token"] is None
    assert "refresh_token" not in stored("lightspeed_default")
    with pytest.raises(SystemExit, match=r"^error: .*no grant to revoke"):
        main(["disconnect", "lightspeed_default", "-y"])


def test_long_paste_is_not_cut() -> None:
    """A terminal by itself cuts a line at 4,096 characters; codes are of any length (changelog 2024.07.31)."""
    master, slave = pty.openpty()
    code = "from airflow_provider_lightspeed.commands.consents import _line; print('read', len(_line('> ')))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    os.close(slave)
    assert process.stdout is not None
    assert process.stderr is not None
    while process.stderr.read(1) != b">":  # from now on it listens
        pass
    for _ in range(12):
        os.write(master, b"x" * 500)
    os.write(master, b"y\x7f\n")
    found = process.stdout.read()
    process.stderr.close()
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    os.close(master)
    assert b"read 6000" in found
