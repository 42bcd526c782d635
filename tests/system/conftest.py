"""One Airflow 3 for all tests of whole deployments; each test brings connections, DAG IDs and folders of its own."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tools.airflow_stack import AirflowStack
from tools.databases import migrated

ROOT: Final = Path(__file__).parents[2]
DAILY: Final = "example_lightspeed_daily"
#: Roles of the simple auth manager beside the administrator, each with a user of its name.
ROLES: Final = ("viewer", "user", "op")


@dataclass(frozen=True)
class RunningAirflow:
    """Airflow below a path, with two API server workers, on Postgres; it tells a file of lineage and a socket of metrics.

    :param folder: holds Airflow's home, its DAGs and what OpenLineage was told (``lineage/``).
    :param metrics: the names that StatsD has heard.
    """

    stack: AirflowStack
    folder: Path
    metrics: set[str] = field(default_factory=set)

    @property
    def logs(self) -> dict[str, str]:
        """What every process and every task has written, by file."""
        files = [path for path in self.stack.home.rglob("*.log") if path.is_file()]
        assert files
        return {str(path): path.read_text(errors="replace") for path in files}


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAirflow]:
    """A whole Airflow 3, started once."""
    folder = tmp_path_factory.mktemp("airflow")
    shutil.copytree(ROOT / "tests" / "system" / "dags", folder / "dags")
    shutil.copy(ROOT / "dags" / f"{DAILY}.py", folder / "dags")
    (folder / "lineage").mkdir()
    lineage = {"type": "file", "log_file_path": str(folder / "lineage" / "event")}
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener,
        # Postgres: on SQLite, Airflow creates no backfill while others write.
        migrated("postgres", folder / "postgres") as database,
    ):
        listener.bind(("127.0.0.1", 0))
        statsd = {"on": "True", "host": "127.0.0.1", "port": str(listener.getsockname()[1])}
        config = {
            "api__workers": "2",
            "logging__logging_level": "DEBUG",
            "openlineage__transport": json.dumps(lineage),
            **{f"metrics__statsd_{name}": value for name, value in statsd.items()},
        }
        with AirflowStack(
            folder / "airflow",
            folder / "dags",
            config=config,
            environment=database,
            is_migrated=True,
            path="/airflow",
            users={role: role for role in ROLES},
        ) as stack:
            running = RunningAirflow(stack, folder)
            threading.Thread(target=_listen, args=(listener, running.metrics), daemon=True).start()
            yield running


def _listen(listener: socket.socket, metrics: set[str]) -> None:
    """Keep the names of all metrics, as a StatsD server does, until the socket is closed."""
    while True:
        try:
            metrics.add(listener.recv(65536).decode().partition(":")[0])
        except OSError:
            return
