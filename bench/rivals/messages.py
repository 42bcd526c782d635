"""What the two tools have in common that write a line of JSON for each record to stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def stdout_into(path: Path) -> Iterator[None]:
    """Send this process's stdout into a file, as a shell's ``>`` does, and give it back afterwards."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with path.open("wb") as file:
            os.dup2(file.fileno(), 1)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def counted(records: Iterator[dict[str, Any]]) -> dict[str, int]:
    """Count sales and their lines; a single line may stand there without its list."""
    rows = lines = 0
    for sale in records:
        found = sale["SaleLines"]["SaleLine"]
        rows, lines = rows + 1, lines + (len(found) if isinstance(found, list) else 1)
    return {"rows": rows, "lines": lines}


def messages(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the messages of type RECORD."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            message = json.loads(line)
            if message["type"] == "RECORD":
                yield message
