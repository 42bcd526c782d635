"""Fixtures for tests that run the Airflow face in this process, against a real simulator and a real SQLite database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_lightspeed.client import rate_limit
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.masks import forget_secrets


@pytest.fixture(scope="session")
def simulator_session() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(sales=120, items=20, customers=10, days=10, no_limits=True, token_life=864_000) as running:
        running.advance(600)
        yield running


@pytest.fixture
def simulator(simulator_session: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatorProcess]:
    """A simulator without faults, grants left behind, counted requests, or records that another test has changed."""
    monkeypatch.setattr(rate_limit, "_limiters", {})  # one may have been told to wait by another test's 429
    simulator_session.clear_faults()
    simulator_session.revoke()
    simulator_session.clear_audit()
    yield simulator_session
    simulator_session.clear_faults()
    if simulator_session.changes():
        simulator_session.stop()
        simulator_session.start()
        simulator_session.advance(600)


@pytest.fixture
def connection(
    airflow_database: None, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., str]]:
    """Return a function that stores a connection with a fresh grant and returns its ID."""
    from airflow.models.connection import Connection
    from airflow.models.variable import Variable

    from airflow_provider_lightspeed.compat import new_session

    monkeypatch.setenv("AIRFLOW__LIGHTSPEED__ALLOWED_HOSTS", "http://127.0.0.1:*")
    made: list[str] = []

    def add(conn_id: str = "lightspeed_default", **changes: Any) -> str:
        extra = {"auth_url": simulator.base_url, "refresh_token": simulator.grant()["refresh_token"]}
        fields: dict[str, Any] = {
            "login": simulator.client_id,
            "password": simulator.client_secret,
            "host": simulator.base_url,
        }
        fields |= {key: value for key, value in changes.items() if key != "extra"}
        extra |= changes.get("extra", {})
        session = new_session()
        session.add(Connection(conn_id=conn_id, conn_type="lightspeed", extra=json.dumps(extra), **fields))
        session.commit()
        session.close()
        made.append(conn_id)
        return conn_id

    yield add
    session = new_session()
    # Without loading them, which would have their secrets masked from now on.
    session.query(Connection).delete()
    session.query(Variable).delete()
    session.commit()
    session.close()
    forget_secrets()


@pytest.fixture
def stored() -> Callable[[str], dict[str, Any]]:
    """Return a function that reads the extra of a stored connection."""

    def read(conn_id: str) -> dict[str, Any]:
        from airflow.models.connection import Connection

        from airflow_provider_lightspeed.compat import new_session

        session = new_session()
        try:
            row = session.query(Connection).filter(Connection.conn_id == conn_id).one()
            extra: dict[str, Any] = json.loads(row.extra)
            return extra
        finally:
            session.close()

    return read


@pytest.fixture
def context() -> Callable[..., dict[str, Any]]:
    """Return a function that makes a task's context, as Airflow fills it for a run type."""

    def make(
        run_id: str = "run", *, try_number: int = 1, run_type: str = "manual", conf: Any = None, **more: Any
    ) -> Any:
        pushed: dict[str, Any] = {}
        instance = SimpleNamespace(
            dag_id="dag",
            task_id="extract",
            run_id=run_id,
            map_index=-1,
            try_number=try_number,
            pushed=pushed,
            xcom_push=lambda key, value: pushed.update({key: value}),
        )
        return {"ti": instance, "dag_run": SimpleNamespace(run_type=run_type, conf=conf or {}), **more}

    return make
