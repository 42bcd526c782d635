"""A PgBouncer of its own on loopback, in transaction mode: a statement after a commit may run on another server connection."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tools.airflow_api import wait_until
from tools.airflow_stack import free_port

#: Server connections for all of Airflow's processes together; far fewer than they open to the pooler.
POOL_SIZE: Final = 16
_CONFIG: Final = """
[databases]
* = host={host} port=5432 user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 1000
logfile = {folder}/pgbouncer.log
pidfile = {folder}/pgbouncer.pid
"""


def find_pgbouncer() -> str | None:
    """Return the program's path, ``None`` if it is not installed (``tools/install_servers.sh`` installs it)."""
    return shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))


@contextmanager
def pooled(folder: Path, socket_folder: str, database: str, owner: str | None) -> Iterator[str]:
    """Yield a SQLAlchemy URL that leads through a pooler to the Postgres at a socket.

    :param folder: holds the pooler's settings and log.
    :param owner: the user that runs it; PgBouncer refuses to run as root. ``None`` for the running one.
    """
    program, port = find_pgbouncer(), free_port()
    assert program is not None
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "pgbouncer.ini"
    settings.write_text(_CONFIG.format(host=socket_folder, port=port, pool_size=POOL_SIZE, folder=folder))
    if owner:
        shutil.chown(folder, owner)
    pooler = subprocess.Popen(
        [program, "--quiet", str(settings)], user=owner, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def listens() -> bool | None:
        assert pooler.poll() is None, (folder / "pgbouncer.log").read_text()[-2000:]
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0 or None

    try:
        wait_until("PgBouncer listens", listens, timeout=30)
        yield f"postgresql+psycopg2://postgres@127.0.0.1:{port}/{database}"
    finally:
        pooler.terminate()
        pooler.wait(timeout=30)
