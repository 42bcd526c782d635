"""The examples of docs/hook.md, as they stand there."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess

DOCS = Path(__file__).parents[3] / "docs"


def test_example_runs_and_finds_what_it_says(connection: Callable[..., str], simulator: SimulatorProcess) -> None:
    """Sales of the week by shop, ten items, all lines."""
    connection()
    (example,) = re.findall(r"```python\n(.*?)```", (DOCS / "hook.md").read_text(), re.DOTALL)
    found: dict[str, Any] = {}
    exec(example, found)  # noqa: S102 - our own docs
    week = [
        sale
        for sale in simulator.truth("Sale")
        if sale["completed"] and sale["completeTime"] > f"{found['since']:%Y-%m-%dT%H:%M:%S}"
    ]
    assert len(found["sales"]) == len(week) > 0
    assert found["by_shop"].sum() == sum(Decimal(sale["total"]) for sale in week)
    assert len(found["first"]) == 10
    assert found["quantity"] == sum(int(line["unitQuantity"]) for line in simulator.truth("SaleLine") if line["saleID"])
