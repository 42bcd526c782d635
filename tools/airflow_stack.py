"""A whole Airflow 3 on loopback, as processes of its own: api-server, scheduler, dag-processor; SQLite, LocalExecutor."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import requests

from tools.airflow_api import AirflowApi, AirflowApiError, wait_until

PROCESSES: Final = ("api-server", "scheduler", "dag-processor")
USER: Final = "admin"
#: Seconds that Airflow may take to start, on a machine that does much else.
START: Final = 360.0


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class AirflowStack:
    """Airflow's processes in one folder; a context manager that ends exactly what it started.

    :param home: becomes ``AIRFLOW_HOME``; holds database, logs and the admin's password.
    :param dags: the DAGs folder.
    :param config: further settings, ``section__key`` to value.
    :param environment: further variables for all processes.
    :param is_migrated: the database has its tables already (:func:`tools.databases.migrated`).
    :param path: below which the API server is mounted, such as ``/airflow``.
    :param processes: which of them run; for pages the API server is enough.
    :param users: further users of the simple auth manager and their roles; all have the admin's password.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        *,
        port: int | None = None,
        config: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        is_migrated: bool = False,
        path: str = "",
        processes: tuple[str, ...] = PROCESSES,
        users: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}{path}"
        self.password = secrets.token_urlsafe(12)
        self._names = processes
        self._is_migrated = is_migrated
        self._users = {USER: "admin", **(users or {})}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._environment = self._make_environment(dags, config or {}) | dict(environment or {})
        self.api = AirflowApi(self.url, USER, self.password, alive=self.check)

    def _make_environment(self, dags: Path, config: Mapping[str, str]) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
        passwords = self.home / "passwords.json"
        settings = {
            "core__dags_folder": str(dags),
            "core__load_examples": "False",
            "core__executor": "LocalExecutor",
            "core__parallelism": "4",
            "core__auth_manager": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
            "core__simple_auth_manager_users": ",".join(f"{name}:{role}" for name, role in self._users.items()),
            "core__simple_auth_manager_passwords_file": str(passwords),
            "core__execution_api_server_url": f"{self.url}/execution/",
            "core__fernet_key": _fernet_key(),
            "core__test_connection": "Enabled",
            "api__base_url": self.url,
            "api__host": "127.0.0.1",
            "api__port": str(self.port),
            "api__workers": "1",
            "api__secret_key": secrets.token_hex(32),
            "api_auth__jwt_secret": secrets.token_hex(32),
            # SQLite's writers wait for one another, on a busy machine for longer than the default of five seconds.
            "database__sql_alchemy_conn": f"sqlite:///{self.home / 'airflow.db'}?timeout=30",
            "database__load_default_connections": "False",
            # A new file is found at once, and parsed once: tests edit no DAGs.
            "dag_processor__refresh_interval": "1",
            "dag_processor__bundle_refresh_check_interval": "1",
            "dag_processor__min_file_process_interval": "3600",
            "logging__base_log_folder": str(self.home / "logs"),
            "scheduler__enable_health_check": "False",
            "scheduler__scheduler_heartbeat_sec": "1",
            # An API server's first answers take longer than the default of five seconds where much starts at once.
            "workers__execution_api_timeout": "60",
            "usage_data_collection__enabled": "False",
            "lightspeed__allowed_hosts": "http://127.0.0.1:*",
            **config,
        }
        ours = {f"AIRFLOW__{key.upper()}": value for key, value in settings.items()}
        path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
        return {**kept, **ours, "AIRFLOW_HOME": str(self.home), "PATH": path, "NO_PROXY": "127.0.0.1,localhost"}

    def run(self, *arguments: str) -> str:
        """Run ``airflow ...`` to its end and return what it printed.

        :raises AirflowApiError: it failed; with its last words.
        """
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            msg = f"airflow {' '.join(arguments)}: {done.stderr[-2000:] or done.stdout[-2000:]}"
            raise AirflowApiError(msg)
        return done.stdout

    def start(self) -> Self:
        """Create the database, start the processes, and return once all report themselves healthy."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "passwords.json").write_text(json.dumps(dict.fromkeys(self._users, self.password)))
        if not self._is_migrated:
            self.run("db", "migrate")
        for name in self._names:
            self._launch(name)
        wait_until("Airflow healthy", self._healthy, timeout=START)
        return self

    @contextmanager
    def execution_api(self) -> Iterator[str]:
        """Run a second API server, with the apps that tasks need and no other, and yield its base URL."""
        name, port = "api-server of tasks", free_port()
        self._launch(name, "api-server", "--apps", "execution", "--port", str(port), "--workers", "1")
        url = self.url.replace(f":{self.port}", f":{port}")

        def is_up() -> bool | None:
            self.check()
            try:
                return requests.get(f"{url}/execution/health", timeout=5).ok or None
            except requests.RequestException:
                return None

        try:
            wait_until(f"{name} answers", is_up, timeout=START)
            yield url
        finally:
            self.kill(name)

    def _launch(self, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        log = (self.home / f"{name}.log").open("ab")
        command = [sys.executable, "-m", "airflow", *(arguments or (name,))]
        # A session of its own: the whole group, task processes included, can be ended by id.
        self._processes[name] = subprocess.Popen(
            command,
            env=self._environment if environment is None else environment,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        log.close()

    def kill(self, name: str) -> None:
        """``kill -9`` one of the processes with all that it started."""
        process = self._processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def restart(self, name: str) -> None:
        """Start a killed process anew and wait until all are healthy."""
        self._launch(name)
        wait_until("Airflow healthy", self._healthy, timeout=START)

    @property
    def database(self) -> str:
        """The metadata database's SQLAlchemy URL."""
        return self._environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]

    def stored_extra(self, conn_id: str) -> dict[str, Any] | None:
        """Return a connection's extra as it lies in the database, decrypted; ``None`` without such a row."""
        import sqlalchemy

        engine = sqlalchemy.create_engine(self.database)
        try:
            with engine.connect() as connection:
                query = sqlalchemy.text("SELECT extra FROM connection WHERE conn_id = :conn_id")
                text = connection.execute(query, {"conn_id": conn_id}).scalar()
        finally:
            engine.dispose()
        if text is None:
            return None
        found: dict[str, Any] = json.loads(self.decrypt(text))
        return found

    def decrypt(self, text: str) -> str:
        """Return in plain what lies encrypted in the metadata database."""
        from cryptography.fernet import Fernet

        return Fernet(self._environment["AIRFLOW__CORE__FERNET_KEY"]).decrypt(text).decode()

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every row of every table of the metadata database, as it lies there."""
        import sqlalchemy

        engine = sqlalchemy.create_engine(self.database)
        try:
            names = sqlalchemy.inspect(engine).get_table_names()
            with engine.connect() as connection:
                return {
                    name: [tuple(row) for row in connection.execute(sqlalchemy.text(f'SELECT * FROM "{name}"'))]  # noqa: S608
                    for name in names
                }
        finally:
            engine.dispose()

    def seen(self, conn_id: str) -> str:
        """Return the hash that a task would send: of the stored access token, or of the first refresh token."""
        ledger, own = self.stored_extra(f"{conn_id}__lightspeed_tokens"), self.stored_extra(conn_id) or {}
        token = (ledger or {}).get("token")
        held = token["access_token"] if token else own["refresh_token"]
        return hashlib.sha256(held.encode()).hexdigest()

    def refresh(self, conn_id: str) -> str:
        """Ask the refresh trigger as a task would and return the outcome; ``unanswered`` if the server went away."""
        try:
            body = {"seen": self.seen(conn_id)}
            reply = requests.post(f"{self.url}/lightspeed/refresh/{conn_id}", json=body, timeout=60)
        except requests.RequestException:
            return "unanswered"
        return str(reply.json()["outcome"])

    def _healthy(self) -> bool | None:
        self.check()
        health = self.api.health() or {}
        parts = ("metadatabase", *(name.replace("-", "_") for name in self._names if name != "api-server"))
        return True if all(health.get(part) == "healthy" for part in parts) else None

    def check(self) -> None:
        """Raise if one of the processes has ended by itself."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                tail = (self.home / f"{name}.log").read_text(errors="replace")[-2000:]
                msg = f"airflow {name} ended with status {process.returncode}:\n{tail}"
                raise AirflowApiError(msg)

    def stop(self) -> None:
        """End the processes, the scheduler's task processes included."""
        self.api.close()
        for process in self._processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self._processes.values():
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._processes.clear()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _fernet_key() -> str:
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()
