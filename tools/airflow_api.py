"""Airflow 3's public REST API, as far as the demo and the system tests need it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote

import requests

#: States in which a DAG run or a task instance stays as it is.
DAG_RUN_ENDED: Final = frozenset({"success", "failed"})

POLL: Final = 0.1

T = TypeVar("T")


class AirflowApiError(RuntimeError):
    """Airflow refused a request, or something did not happen in time."""


def wait_until(what: str, look: Callable[[], T | None], *, timeout: float, every: float = POLL) -> T:
    """Return the first value of ``look`` that is not ``None``.

    :param what: what is waited for, for the error.
    :param timeout: seconds.
    :raises AirflowApiError: it did not come in time.
    """
    deadline = time.monotonic() + timeout
    while True:
        if (found := look()) is not None:
            return found
        if time.monotonic() > deadline:
            msg = f"{what}: not within {timeout:.0f} s"
            raise AirflowApiError(msg)
        time.sleep(every)


class AirflowApi:
    """A logged-in user of one API server.

    :param url: the API server's base URL.
    :param user: name known to Airflow's simple auth manager; logs in with the first request.
    :param alive: called while waiting; raises when waiting has become pointless.
    """

    def __init__(self, url: str, user: str, password: str, *, alive: Callable[[], None] = lambda: None) -> None:
        self.url = url
        self._login = {"username": user, "password": password}
        self._alive = alive
        self._http = requests.Session()
        self._http.trust_env = False  # a proxy has no business on loopback

    def close(self) -> None:
        """Close the kept connections."""
        self._http.close()

    def health(self) -> dict[str, str] | None:
        """Return each component's status (components that never ran are missing), ``None`` if nobody answers."""
        try:
            reply = self._http.get(f"{self.url}/api/v2/monitor/health", timeout=10)
            reply.raise_for_status()
        except requests.RequestException:
            return None
        return {name: part["status"] for name, part in reply.json().items() if part["status"] is not None}

    def call(self, method: str, path: str, body: Any = None, *, missing_ok: bool = False, **query: Any) -> Any:
        """Send a request below ``/api/v2/`` and return its JSON.

        :param missing_ok: return ``None`` on 404.
        :raises AirflowApiError: on any other refusal; with Airflow's reason.
        """
        if "Authorization" not in self._http.headers:
            self._http.headers["Authorization"] = f"Bearer {self.token()}"
        reply = self._http.request(method, f"{self.url}/api/v2/{path}", json=body, params=query, timeout=60)
        if missing_ok and reply.status_code == 404:
            return None
        if not reply.ok:
            msg = f"{method} /api/v2/{path}: {reply.status_code} {reply.text[:500]}"
            raise AirflowApiError(msg)
        return reply.json() if reply.content else None

    def token(self) -> str:
        """Log in and return the bearer token (a JWT that the browser keeps as cookie ``_token``)."""
        reply = self._http.post(f"{self.url}/auth/token", json=self._login, timeout=30)
        if not reply.ok:
            msg = f"POST /auth/token: {reply.status_code} {reply.text[:200]}"
            raise AirflowApiError(msg)
        return str(reply.json()["access_token"])

    def add_connection(self, conn_id: str, conn_type: str, **fields: Any) -> None:
        """Create a connection; ``extra`` is JSON text, as in Airflow's form."""
        self.call("POST", "connections", {"connection_id": conn_id, "conn_type": conn_type, **fields})

    def poll_connection_test(self, token: str) -> dict[str, Any]:
        """Return the state of an asynchronous connection test."""
        header = {"Airflow-Connection-Test-Token": token}
        reply = self._http.get(f"{self.url}/api/v2/connections/enqueue-test", headers=header, timeout=60)
        reply.raise_for_status()
        found: dict[str, Any] = reply.json()
        return found

    def wait_for_dag(self, dag_id: str, *, timeout: float = 60.0) -> None:
        """Return once the DAG has been parsed.

        :raises AirflowApiError: it was not in time; with Airflow's import errors, if there are any.
        """
        try:
            self._wait(f"DAG {dag_id!r} parsed", lambda: self.call("GET", f"dags/{dag_id}", missing_ok=True), timeout)
        except AirflowApiError as error:
            broken = self.call("GET", "importErrors")["import_errors"]
            raise AirflowApiError("\n".join([str(error), *(item["stack_trace"] for item in broken)])) from None

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Unpause the DAG, start a manual run, and return its run id."""
        self.call("PATCH", f"dags/{dag_id}", {"is_paused": False}, update_mask="is_paused")
        run = self.call("POST", f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": dict(conf or {})})
        return str(run["dag_run_id"])

    def wait_for_run(self, dag_id: str, run_id: str, *, timeout: float = 120.0) -> str:
        """Return the run's final state, ``success`` or ``failed``."""

        def look() -> str | None:
            state = self.call("GET", _run(dag_id, run_id))["state"]
            return state if state in DAG_RUN_ENDED else None

        return self._wait(f"run {run_id} of {dag_id!r} ended", look, timeout)

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the run's task instances, mapped ones each by itself."""
        found = self.call("GET", f"{_run(dag_id, run_id)}/taskInstances", limit=100)
        listed: list[dict[str, Any]] = found["task_instances"]
        assert len(listed) == found["total_entries"]
        return listed

    def log(self, dag_id: str, run_id: str, task_id: str, *, try_number: int = 1, map_index: int = -1) -> str:
        """Return one attempt's log as text, a line per event."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/logs/{try_number}"
        content = self.call("GET", path, full_content="true", map_index=map_index)["content"]
        return "\n".join(item if isinstance(item, str) else _line(item) for item in content)

    def xcom(self, dag_id: str, run_id: str, task_id: str, *, key: str = "return_value", map_index: int = -1) -> Any:
        """Return an XCom value, ``None`` if there is none."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries/{key}"
        entry = self.call("GET", path, missing_ok=True, map_index=map_index, deserialize="true")
        return None if entry is None else entry["value"]

    def links(self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1) -> dict[str, str | None]:
        """Return the extra links of a task instance by name."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/links"
        found: dict[str, str | None] = self.call("GET", path, map_index=map_index)["extra_links"]
        return found

    def _wait(self, what: str, look: Callable[[], T | None], timeout: float) -> T:
        def alive_and() -> T | None:
            self._alive()
            return look()

        return wait_until(what, alive_and, timeout=timeout)


def _run(dag_id: str, run_id: str) -> str:
    return f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def _line(event: Mapping[str, Any]) -> str:
    known = ("timestamp", "level", "event")
    rest = {key: value for key, value in event.items() if key not in {*known, "logger", "filename", "lineno"} and value}
    return " ".join(
        [str(event[key]) for key in known if event.get(key)] + [f"{key}={value}" for key, value in rest.items()]
    )
