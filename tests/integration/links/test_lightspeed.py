"""The buttons of an extract's task instance: what they lead to, when the task is done and when it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.compat import AIRFLOW_V_3_0_PLUS, AssetAlias
from airflow_provider_lightspeed.links.location import Location
from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator

Connect = Callable[..., str]
Context = Callable[..., dict[str, Any]]
SALES = "https://developers.lightspeedhq.com/retail/endpoints/Sale/"


def operator(path: Path, **options: Any) -> LightspeedToParquetOperator:
    """Return an operator that reads sales."""
    return LightspeedToParquetOperator(**{"task_id": "extract", "resource": "Sale", "path": str(path)} | options)


def links(task: LightspeedToParquetOperator, context: dict[str, Any]) -> dict[str, str]:
    """Return the task's links by name, as the process that ran it has them (Airflow 3), or as it stored them (2)."""
    if AIRFLOW_V_3_0_PLUS:
        return {link.name: link.get_link(task, ti_key=context["ti"]) for link in task.operator_extra_links}
    return {link.name: context["ti"].pushed[link.xcom_key] for link in task.operator_extra_links}


def test_links_of_a_finished_task(
    connection: Connect, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder where its storage has a console, and the resource's documentation."""
    connection()
    folder = Location("s3://lake", "raw/Sale", "https://console.aws.amazon.com/s3/buckets/lake?prefix=raw/Sale/")
    monkeypatch.setattr("airflow_provider_lightspeed.links.location.Location.of", lambda *_: folder)
    task, facts = operator(tmp_path), context()
    task.execute(facts)
    assert links(task, facts) == {"Dataset": folder.console, "Lightspeed": SALES}


@pytest.mark.parametrize("has_alias", [True, False])
def test_folder_without_a_console_leads_to_the_asset(
    has_alias: bool, connection: Connect, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Browsers do not follow ``file://``; Airflow's asset has the same facts, if the task raises its events."""
    connection()
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.org/team/")
    monkeypatch.setenv("AIRFLOW__WEBSERVER__BASE_URL", "https://airflow.example.org/team/")
    task, facts = operator(tmp_path, outlets=[AssetAlias("lake")] if has_alias else []), context()
    facts["outlet_events"] = module_events()
    account = task.execute(facts)["account_id"]
    page = (
        f"assets?name_pattern=lightspeed%2F{account}%2FSale"
        if AIRFLOW_V_3_0_PLUS
        else f"datasets?uri=lightspeed%3A%2F%2F{account}%2FSale"
    )
    assert links(task, facts)["Dataset"] == (f"https://airflow.example.org/team/{page}" if has_alias else "")


def module_events() -> Any:
    """Return Airflow's own accessor of outlet events."""
    if AIRFLOW_V_3_0_PLUS:
        from airflow.sdk.execution_time.context import OutletEventAccessors
    else:
        from airflow.utils.context import OutletEventAccessors
    return OutletEventAccessors()
