"""A Redis of its own on loopback: the broker of a Celery deployment in tests and in the soak."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.airflow_api import wait_until
from tools.airflow_stack import free_port


def redis_is_installed() -> bool:
    """Tell whether ``redis-server`` can be started (``tools/install_servers.sh`` installs it)."""
    return shutil.which("redis-server") is not None


class RedisServer:
    """A Redis that keeps what it holds over a restart. A context manager.

    :param folder: holds its append-only file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> Self:
        """Start it and return once it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        keep = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--dir", str(self._folder)]
        listen = ["--bind", "127.0.0.1", "--port", str(self._port), "--daemonize", "no"]
        self._process = subprocess.Popen(
            ["redis-server", *listen, *keep], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )
        wait_until("Redis answers", self._answers, timeout=30)
        return self

    def _answers(self) -> bool | None:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=1) as probe:
                probe.sendall(b"PING\r\n")
                return probe.recv(16).startswith(b"+PONG") or None
        except OSError:
            return None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it with a signal; ``SIGKILL`` gives it no chance to save anything."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(timeout=30)

    def restart(self) -> None:
        """``kill -9``, and a start with what its append-only file holds."""
        self.stop(signal.SIGKILL)
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
