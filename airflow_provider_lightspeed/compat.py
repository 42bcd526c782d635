"""Everything that differs between Airflow 2.11 and 3.x, in one place, on top of the common-compat provider."""

from __future__ import annotations

import importlib
import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSkipException,
    Asset,
    AssetAlias,
    BaseHook,
    BaseOperator,
    BaseOperatorLink,
    ObjectStoragePath,
    conf,
)
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_lightspeed.exceptions import InvalidArgument, LightspeedAuthError, Unreachable
from airflow_provider_lightspeed.redact import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from sqlalchemy.engine import Connection
    from sqlalchemy.orm import Session

__all__ = [
    "AIRFLOW_V_3_0_PLUS",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSkipException",
    "Asset",
    "AssetAlias",
    "BaseHook",
    "BaseOperator",
    "BaseOperatorLink",
    "ObjectStoragePath",
    "asset_page",
    "conf",
    "connection_masker",
    "count_metric",
    "database_is_reachable",
    "datetime_trigger",
    "deployment",
    "hash_salt",
    "mask_secret",
    "new_session",
    "previous_schedule",
    "read_connection",
    "run_kind",
    "secrets_backends",
    "shared_secrets",
    "stored_xcom",
    "take_connection",
    "write_event",
]

_BLOCKED = "airflow-db-not-allowed"
#: A process of Airflow 3 may have both, the core's and the Task SDK's.
_MASKERS = ("airflow._shared.secrets_masker", "airflow.sdk._shared.secrets_masker")


def database_is_reachable() -> bool:
    """Tell whether this process may use the metadata database: always in Airflow 2, never in an Airflow 3 task.

    Airflow's task supervisor replaces the session factory and the connection string before task code runs
    (``airflow.sdk.execution_time.supervisor.block_orm_access``); ``_AIRFLOW_PROCESS_CONTEXT`` says ``server`` in tasks
    of LocalExecutor too and tells nothing.
    """
    if not AIRFLOW_V_3_0_PLUS:
        return True
    if os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "").startswith(_BLOCKED):
        return False
    from airflow import settings

    return getattr(settings.Session, "__name__", "") != "BlockedDBSession"


def read_connection(conn_id: str) -> Any:
    """Return a connection through Airflow's own call, for tasks of Airflow 3.

    Airflow answers "isn't defined" whatever went wrong: it drops every error of a secrets backend, and the Task SDK's
    backend drops every error of the API server (3.3: ``ExecutionAPISecretsBackend``). So this answer is checked.

    :raises AirflowNotFoundException: the API server says that there is no such connection.
    :raises Unreachable: the API server or a secrets backend failed; the connection may be there.
    :raises LightspeedAuthError: the API server does not let this task read the connection.
    """
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        fault = _lookup_fault(conn_id)
    except PermissionError:  # ``AirflowSecretsBackendAccessDenied``, since Airflow 3.3
        fault = None
    except Exception as error:  # noqa: BLE001 - Airflow 3.0 to 3.2 raise what the supervisor answered
        fault = _fault_of(error)
    if fault is None:
        msg = (
            f"connection {conn_id!r}: Airflow's API server does not let this task read it; check the connection's team"
        )
        raise LightspeedAuthError(msg, conn_id=conn_id)
    if fault:
        raise Unreachable(f"connection {conn_id!r} could not be read: {fault}", conn_id=conn_id)
    raise AirflowNotFoundException(f"The conn_id `{conn_id}` isn't defined")


def _lookup_fault(conn_id: str) -> str:
    """Return what failed when a connection was looked up; empty if the API server says that there is none."""
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import ErrorResponse, GetConnection
    from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded

    supervisor = getattr(task_runner, "SUPERVISOR_COMMS", None)
    for backend in ensure_secrets_backend_loaded():
        kind = type(backend).__name__
        if kind == "ExecutionAPISecretsBackend":  # drops every error; asked below
            continue
        try:
            if backend.get_connection(conn_id=conn_id) is not None:
                return f"secrets backend {kind} has answered only when asked again"
        except Exception as error:  # noqa: BLE001 - whatever a third party's backend raises
            cause = type(error).__name__
        else:
            continue
        if kind == "EnvironmentVariablesBackend":  # asks nobody, so it fails for good
            msg = f"AIRFLOW_CONN_{conn_id.upper()}: it cannot be read ({cause}); write a connection's URI or a JSON object"
            raise InvalidArgument(msg, field=f"AIRFLOW_CONN_{conn_id.upper()}", found=cause, allowed=("URI", "JSON"))
        return f"secrets backend {kind} failed ({cause})"
    if supervisor is None:
        return ""
    try:
        answer = supervisor.send(GetConnection(conn_id=conn_id))
    except Exception as error:  # noqa: BLE001 - of the Task SDK, or of the socket to the supervisor
        return _fault_of(error)
    if not isinstance(answer, ErrorResponse):
        return "the API server has answered only when asked again"
    return "" if answer.error.value == "CONNECTION_NOT_FOUND" else f"the API server answered {answer.error.value}"


def _fault_of(error: Exception) -> str:
    """Return in words what the supervisor answered; the error's own text may quote the answer's body."""
    answer = getattr(error, "error", None)  # of an ``AirflowRuntimeError``
    detail = getattr(answer, "detail", None) or {}
    kind = getattr(getattr(answer, "error", None), "value", type(error).__name__)
    cause = detail.get("status_code") or detail.get("exception_type") or ""
    return f"the API server failed ({' '.join(str(part) for part in (kind, cause) if part)})"


def new_session(connection: Connection | None = None) -> Session:
    """Return a session of its own, outside Airflow's scoped one.

    Any ``@provide_session`` helper called while a scoped session is open commits it, and with that drops its locks.

    :param connection: the database connection to work on, which stays the caller's; default one of the pool for each
        transaction.
    """
    from airflow import settings
    from sqlalchemy.orm import sessionmaker

    return sessionmaker(bind=connection or settings.engine, autoflush=False, expire_on_commit=False)()


def take_connection() -> Connection:
    """Take a database connection out of Airflow's pool, until it is closed.

    :raises sqlalchemy.exc.SQLAlchemyError: there is none.
    """
    engine: Any = new_session().get_bind()
    connection: Connection = engine.connect()
    return connection


def deployment() -> str:
    """Name this deployment: ``[lightspeed] deployment``, else its metadata database and base URL, without passwords."""
    from airflow import settings
    from sqlalchemy.engine import make_url

    name: str = conf.get("lightspeed", "deployment", fallback="") or ""
    if name:
        return name.replace(" ", "_")
    url = make_url(settings.SQL_ALCHEMY_CONN or conf.get("database", "sql_alchemy_conn"))
    where = f"{url.host or ''}:{url.port}" if url.port else url.host or url.query.get("host", "")
    database = f"{url.get_backend_name()}://{where}/{url.database}".replace(" ", "_")
    base = conf.get("api" if AIRFLOW_V_3_0_PLUS else "webserver", "base_url", fallback="") or ""
    return database if base in ("", "http://localhost:8080") else f"{database} {base.rstrip('/')}"


def hash_salt() -> Secret | None:
    """Return ``[lightspeed] hash_salt``, the salt of hashed columns."""
    value: str = conf.get("lightspeed", "hash_salt", fallback="") or ""
    return Secret(value) if value else None


def write_event(event: str, *, owner: str, extra: str, **task: Any) -> None:
    """Add a row to Airflow's event log (*Browse > Audit log*), in a session of its own.

    :param task: ``dag_id``, ``task_id``, ``run_id``, ``map_index`` as far as known.
    """
    from airflow.models.log import Log

    session = new_session()
    try:
        session.add(Log(event=event, owner=owner, extra=extra, **task))
        session.commit()
    finally:
        session.close()


def stored_xcom(ti_key: Any, key: str) -> Any:
    """Return an XCom of a task instance, ``None`` if there is none."""
    from airflow.providers.common.compat.sdk import XCom

    return XCom.get_value(ti_key=ti_key, key=key)


def asset_page(asset: Asset) -> str:
    """Return the page of Airflow that shows an asset; relative to the server if it does not say where it is."""
    base = (conf.get("api" if AIRFLOW_V_3_0_PLUS else "webserver", "base_url", fallback="") or "").rstrip("/")
    if AIRFLOW_V_3_0_PLUS:
        return f"{base}/assets?{urlencode({'name_pattern': asset.name})}"
    return f"{base}/datasets?{urlencode({'uri': asset.uri})}"


def count_metric(name: str, tags: Mapping[str, str]) -> None:
    """Count one in Airflow's metrics (StatsD, OpenTelemetry, as configured)."""
    try:
        stats = importlib.import_module("airflow.observability.stats")
        count = stats.incr
    except (ImportError, AttributeError):
        count = importlib.import_module("airflow.stats").Stats.incr
    count(name, tags=dict(tags))


def datetime_trigger(moment: datetime) -> Any:
    """Return Airflow's own trigger that fires at a moment."""
    module = "airflow.providers.standard.triggers.temporal" if AIRFLOW_V_3_0_PLUS else "airflow.triggers.temporal"
    return importlib.import_module(module).DateTimeTrigger(moment=moment)


def shared_secrets() -> tuple[str, ...]:
    """Return what the processes that write the metadata database share, best first, to derive keys from.

    Airflow's Fernet keys; without encryption, the key that API servers (2.11: webservers) sign sessions with.
    """
    from airflow.models.crypto import get_fernet

    fernet: Any = get_fernet()
    return _shared_secrets(fernet)


@cache
def _shared_secrets(fernet: Any) -> tuple[str, ...]:
    """Return the secrets once for each Fernet object: a key that comes from a command would have it run each time."""
    if fernet.is_encrypted:
        keys = conf.get("core", "fernet_key").split(",")
    else:
        keys = [conf.get("api" if AIRFLOW_V_3_0_PLUS else "webserver", "secret_key", fallback="") or ""]
    return tuple(key.strip() for key in keys if key.strip())


def secrets_backends() -> list[Any]:
    """Return the backends that a connection is looked up in before the metadata database."""
    from airflow.configuration import ensure_secrets_loaded

    return [backend for backend in ensure_secrets_loaded() if type(backend).__name__ != "MetastoreBackend"]


def connection_masker() -> Any:
    """Return the log masker that Airflow registers the secrets of its connections with, in this process."""
    module = importlib.import_module("airflow.models.connection")
    return module.mask_secret.__globals__["_secrets_masker"]()


def mask_secret(value: str) -> None:
    """Have Airflow's log masker hide a value. For task processes only: in a long-lived one its pattern would grow.

    Airflow 3's own function also sends the value to the task's supervisor. In ``airflow dags test`` that is the same
    process, and it logs at DEBUG what it is sent, this value included: there, only the maskers of this process are told.
    """
    if not AIRFLOW_V_3_0_PLUS:
        importlib.import_module("airflow.utils.log.secrets_masker").mask_secret(value)
        return
    here = [module for name in _MASKERS if (module := sys.modules.get(name))] if database_is_reachable() else []
    for module in here or [importlib.import_module("airflow.sdk.log")]:
        module.mask_secret(value)


def run_kind(context: Mapping[str, Any]) -> str:
    """Return how the DAG run came to be: ``scheduled``, ``manual``, ``backfill`` or ``asset``."""
    run_type = getattr(context.get("dag_run"), "run_type", "manual")
    name = str(getattr(run_type, "value", run_type))
    return {"asset_triggered": "asset", "dataset_triggered": "asset", "asset_materialization": "asset"}.get(
        name, name if name in ("scheduled", "manual", "backfill") else "manual"
    )


def previous_schedule(dag: Any, moment: datetime) -> datetime | None:
    """Return the point of the DAG's cron or timedelta schedule before ``moment``, or ``None`` if it has none.

    A backfill run of a trigger timetable has no data interval; what it stands for is the time since the run before.
    """
    timetable = getattr(dag, "timetable", None)
    delta: timedelta | None = getattr(timetable, "_delta", None) or getattr(timetable, "delta", None)
    if delta is not None:
        return moment - delta
    expression = getattr(timetable, "_expression", None) or getattr(timetable, "expression", None)
    if not expression:
        return None
    import pendulum
    from croniter import croniter

    timezone = getattr(timetable, "_timezone", None) or getattr(timetable, "timezone", None) or "UTC"
    if isinstance(timezone, str):
        timezone = pendulum.timezone(timezone)
    local = pendulum.instance(moment).in_timezone(timezone)
    # croniter steps through naive local time, so that a daylight saving change does not shift the schedule.
    previous = croniter(expression, local.naive()).get_prev(type(local.naive()))
    schedule: datetime = pendulum.instance(previous, tz=timezone).in_timezone("UTC")
    return schedule
