"""Who asks for a refresh: for the event log, the log and the ledger. Labels only, nothing is decided by them."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

#: As Airflow cuts its own identifiers.
_LONGEST: Final = 250
_HIGHEST_INDEX: Final = 999_999


@dataclass(frozen=True, slots=True)
class Asker:
    """A task instance, or a person at a terminal.

    :param user: who, where it is no task.
    """

    dag_id: str = ""
    task_id: str = ""
    run_id: str = ""
    map_index: int = -1
    user: str = ""

    @classmethod
    def current(cls) -> Asker:
        """Return the task that this process runs (Airflow exports it to the environment), else the process's user."""
        found = {
            name: os.environ.get(f"AIRFLOW_CTX_{name.upper()}", "")
            for name in ("dag_id", "task_id", "dag_run_id", "map_index")
        }
        if found["task_id"]:
            return cls.parse({**found, "run_id": found["dag_run_id"]})
        try:
            return cls(user=getpass.getuser())
        except (KeyError, OSError):  # a container without a user database
            return cls(user=f"uid {os.getuid()}")

    @classmethod
    def parse(cls, data: object) -> Asker:
        """Read what somebody sent; anything that is not a short printable label is left out."""
        if not isinstance(data, Mapping):
            return cls()
        labels = {name: _label(data.get(name)) for name in ("dag_id", "task_id", "run_id", "user")}
        return cls(**labels, map_index=_index(data.get("map_index")))

    def __str__(self) -> str:
        if not self.task_id:
            return self.user or "unknown"
        task = f"{self.dag_id}.{self.task_id}"
        return task if self.map_index < 0 else f"{task}[{self.map_index}]"


def _index(value: Any) -> int:
    """Return a map index, -1 for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return -1
    try:
        index = int(value)
    except ValueError:
        return -1
    return index if 0 <= index <= _HIGHEST_INDEX else -1


def _label(value: Any) -> str:
    return value[:_LONGEST] if isinstance(value, str) and value.isprintable() else ""
