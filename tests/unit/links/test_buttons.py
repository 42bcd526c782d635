"""The buttons of an extract's task instance: what they lead to, when the task is done and when it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.compat import AIRFLOW_V_3_0_PLUS, AssetAlias
from airflow_provider_lightspeed.links.lightspeed import DatasetLink, LightspeedLink
from airflow_provider_lightspeed.links.location import Location
from airflow_provider_lightspeed.operators import lightspeed as module
from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator
from airflow_provider_lightspeed.provider_info import get_provider_info
from airflow_provider_lightspeed.resources.catalog import resource, resources

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


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 asks in the webserver: test_buttons_airflow_2.py")
def test_task_that_failed_shows_the_documentation_only() -> None:
    """Airflow 3 asks then as well; nothing raises, and a resource that does not exist has no page."""
    task = operator(Path("/data"))
    assert [link.get_link(task, ti_key=None) for link in (DatasetLink(), LightspeedLink())] == ["", SALES]
    assert LightspeedLink().get_link(operator(Path("/data"), resource="Sales"), ti_key=None) == ""


def test_links_are_registered_with_the_provider() -> None:
    """Airflow 2 deserializes no others."""
    named = {
        f"{type(link).__module__}.{type(link).__name__}"
        for link in module.LightspeedToParquetOperator.operator_extra_links
    }
    assert named == set(get_provider_info()["extra-links"])


def test_page_of_the_documentation_is_spelled_as_the_documentation_spells_it() -> None:
    """By resource, by path, and the one that is neither; all are below the endpoints."""
    for name, page in {
        "ItemShop": "ItemShop",
        "ItemImage": "Item-Image",
        "InventoryTransferItem": "Inventory-Transfer-TransferItems",
        "OrderShipment": "OrderShipment",
        "DisplayTemplateWorkorder": "DisplayTemplate-Workorder",
        "ReportsAccountingTaxesByDay": "Reports-Accounting-TaxesByDay",
    }.items():
        assert resource(name).docs_url == f"https://developers.lightspeedhq.com/retail/endpoints/{page}/"
    for found in resources():
        page = found.docs_url.removeprefix("https://developers.lightspeedhq.com/retail/endpoints/").removesuffix("/")
        assert page.lower() == found.docs.removeprefix("endpoints/")
        assert page != page.lower()
