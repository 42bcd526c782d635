"""A whole Airflow 3 with the Celery executor on loopback: Redis, and workers that each live as on a host of their own.

A worker has an ``AIRFLOW_HOME`` and a host name of its own. It is given neither ``[database] sql_alchemy_conn`` nor the Fernet
key: as on a host that reaches nothing but broker, result backend and API server.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from tools.airflow_api import wait_until
from tools.airflow_stack import START, AirflowStack
from tools.redis_server import RedisServer

ROOT: Final = Path(__file__).parents[1]
HOSTS: Final = ("worker-1", "worker-2")
_HOST: Final = "LIGHTSPEED_TEST_HOST"
_DATABASE: Final = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
#: What a worker is not told.
_KEPT_FROM_WORKERS: Final = re.compile(r"AIRFLOW__(DATABASE__.*|CORE__FERNET_KEY|API__SECRET_KEY|API_AUTH__JWT_SECRET)")


def host_name() -> str:
    """Return the name of the host that this process plays (``[core] hostname_callable``)."""
    return os.environ.get(_HOST) or socket.getfqdn()


class CeleryStack(AirflowStack):
    """Airflow's processes, Redis and Celery workers in one folder; ends exactly what it started.

    :param hosts: the workers' names.
    :param concurrency: tasks that each of them runs at the same time.
    :param heartbeat_timeout: seconds without a heartbeat after which the scheduler takes a task for lost.

    The other parameters are those of :class:`~tools.airflow_stack.AirflowStack`; ``environment`` must say where the metadata
    database is.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        *,
        environment: Mapping[str, str],
        hosts: tuple[str, ...] = HOSTS,
        concurrency: int = 8,
        heartbeat_timeout: int = 40,
        config: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.redis = RedisServer(home.parent / "redis")
        self.hosts = hosts
        self._concurrency = concurrency
        celery = {
            "core__executor": "CeleryExecutor",
            "core__parallelism": str(concurrency * len(hosts)),
            "core__hostname_callable": "tools.celery_stack.host_name",
            "celery__broker_url": self.redis.url,
            "celery__result_backend": f"db+{environment[_DATABASE]}",
            "celery__worker_prefetch_multiplier": "1",
            # The default is one process per core, each of which imports Airflow.
            "celery__sync_parallelism": "1",
            "scheduler__task_instance_heartbeat_timeout": str(heartbeat_timeout),
            "scheduler__task_instance_heartbeat_timeout_detection_interval": "2",
        }
        path = [place for place in (environment.get("PYTHONPATH"), str(ROOT)) if place and place != str(ROOT)]
        paths = {"PYTHONPATH": os.pathsep.join([*path, str(ROOT)])}
        given = {**environment, **paths}
        super().__init__(home, dags, config={**celery, **(config or {})}, environment=given, **options)

    def start(self) -> Self:
        """Start Redis, Airflow and the workers; return once all of them answer."""
        self.redis.start()
        super().start()
        for host in self.hosts:
            self._launch_worker(host)
        for host in self.hosts:
            self._wait_for_worker(host)
        return self

    def restart(self, name: str) -> None:
        """Start a killed process anew and wait until it answers."""
        if name not in self.hosts:
            super().restart(name)
            return
        self._launch_worker(name)
        self._wait_for_worker(name)

    def stop(self) -> None:
        """End the processes, and Redis after them."""
        try:
            super().stop()
        finally:
            self.redis.stop()

    def _launch_worker(self, host: str) -> None:
        home = self.home / host
        home.mkdir(exist_ok=True)
        known = {name: value for name, value in self._environment.items() if not _KEPT_FROM_WORKERS.fullmatch(name)}
        (home / "airflow-worker.pid").unlink(missing_ok=True)  # a worker that was killed leaves it behind
        slots = ("--concurrency", str(self._concurrency), "--skip-serve-logs", "--without-gossip", "--without-mingle")
        own = {"AIRFLOW_HOME": str(home), _HOST: host}
        self._launch(host, "celery", "worker", "--celery-hostname", host, *slots, environment={**known, **own})

    def _wait_for_worker(self, host: str) -> None:
        import kombu.pools
        from celery import Celery

        def answers() -> bool | None:
            self.check()
            # The process's own pools, by URL: they keep connections over a restart of Redis.
            kombu.pools.reset()  # type: ignore[no-untyped-call]
            with Celery(broker=self.redis.url) as client:
                return bool(client.control.ping(destination=[f"celery@{host}"], timeout=1.0)) or None

        wait_until(f"worker {host} answers", answers, timeout=START)
