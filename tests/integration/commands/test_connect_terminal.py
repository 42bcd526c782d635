"""``connect`` at a pseudo-terminal, which by itself cuts lines."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest
import requests

pytest.importorskip("airflow")

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.person import LEDGER, Connect, Stored
from tests.support.terminal import Terminal

pytestmark = pytest.mark.process


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


def test_consent_on_a_terminal_from_the_address_to_the_stored_grant(
    connection: Connect, simulator: SimulatorProcess, stored: Stored
) -> None:
    """The whole command: what is pasted has 6,000 characters, and the code stands at their end."""
    connection(extra={"refresh_token": ""})
    terminal = Terminal("connect", "lightspeed_default", is_typed=True)
    url = next(line for line in terminal.out if line.startswith(b"http")).decode().strip()
    reply = requests.post(url, data={"decision": "allow"}, allow_redirects=False, timeout=30)
    terminal.read_until("> $")
    address, _, query = reply.headers["Location"].partition("?")
    terminal.type(f"{address}?filler={'x' * 6_000}&{query}\n")
    status, out = terminal.finish()
    assert status == 0, terminal.screen[-3000:]
    assert out.startswith("lightspeed_default: Connected to ")
    assert terminal.screen.endswith("\r\n"), "Enter ends the line on the screen too"
    token = stored(LEDGER)["token"]
    assert token["account_id"] == simulator.account_id
    secrets = (simulator.client_secret, token["access_token"], token["refresh_token"])
    assert not [secret for secret in secrets if secret in terminal.screen + out]
