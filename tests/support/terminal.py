"""The real command in a process of its own, at a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import IO, Final

from airflow_provider_lightspeed.compat import AIRFLOW_V_3_0_PLUS

#: Airflow 2 takes no commands from providers.
COMMAND: Final = ["airflow", "lightspeed"] if AIRFLOW_V_3_0_PLUS else ["airflow_provider_lightspeed"]
ROOT: Final = Path(__file__).parents[2]


def _heed_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Terminal:
    """A process whose standard error is a terminal of 100 columns, while its standard output is a pipe.

    It uses this process's Airflow home and database, but is told nothing of a test.

    :param is_typed: standard input is the terminal as well; without, there is none.
    """

    ENVIRONMENT: Final = {
        "TERM": "xterm-256color",
        "PYTHONPATH": str(ROOT),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    }

    def __init__(self, *arguments: str, is_typed: bool = False) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", *COMMAND, *arguments],
            stdin=slave if is_typed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=slave,
            cwd=ROOT,
            env=os.environ | self.ENVIRONMENT,
            # A runner in the background ignores Ctrl-C, and its children would inherit that.
            preexec_fn=_heed_ctrl_c,  # noqa: PLW1509 - a signal handler is all it sets
        )
        os.close(slave)
        self.screen = ""

    @property
    def out(self) -> IO[bytes]:
        """The other end of its standard output."""
        assert self.process.stdout is not None
        return self.process.stdout

    def read_until(self, pattern: str) -> None:
        """Read what is written to the terminal until it matches; the end of the process is an end too."""
        while not re.search(pattern, self.screen):
            try:
                chunk = os.read(self._master, 65_536)
            except OSError:  # how Linux says that the other end is closed
                return
            self.screen += chunk.decode(errors="replace")

    def type(self, text: str) -> None:
        """Type, or paste, in pieces that a terminal takes at once."""
        for start in range(0, len(text), 500):
            os.write(self._master, text[start : start + 500].encode())

    def finish(self) -> tuple[int, str]:
        """Read to the end; return exit status and the rest of standard output."""
        self.read_until(r"(?!)")
        os.close(self._master)
        out, _ = self.process.communicate()
        return self.process.returncode, out.decode()
