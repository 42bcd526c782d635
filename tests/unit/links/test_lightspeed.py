"""The buttons of an extract's task instance, without a task that ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow")
from airflow_provider_lightspeed.compat import AIRFLOW_V_3_0_PLUS
from airflow_provider_lightspeed.links.lightspeed import DatasetLink, LightspeedLink
from airflow_provider_lightspeed.operators import lightspeed as module
from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator
from airflow_provider_lightspeed.provider_info import get_provider_info

SALES = "https://developers.lightspeedhq.com/retail/endpoints/Sale/"


def operator(path: Path, **options: Any) -> LightspeedToParquetOperator:
    """Return an operator that reads sales."""
    return LightspeedToParquetOperator(**{"task_id": "extract", "resource": "Sale", "path": str(path)} | options)


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 asks in the webserver: tests/integration/links")
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
