"""What an operating system may refuse this process: room on the disk, and the right to write."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: A user who owns nothing.
_NOBODY = 65_534


@contextmanager
def little_room(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, as on a full disk: writing more is an ``OSError`` of the operating system.

    :param size: bytes.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let this process write nothing into a folder: by its mode, and as another user if we are root, whom no mode stops."""
    mode, is_root = folder.stat().st_mode, os.geteuid() == 0
    folder.chmod(0o555)
    if is_root:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(mode)
