"""The person who connects an account, played over real HTTP against the simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
import requests

from airflow_provider_lightspeed.cli import main
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess

Connect = Callable[..., str]
Stored = Callable[[str], dict[str, Any]]
Capture = pytest.CaptureFixture[str]
LEDGER: Final = "lightspeed_default__lightspeed_tokens"
CTRL_C: Final = "\x03"
CTRL_D: Final = "\x04"


class Person:
    """Standard input of somebody who reads the printed address, decides there, and types what was asked for.

    :param decision: what they press at Lightspeed.
    :param account: of which account they are an employee; default the simulator's own.
    :param words: what they answer to the one further question: ``CTRL_C``, or ``CTRL_D``, is no answer.
    """

    def __init__(self, printed: Callable[[], str], decision: str = "allow", account: str = "", words: str = "") -> None:
        self._printed, self._decision, self._account, self._words = printed, decision, account, words
        self.redirected = self.url = ""

    def isatty(self) -> bool:
        """It is a script that plays the person."""
        return False

    def readline(self) -> str:
        """Answer one question."""
        if self.redirected:
            if self._words == CTRL_C:
                raise KeyboardInterrupt
            return "" if self._words == CTRL_D else f"{self._words}\n"
        (url,) = (line for line in self._printed().splitlines() if line.startswith("http"))
        self.url = url
        url += f"&sim_account={self._account}" if self._account else ""
        reply = requests.post(url, data={"decision": self._decision}, allow_redirects=False, timeout=30)
        self.redirected = reply.headers["Location"]
        return f"{self.redirected}\n"


def secrets_of(simulator: SimulatorProcess, ledger: dict[str, Any], redirected: str) -> list[str]:
    """Return everything that must not be printed."""
    code = redirected.partition("code=")[2].partition("&")[0]
    token = ledger["token"]
    return [simulator.client_secret, token["access_token"], token["refresh_token"], code]


def connected(person: Any) -> None:
    """Give consent for the simulator's own account."""
    person()
    main(["connect", "lightspeed_default"])


def alive(simulator: SimulatorProcess, account: str) -> int:
    """Return how many grants of an account were not revoked."""
    return sum(grant["account_id"] == account and not grant["revoked"] for grant in simulator.grants())
