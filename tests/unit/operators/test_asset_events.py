"""What an extract's asset event says to those who wait for it, and to the Lightspeed page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.auth.ledger import Account
from airflow_provider_lightspeed.compat import AIRFLOW_V_3_0_PLUS, AssetAlias
from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens.status import status

if AIRFLOW_V_3_0_PLUS:
    from airflow.sdk.execution_time.context import OutletEventAccessors
else:
    from airflow.utils.context import OutletEventAccessors


def emitted(context: Callable[..., dict[str, Any]], path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Extract sales with an alias among the outlets; return the summary and the extra of the one event, which is of the account's sales."""
    alias, events = AssetAlias("sales"), OutletEventAccessors()
    task = LightspeedToParquetOperator(task_id="extract", resource="Sale", path=str(path), outlets=[alias])
    summary = task.execute(context(outlet_events=events))
    accessor: Any = events[alias]
    if AIRFLOW_V_3_0_PLUS:
        (event,) = accessor.asset_alias_events
        uri, extra = event.dest_asset_key.uri, event.extra
    else:
        (old,) = accessor.dataset_alias_events
        uri, extra = old["dest_dataset_uri"], old["extra"]
    assert uri == f"lightspeed://{summary['account_id']}/Sale"
    return summary, extra


def test_event_says_what_was_committed(
    connection: Callable[..., str], context: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Rows, size, watermark and manifest are the summary's."""
    connection()
    summary, extra = emitted(context, tmp_path)
    assert (extra["rows"], extra["bytes"], extra["watermark"], extra["manifest"]) == (
        summary["rows"], summary["bytes"], summary["window_end"], summary["manifest"],
    )  # fmt: skip


def test_event_carries_the_bucket_as_the_extract_left_it(
    connection: Callable[..., str],
    simulator: SimulatorProcess,
    context: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    """Numbers, and when they were true by the server's clock: an old event must not pass for news."""
    connection()
    before = datetime.fromtimestamp(simulator.advance(0), UTC)
    _, extra = emitted(context, tmp_path)
    after = datetime.fromtimestamp(simulator.advance(0), UTC)
    assert 0 <= extra["bucket_level"] <= extra["bucket_size"]
    assert (extra["bucket_size"], extra["bucket_drip"]) >= (60.0, 1.0)
    # The server tells whole seconds.
    seen_at = datetime.fromisoformat(extra["bucket_seen_at"])
    assert seen_at.tzinfo is not None
    assert int(before.timestamp()) <= seen_at.timestamp() <= after.timestamp() + 1


def test_page_reads_the_bucket_out_of_the_event(
    connection: Callable[..., str], context: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """The operator's names for it are the page's; the simulator's clock runs ahead, so the time is ours here."""
    from airflow_provider_lightspeed.plugin.views import newest_bucket

    connection()
    _, extra = emitted(context, tmp_path)
    now = datetime.now(UTC)
    unseen = dataclasses.replace(status("lightspeed_default"), bucket=Account())
    shown = newest_bucket(unseen, extra | {"bucket_seen_at": now.isoformat()}).bucket
    assert (shown.level, shown.size, shown.drip, shown.seen_at) == (
        extra["bucket_level"], extra["bucket_size"], extra["bucket_drip"], now,
    )  # fmt: skip
