"""A metadata database and processes that reach it directly: what Airflow 2.11's tasks, the CLI and API servers are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tools.databases import migrated
from tools.fork_server import ForkedProcess, ForkServer

ROOT: Final = Path(__file__).parents[1]
STORED: Final = """
import json
from airflow.models.connection import Connection
from airflow_provider_lightspeed.compat import new_session
print(json.dumps({row.conn_id: json.loads(row.extra or "{}") for row in new_session().query(Connection)}))
"""
ADDED: Final = """
import json, sys
from airflow.models.connection import Connection
from airflow_provider_lightspeed.compat import new_session
session = new_session()
session.add(Connection(conn_id=sys.argv[1], **json.loads(sys.argv[2])))
session.commit()
"""


class Deployment:
    """An Airflow home and its database; starts processes in its environment. A context manager.

    :param environment: how the database is reached, which has Airflow's tables.
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

    @cached_property
    def _server(self) -> ForkServer:
        return ForkServer(self.environment)

    def close(self) -> None:
        """End the processes that wait for something; the deployment can be used no more."""
        if "_server" in self.__dict__:
            self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self, *arguments: str, **environment: str) -> ForkedProcess:
        """Start Python and return once it prints ``ready``; a line to its standard input lets it go on.

        :raises AssertionError: it ended before.
        """
        return self.start_all([(arguments, environment)])[0]

    def start_all(self, commands: Sequence[tuple[Sequence[str], Mapping[str, str]]]) -> list[ForkedProcess]:
        """Start several, each with its own variables, at the same time; return once all are ready."""
        processes = [
            self._server.start(arguments, self.environment | dict(environment)) for arguments, environment in commands
        ]
        for process in processes:
            while (line := process.stdout.readline()).strip() != "ready":
                assert line, f"it ended with status {process.wait()} before it was ready: {process.errors()[-3000:]}"
        return processes

    def run(self, *arguments: str, **environment: str) -> str:
        """Run Python to its end and return what it printed."""
        process = self._server.start(arguments, self.environment | environment)
        printed = process.communicate()
        assert process.wait() == 0, process.errors()[-3000:] or printed[-3000:]
        return printed

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
        self.run("-c", ADDED, conn_id, json.dumps(fields))
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
def deployed(kind: str, folder: Path, config: Mapping[str, str] | None = None) -> Iterator[Deployment]:
    """Yield a deployment on a database of this kind (``tools.databases.DATABASES``)."""
    with migrated(kind, folder / kind) as environment, Deployment(folder / "home", environment, config) as made:
        yield made


def finish(process: ForkedProcess) -> tuple[int, str]:
    """Let a process go, and return its status and last line."""
    printed = process.communicate("go\n").strip()
    return process.wait(), printed.splitlines()[-1] if printed else ""


def release(processes: Sequence[ForkedProcess]) -> None:
    """Let all go at the same moment."""
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
