"""A deferrable extract hands its state over through Airflow: what the trigger gets, and how the next process goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

pytest.importorskip("airflow")

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_lightspeed.client import rate_limit
from airflow_provider_lightspeed.clock import SystemClock
from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess

Connect = Callable[..., str]
Context = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def limited() -> Iterator[SimulatorProcess]:
    """The smallest account, with sales on 200 pages."""
    with SimulatorProcess(sales=20_000, items=20, customers=10, days=10) as running:
        running.advance(600)
        yield running


@pytest.fixture
def quick_sleep(limited: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting moves the clocks of this process and of the simulator instead."""
    slept = 0.0

    def sleep(_self: SystemClock, seconds: float) -> None:
        nonlocal slept
        if seconds > 0:
            slept += seconds
            limited.advance(seconds)

    monkeypatch.setattr(SystemClock, "sleep", sleep)
    monkeypatch.setattr(SystemClock, "monotonic", lambda _self: time.monotonic() + slept)


def operator(path: Path, **options: Any) -> LightspeedToParquetOperator:
    """Return an operator that reads all sales."""
    return LightspeedToParquetOperator(task_id="extract", resource="Sale", path=str(path), mode="full", **options)


@pytest.mark.usefixtures("quick_sleep")
def test_deferred_extract_goes_on_where_it_ended(
    limited: SimulatorProcess, connection: Connect, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trigger fires when the bucket has drained; state is plain JSON; the summary covers all processes."""
    grant = limited.grant()
    connection(
        login=limited.client_id,
        password=limited.client_secret,
        host=limited.base_url,
        extra={"auth_url": limited.base_url, "refresh_token": grant["refresh_token"]},
    )
    limited.clear_audit()
    result, deferrals = None, 0
    state: dict[str, Any] = {}
    while result is None:
        monkeypatch.setattr(rate_limit, "_limiters", {})  # each time another process
        task = operator(tmp_path, deferrable=True)
        try:
            result = task.execute_complete(context(), None, **state) if state else task.execute(context())
        except TaskDeferred as deferred:
            deferrals += 1
            state = json.loads(json.dumps(deferred.kwargs))
            limited.advance(_seconds(deferred))
            state["until"] = datetime.now(UTC).isoformat()
    assert deferrals >= 1
    counters = limited.counters()
    assert (result["requests"], result["drips"]) == (counters["api_requests"], counters["drips"])
    assert "bucket_429" not in counters
    manifest = json.loads((tmp_path / "Sale" / "_manifest.json").read_bytes())
    keys = [
        key
        for file in manifest["files"]
        for key in pq.read_table(tmp_path / "Sale" / file["path"])["saleID"].to_pylist()
    ]
    assert keys == sorted(sale["saleID"] for sale in limited.truth("Sale"))
    assert result["rows"] == len(keys)


def _seconds(deferred: TaskDeferred) -> float:
    """Check what Airflow is asked for, and return how long it shall wait."""
    assert deferred.method_name == "execute_complete"
    path, arguments = deferred.trigger.serialize()
    assert path.endswith("triggers.temporal.DateTimeTrigger")
    seconds: float = (arguments["moment"] - datetime.now(UTC)).total_seconds()
    assert 30 <= seconds <= 90
    return seconds


def test_short_read_never_defers(
    simulator: SimulatorProcess, connection: Connect, context: Context, tmp_path: Path
) -> None:
    """It is over before a pause would be worth it."""
    connection()
    assert operator(tmp_path, deferrable=True).execute(context())["rows"] == len(simulator.truth("Sale"))
