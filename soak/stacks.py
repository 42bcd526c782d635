"""Whole Airflow 3 deployments of the soak: one for each shape that this machine can start."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from soak.report import CELERY, LOCAL, Shape, Size
from tools.airflow_stack import AirflowStack
from tools.celery_stack import HOSTS, CeleryStack
from tools.databases import available, migrated
from tools.redis_server import redis_is_installed
from tools.skewed_clock import SKEW

DAGS: Final = Path(__file__).parent / "dags"
CONN: Final = "lightspeed_default"


def startable(shape: Shape) -> Shape | None:
    """Return the shape as this machine can start it: without Redis, LocalExecutor; ``None`` if its database is missing."""
    if shape.database not in available():
        print(f"left out: {shape}: not installed", file=sys.stderr)
        return None
    if shape.executor == CELERY and not redis_is_installed():
        print(f"without Redis, LocalExecutor plays its part: {shape}", file=sys.stderr)
        return dataclasses.replace(shape, executor=LOCAL)
    return shape


@contextmanager
def stack_of(folder: Path, shape: Shape, size: Size, *, workers: int, seconds: float) -> Iterator[AirflowStack]:
    """Yield a running Airflow of this shape.

    :param workers: tasks that run at the same time.
    :param seconds: how long each task of the DAG ``storm`` reads.
    """
    numbers = {
        "SOAK_TASKS": str(size.tasks),
        "SOAK_UPSET_TASKS": str(size.upset_tasks),
        "SOAK_WORKERS": str(workers),
        "SOAK_SECONDS": str(seconds),
        SKEW: str(shape.skew),
    }
    with migrated(shape.database, folder / shape.database) as reached:
        environment = numbers | reached | {"PYTHONPATH": os.pathsep.join(_paths(reached))}
        config = {
            "core__parallelism": str(workers),
            "api__workers": str(shape.servers),
            # A task gives its API server five seconds, which is too short while everything runs at the same time.
            "workers__execution_api_timeout": "60",
        }
        made: Callable[..., AirflowStack] = AirflowStack
        if shape.executor == CELERY:
            made = partial(CeleryStack, concurrency=workers // len(HOSTS))
        with made(folder / "airflow", DAGS, config=config, environment=environment, is_migrated=True) as stack:
            yield stack


def _paths(reached: dict[str, str]) -> list[str]:
    return [path for path in (reached.get("PYTHONPATH"), str(Path(__file__).parents[1])) if path]


def connect(stack: AirflowStack, simulator: SimulatorProcess, conn_id: str = CONN) -> dict[str, Any]:
    """Add the connection as a person does, by the API; return its extra."""
    fields = simulator.connection(refresh_token=simulator.grant()["refresh_token"])
    stack.api.add_connection(conn_id, "lightspeed", **fields)
    extra: dict[str, Any] = json.loads(fields["extra"])
    return extra
