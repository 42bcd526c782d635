"""What an extract's asset event says to those who wait for it, and to the Lightspeed page."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
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


def events_of(accessor: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return URI and extra of the events that were raised through an alias."""
    if AIRFLOW_V_3_0_PLUS:
        return [(event.dest_asset_key.uri, event.extra) for event in accessor.asset_alias_events]
    return [(event["dest_dataset_uri"], event["extra"]) for event in accessor.dataset_alias_events]


def emitted(context: Callable[..., dict[str, Any]], path: Path, **facts: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Extract sales with two aliases among the outlets; return the summary and the extra, which both have, of the account's sales."""
    aliases, events = [AssetAlias("sales"), AssetAlias("lake")], OutletEventAccessors()
    task = LightspeedToParquetOperator(task_id="extract", resource="Sale", path=str(path), outlets=aliases)
    summary = task.execute(context(outlet_events=events, **facts))
    ((uri, extra),), ((again, same),) = (events_of(events[alias]) for alias in aliases)
    assert uri == again == f"lightspeed://{summary['account_id']}/Sale"
    assert extra == same
    return summary, extra


def test_event_says_what_was_committed(
    connection: Callable[..., str], context: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """The summary's facts, as plain JSON, and those of the commit that the log has by that id."""
    connection()
    summary, extra = emitted(context, tmp_path)
    names = (
        "rows", "bytes", "files", "window_start", "window_end", "watermark", "schema", "drips", "requests", "manifest",
        "commit",
    )  # fmt: skip
    assert {name: extra[name] for name in names} == {name: summary[name] for name in names}
    assert json.loads(json.dumps(extra)) == extra
    found = json.loads(Path(extra["manifest"]).read_bytes())
    commit = json.loads((Path(extra["manifest"]).parent / "_log" / "00000001.json").read_bytes())
    assert (extra["commit"], extra["schema"], extra["rows"]) == (commit["id"], commit["schema"], commit["rows"])
    assert sum(file["bytes"] for file in commit["files"][""]) == extra["bytes"]
    assert extra["watermark"] == extra["window_end"] == max(found["watermarks"].values()).replace("Z", "+00:00")


def test_event_of_a_backfill_promises_no_watermark(
    connection: Callable[..., str], context: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Who waits for "complete up to" must not take one old day for it."""
    connection()
    end = datetime.now(UTC) - timedelta(days=2)
    interval = {"data_interval_start": end - timedelta(days=1), "data_interval_end": end}
    _, extra = emitted(context, tmp_path, run_type="backfill", **interval)
    assert extra["watermark"] is None
    assert extra["window_end"] == end.isoformat()


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
