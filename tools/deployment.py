"""A metadata database and processes that reach it directly: what Airflow 2.11's tasks, the CLI and API servers are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from tools.databases import migrated

ROOT: Final = Path(__file__).parents[1]
STORED: Final = """
import json
from airflow.models.connection import Connection
from airflow_provider_lightspeed.compat import new_session
print(json.dumps({row.conn_id: json.loads(row.extra or "{}") for row in new_session().query(Connection)}))
"""


class Deployment:
    """An Airflow home with a migrated database; starts processes in its environment.

    :param environment: how the database is reached.
    :param config: further settings, ``section__key`` to value.
    """

    def __init__(self, home: Path, environment: Mapping[str, str], config: Mapping[str, str] | None = None) -> None:
        from cryptography.fernet import Fernet

        kept = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
        settings = {
            "core__load_examples": "False",
            "core__fernet_key": Fernet.generate_key().decode(),
            "database__load_default_connections": "False",
            "lightspeed__allowed_hosts": "http://127.0.0.1:*",
            **(config or {}),
        }
        ours = {f"AIRFLOW__{key.upper()}": value for key, value in settings.items()}
        self.environment = {**kept, "PYTHONPATH": str(ROOT), **ours, **environment, "AIRFLOW_HOME": str(home)}
        home.mkdir(parents=True, exist_ok=True)

    def migrate(self) -> Self:
        """Create the tables."""
        self.run("-m", "airflow", "db", "migrate")
        return self

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start Python and return once it prints ``ready``; a line to its standard input lets it go on.

        :raises AssertionError: it ended before.
        """
        return self.start_all([(arguments, environment)])[0]

    def start_all(self, commands: Sequence[tuple[Sequence[str], Mapping[str, str]]]) -> list[subprocess.Popen[str]]:
        """Start several, each with its own variables, at the same time; return once all are ready."""
        pipe = subprocess.PIPE
        processes = [
            subprocess.Popen(
                [sys.executable, *arguments],
                env=self.environment | dict(environment),
                cwd=ROOT,
                stdin=pipe,
                stdout=pipe,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for arguments, environment in commands
        ]
        for process in processes:
            assert process.stdout is not None
            while (line := process.stdout.readline()).strip() != "ready":
                assert line, f"the process ended with status {process.wait()} before it was ready"
        return processes

    def run(self, *arguments: str, **environment: str) -> str:
        """Run Python to its end and return what it printed."""
        done = subprocess.run(
            [sys.executable, *arguments],
            env=self.environment | environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:] or done.stdout[-3000:]
        return done.stdout

    def airflow(self, *arguments: str) -> str:
        """Run ``airflow ...`` and return what it printed."""
        return self.run("-m", "airflow", *arguments)

    def stored(self) -> dict[str, Any]:
        """Return the extras of all connections."""
        found: dict[str, Any] = json.loads(self.run("-c", STORED).splitlines()[-1])
        return found

    def connect(self, simulator: Any, conn_id: str = "lightspeed_default", **changes: Any) -> dict[str, Any]:
        """Store a connection with a new grant and return its fields."""
        token = simulator.grant()["refresh_token"]
        fields = {"conn_type": "lightspeed", **simulator.connection(refresh_token=token), **changes}
        self.airflow("connections", "add", conn_id, "--conn-json", json.dumps(fields))
        return fields

    def forget(self) -> None:
        """Delete every connection and variable."""
        self.run(
            "-c",
            "from airflow.models.connection import Connection\nfrom airflow.models.variable import Variable\n"
            "from airflow_provider_lightspeed.compat import new_session\n"
            "s = new_session()\n[s.delete(row) for kind in (Connection, Variable) for row in s.query(kind)]\ns.commit()",
        )


@contextmanager
def deployed(kind: str, folder: Path) -> Iterator[Deployment]:
    """Yield a deployment on a database of this kind (``tools.databases.DATABASES``)."""
    with migrated(kind, folder / kind) as environment:
        yield Deployment(folder / "home", environment)


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
