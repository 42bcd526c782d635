"""``disconnect`` against the simulator: what an answer does, and what is said before it."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.cli import main
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.person import LEDGER, Capture, Connect, Stored, alive, connected, secrets_of


@pytest.mark.parametrize(("options", "answer"), [([], "y"), ([], "yes"), (["--yes"], None), (["-y"], None)])
def test_disconnect_revokes_and_forgets_after_a_yes(
    connection: Connect,
    simulator: SimulatorProcess,
    stored: Stored,
    person: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    options: list[str],
    answer: str | None,
) -> None:
    """``--yes`` asks nothing, so it needs no input. A second time there is nothing to revoke."""
    connection()
    someone, _ = person()
    main(["connect", "lightspeed_default"])
    ledger, before = stored(LEDGER), alive(simulator, simulator.account_id)
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", io.StringIO("" if answer is None else f"{answer}\n"))
    main(["disconnect", "lightspeed_default", *options])
    out, err = capsys.readouterr()
    assert out == "lightspeed_default: disconnected, the grant was revoked at Lightspeed\n"
    assert not [secret for secret in secrets_of(simulator, ledger, someone.redirected) if secret in out + err]
    assert stored(LEDGER)["token"] is None
    assert "refresh_token" not in stored("lightspeed_default")
    assert alive(simulator, simulator.account_id) == before - 1
    with pytest.raises(SystemExit, match=r"^error: .*no grant to revoke"):
        main(["disconnect", "lightspeed_default", "-y"])


@pytest.mark.parametrize(
    ("typed", "code"),
    [("n\n", "Nothing was changed."), ("\n", "Nothing was changed."), ("", "error: nothing was entered")],
)
def test_disconnect_changes_nothing_without_a_yes(
    connection: Connect, stored: Stored, person: Any, monkeypatch: pytest.MonkeyPatch, typed: str, code: str
) -> None:
    """No is the answer of who only presses Enter, and of a script without input."""
    connection()
    connected(person)
    before = stored(LEDGER)
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    with pytest.raises(SystemExit) as ended:
        main(["disconnect", "lightspeed_default"])
    assert ended.value.code == code
    assert stored(LEDGER) == before


def test_disconnect_names_who_shares_the_grant(
    connection: Connect,
    stored: Stored,
    person: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    """What ends here ends there: that is known before the answer."""
    connection()
    connected(person)
    connection("other", extra={"refresh_token": stored(LEDGER)["token"]["refresh_token"]})
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    with pytest.raises(SystemExit):
        main(["disconnect", "lightspeed_default"])
    assert "The same grant serves other: what ends here ends there." in capsys.readouterr().err
