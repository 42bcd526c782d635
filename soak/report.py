"""How much of everything, and what is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LOCAL: Final = "LocalExecutor"
CELERY: Final = "CeleryExecutor"


@dataclass(frozen=True, slots=True)
class Shape:
    """A whole deployment.

    :param database: one of ``tools.databases.DATABASES``; ``pgbouncer`` is Postgres behind a pooler.
    :param servers: API server processes.
    :param skew: seconds that the tasks' clocks are wrong.
    :param executor: ``LocalExecutor``, or ``CeleryExecutor`` with Redis and two workers.
    """

    database: str
    servers: int = 1
    skew: float = 0.0
    executor: str = LOCAL

    def __str__(self) -> str:
        servers = f"{self.servers} API server{'s' if self.servers > 1 else ''}"
        return f"{self.executor}, {self.database}, {servers}, clocks {self.skew:.0f} s wrong"


@dataclass(frozen=True, slots=True)
class Size:
    """How long and how wide a soak is.

    :param life: seconds that an access token lives.
    :param seconds: how long the crowd reads.
    :param bad_seconds: how long it tries on bad days.
    :param kills: per rotation profile.
    :param refreshers: processes that refresh at the same time; one after another is killed.
    :param server_kills: kills of an API server.
    :param skews: seconds that worker processes' clocks are wrong, half of them ahead and half behind.
    :param shapes: whole deployments.
    :param upset_tasks: tasks of a storm during which a worker, Redis and the API server die.
    :param connections: connections whose tokens lapse at the same moment; 0 for none.
    :param askers: tasks that ask for their tokens at the same time.
    :param midnight_life: seconds that those tokens live.
    :param weeks: seeds of busy weeks.
    :param week_days: days that each of them has.
    """

    tasks: int = 64
    workers: int = 16
    life: float = 15.0
    seconds: float = 180.0
    bad_seconds: float = 120.0
    databases: tuple[str, ...] = ("sqlite", "mariadb", "pgbouncer", "postgres")
    kills: int = 300
    refreshers: int = 6
    server_kills: int = 6
    saves: int = 200
    waiters: int = 200
    skews: tuple[float, ...] = (0.0, 3600.0)
    shapes: tuple[Shape, ...] = (
        Shape("sqlite"),  # not MariaDB: Airflow's own scheduler does not run on it
        Shape("pgbouncer", 2, 0.0, CELERY),
        Shape("postgres", 1, 0.0),
        Shape("postgres", 4, 0.0),
        Shape("postgres", 4, 3600.0),
        Shape("postgres", 2, 3600.0, CELERY),
    )
    upset_tasks: int = 32
    connections: int = 500
    askers: int = 64
    midnight_life: float = 150.0
    weeks: int = 20
    week_days: float = 7.0


WHOLE = Size()
SHORT = Size(
    tasks=8,
    workers=4,
    seconds=35.0,
    bad_seconds=15.0,
    databases=("postgres",),
    kills=5,
    refreshers=3,
    server_kills=1,
    saves=10,
    waiters=50,
    skews=(3600.0,),
    shapes=(Shape("postgres", 2, 3600.0, CELERY),),
    upset_tasks=4,
    connections=0,
)


def refreshes_per_minute(moments: Sequence[float]) -> int:
    """Return the largest number of moments within any 60 seconds."""
    return max((sum(start <= other < start + 60 for other in moments) for start in moments), default=0)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of all lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
