"""Start Python processes by forking one that has imported Airflow: milliseconds instead of seconds.

Each command runs in a real process of its own, with its own memory, database connections and standard streams; it can
be killed like any other. Only the imports are shared. The parent process opens no database connection and starts no
thread, so that there is nothing to inherit but modules.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

ROOT: Final = Path(__file__).parents[1]
#: Imported once, before the first fork.
PRELOADED: Final = (
    "airflow.__main__",
    "airflow.cli.commands.connection_command",
    "airflow.utils.db",
    "airflow_provider_lightspeed.arrow.convert",
    "airflow_provider_lightspeed.client.rest",
    "airflow_provider_lightspeed.extract.plan",
    "airflow_provider_lightspeed.hooks.lightspeed",
    "airflow_provider_lightspeed.tokens.refresh",
    "airflow_provider_lightspeed.tokens.source",
    "alembic.command",
    "tools.skewed_clock",
)


class ForkedProcess:
    """A process that the fork server started.

    :ivar pid: its process ID, for ``os.kill``.
    :ivar stdin: a text stream that the process reads.
    :ivar stdout: a text stream that the process writes.
    """

    def __init__(self, stdin: IO[str], stdout: IO[str], stderr: IO[str], status: IO[str]) -> None:
        self.stdin, self.stdout, self._stderr, self._status = stdin, stdout, stderr, status
        self._returncode: int | None = None
        line = status.readline()
        if not line:
            self.close()
            raise RuntimeError("the fork server has ended; its own words are on standard error")
        self.pid = int(line)

    def communicate(self, text: str = "") -> str:
        """Send text, close its standard input, and return what it still prints until it ends."""
        with contextlib.suppress(BrokenPipeError):  # it has ended
            self.stdin.write(text)
            self.stdin.close()
        printed = self.stdout.read()
        self.wait()
        return printed

    def wait(self) -> int:
        """Return its exit status once it has ended: negative, the signal that ended it."""
        if self._returncode is None:
            self._returncode = os.waitstatus_to_exitcode(int(self._status.readline()))
            self._status.close()
        return self._returncode

    def errors(self) -> str:
        """Return what it has printed on standard error."""
        self._stderr.seek(0)
        return self._stderr.read()

    def close(self) -> None:
        """Close the streams, which ends a process that waits for its input."""
        for stream in (self.stdin, self.stdout, self._stderr, self._status):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


class ForkServer:
    """A process that has imported Airflow and forks itself on demand; a context manager. Threads may share it.

    :param environment: the variables that Airflow's configuration is read from.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._started: list[ForkedProcess] = []
        self._starting = threading.Lock()
        with theirs:
            command = [
                sys.executable,
                "-W",
                "ignore::DeprecationWarning",
                "-m",
                "tools.fork_server",
                str(theirs.fileno()),
            ]
            # What imports print belongs to no command.
            self._process = subprocess.Popen(
                command, env=dict(environment), cwd=ROOT, pass_fds=[theirs.fileno()], stdout=subprocess.DEVNULL
            )

    def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> ForkedProcess:
        """Run ``python`` with these arguments, ``-m module ...`` or ``-c code ...``, and these variables."""
        their_stdin, stdin = os.pipe()
        stdout, their_stdout = os.pipe()
        status, their_status = os.pipe()
        stderr = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - the process's owner closes it
        theirs = [their_stdin, their_stdout, stderr.fileno(), their_status]
        message = json.dumps({"arguments": list(arguments), "environment": dict(environment)})
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # then it says below that the server has ended
            socket.send_fds(self._control, [message.encode()], theirs)
        for descriptor in (their_stdin, their_stdout, their_status):
            os.close(descriptor)
        made = ForkedProcess(os.fdopen(stdin, "w"), os.fdopen(stdout), stderr, os.fdopen(status))
        with self._starting:
            self._started.append(made)
        return made

    def close(self) -> None:
        """End the server and close the streams of what it started."""
        self._control.close()
        for process in self._started:
            process.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(control: socket.socket) -> dict[str, Any] | None:
    """Fork for each command. Returns the command in the process that is to run it, ``None`` in the server at the end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever keeps a process is reaped by the kernel
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1 << 20, 4)
        if not message:
            return None
        if os.fork() == 0:
            control.close()
            return _keep(json.loads(message), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _keep(command: dict[str, Any], stdin: int, stdout: int, stderr: int, status: int) -> dict[str, Any]:
    """Fork again: the child goes on with the command, this process reports the child's ID and its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        for descriptor, standard in ((stdin, 0), (stdout, 1), (stderr, 2)):
            os.dup2(descriptor, standard)
            os.close(descriptor)
        os.close(status)
        return command
    for descriptor in (stdin, stdout, stderr):
        os.close(descriptor)
    os.write(status, f"{pid}\n".encode())
    os.write(status, f"{os.waitpid(pid, 0)[1]}\n".encode())
    os._exit(0)


def _run(arguments: list[str]) -> None:
    """Do what ``python`` does with these arguments."""
    option, what, *rest = arguments
    if option == "-m":
        sys.argv = [what, *rest]
        runpy.run_module(what, run_name="__main__", alter_sys=True)
        return
    sys.argv = [option, *rest]  # as `python -c` has it
    exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - it is what `-c` is for


def _preload() -> None:
    """Import what commands use, Airflow's tables with their relations included."""
    from airflow.models import import_all_models
    from sqlalchemy.orm import configure_mappers

    for name in PRELOADED:
        importlib.import_module(name)
    import_all_models()  # type: ignore[no-untyped-call]
    configure_mappers()


def main() -> None:
    """Import, serve, and in each forked process run its command."""
    control = socket.socket(fileno=int(sys.argv[1]))
    _preload()
    gc.freeze()  # the collector of a forked process would touch, and so copy, all that was imported
    command = serve(control)
    if command is not None:
        sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", errors="replace")
        os.environ.clear()
        os.environ |= command["environment"]
        _run(command["arguments"])


if __name__ == "__main__":
    main()
