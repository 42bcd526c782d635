"""Everything that differs between Airflow 2.11 and 3.x, in one place, on top of the common-compat provider."""

from __future__ import annotations

import importlib
import os
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
    "count_metric",
    "database_is_reachable",
    "datetime_trigger",
    "deployment",
    "hash_salt",
    "mask_secret",
    "new_session",
    "previous_schedule",
    "run_kind",
    "secrets_backends",
    "stored_xcom",
    "take_connection",
    "write_event",
]

_BLOCKED = "airflow-db-not-allowed"


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


def secrets_backends() -> list[Any]:
    """Return the backends that a connection is looked up in before the metadata database."""
    from airflow.configuration import ensure_secrets_loaded

    return [backend for backend in ensure_secrets_loaded() if type(backend).__name__ != "MetastoreBackend"]


def mask_secret(value: str) -> None:
    """Have Airflow's log masker hide a value. For task processes only: in a long-lived one its pattern would grow."""
    module = "airflow.sdk.log" if AIRFLOW_V_3_0_PLUS else "airflow.utils.log.secrets_masker"
    importlib.import_module(module).mask_secret(value)


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
