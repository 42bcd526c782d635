"""What differs between Airflow 2.11 and 3, behind one name each."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed import compat


@pytest.mark.parametrize(
    ("run_type", "kind"),
    [
        ("scheduled", "scheduled"),
        ("manual", "manual"),
        ("backfill", "backfill"),
        ("asset_triggered", "asset"),
        ("dataset_triggered", "asset"),
        ("asset_materialization", "asset"),
        ("something_new", "manual"),
        (SimpleNamespace(value="backfill"), "backfill"),
    ],
)
def test_run_types_of_both_airflows_have_one_name(run_type: Any, kind: str) -> None:
    """As text or as Airflow's enumeration; an unknown one is taken for a person's, which reads from the watermark."""
    assert compat.run_kind({"dag_run": SimpleNamespace(run_type=run_type)}) == kind


def test_run_without_a_dag_run_is_manual() -> None:
    """``airflow tasks test``, or a context of somebody's own."""
    assert compat.run_kind({}) == "manual"


@pytest.mark.parametrize(
    ("expression", "zone", "moment", "previous"),
    [
        ("0 2 * * *", "UTC", "2026-03-10T02:00:00+00:00", "2026-03-09T02:00:00+00:00"),
        ("0 2 * * 1", "UTC", "2026-03-10T02:00:00+00:00", "2026-03-09T02:00:00+00:00"),
        # The clocks in New York went forward on 8 March 2026: 02:00 was 07:00 UTC the day before, 06:00 from then on.
        ("0 4 * * *", "America/New_York", "2026-03-08T08:00:00+00:00", "2026-03-07T09:00:00+00:00"),
    ],
)
def test_schedule_before_follows_cron_in_its_own_zone(expression: str, zone: str, moment: str, previous: str) -> None:
    """Also over a daylight saving change."""
    dag = SimpleNamespace(timetable=SimpleNamespace(_expression=expression, _timezone=zone))
    found = compat.previous_schedule(dag, datetime.fromisoformat(moment))
    assert found == datetime.fromisoformat(previous)


def test_schedule_before_of_an_interval_and_of_none() -> None:
    """A timedelta is taken off; a DAG without a schedule has no run before."""
    from datetime import timedelta

    noon = datetime(2026, 3, 10, 12, tzinfo=UTC)
    hourly = SimpleNamespace(timetable=SimpleNamespace(_delta=timedelta(hours=1)))
    assert compat.previous_schedule(hourly, noon) == noon - timedelta(hours=1)
    assert compat.previous_schedule(SimpleNamespace(timetable=SimpleNamespace()), noon) is None


@pytest.mark.parametrize("value", ["", "pepper"])
def test_salt_is_a_secret_or_none(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``[lightspeed] hash_salt``."""
    monkeypatch.setenv("AIRFLOW__LIGHTSPEED__HASH_SALT", value)
    salt = compat.hash_salt()
    assert (salt.reveal() if salt else "") == value
    assert "pepper" not in repr(salt)


def test_deployment_is_named_by_its_setting() -> None:
    """Without blanks, which part the database from the base URL in the other form."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__LIGHTSPEED__DEPLOYMENT", "shop eu west")
        assert compat.deployment() == "shop_eu_west"


def test_deployment_is_its_database_and_address_without_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two deployments differ, a copy of the database at another address does, and no password is in the name."""
    from airflow import settings

    section = "API" if compat.AIRFLOW_V_3_0_PLUS else "WEBSERVER"
    monkeypatch.setattr(settings, "SQL_ALCHEMY_CONN", "postgresql+psycopg2://me:hunter2@db:5433/airflow")
    monkeypatch.setenv(f"AIRFLOW__{section}__BASE_URL", "http://localhost:8080")
    assert compat.deployment() == "postgresql://db:5433/airflow"
    monkeypatch.setenv(f"AIRFLOW__{section}__BASE_URL", "https://airflow.example.org/")
    assert compat.deployment() == "postgresql://db:5433/airflow https://airflow.example.org"


@pytest.mark.skipif(not compat.AIRFLOW_V_3_0_PLUS, reason="Airflow 2 blocks no task")
def test_database_of_a_task_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Airflow 3's supervisor leaves the environment of a task."""
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "airflow-db-not-allowed:///")
    assert not compat.database_is_reachable()
