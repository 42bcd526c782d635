"""The operator, executed: what it writes, which window it reads, and how it fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.compat import AirflowFailException, AirflowSkipException
from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess

Connect = Callable[..., str]
Context = Callable[..., dict[str, Any]]


def operator(path: Path, **options: Any) -> LightspeedToParquetOperator:
    """Return an operator that writes below ``path``."""
    return LightspeedToParquetOperator(**{"task_id": "extract", "resource": "Sale", "path": str(path)} | options)


def manifest(path: Path, resource: str = "Sale") -> dict[str, Any]:
    """Return the dataset's manifest."""
    found: dict[str, Any] = json.loads((path / resource / "_manifest.json").read_bytes())
    return found


def test_first_run_reads_everything_and_the_next_goes_on_from_there(
    connection: Connect, simulator: SimulatorProcess, context: Context, tmp_path: Path
) -> None:
    """``@daily`` in Airflow 3 has no data interval: windows tile from the manifest's watermark."""
    connection()
    first = operator(tmp_path).execute(context("one", run_type="scheduled"))
    assert (first["rows"], first["window_start"]) == (len(simulator.truth("Sale")), None)
    simulator.advance(3_600)
    sold = simulator.mutate(
        "sell", count=3, at=(datetime.fromisoformat(first["window_end"]) + timedelta(minutes=20)).isoformat()
    )
    second = operator(tmp_path).execute(context("two", run_type="scheduled"))
    assert second["window_start"] == first["window_end"]
    assert second["rows"] >= len(sold)
    files = [tmp_path / "Sale" / file["path"] for file in manifest(tmp_path)["files"]]
    assert set(sold) <= set(pq.read_table(files[-1])["saleID"].to_pylist())


@pytest.mark.parametrize("run_type", ["scheduled", "manual", "asset_triggered"])
def test_run_without_a_data_interval_never_ends_green_and_empty(
    run_type: str, connection: Connect, context: Context, tmp_path: Path
) -> None:
    """A zero-width interval counts as none; when all up to now has been read the task is skipped."""
    connection()
    moment = datetime.now(UTC)
    zero = {"data_interval_start": moment, "data_interval_end": moment}
    assert operator(tmp_path).execute(context("one", run_type=run_type, **zero))["rows"] > 0
    try:
        again = operator(tmp_path).execute(context("two", run_type=run_type, **zero))
    except AirflowSkipException:
        return
    assert again["window_start"] < again["window_end"]  # a second has passed: a window of that second


def test_real_data_interval_is_the_window(
    connection: Connect, simulator: SimulatorProcess, context: Context, tmp_path: Path
) -> None:
    """A timedelta or interval timetable says what a run stands for: exactly its rows."""
    connection()
    times = sorted(sale["updateTime"] for sale in simulator.truth("Sale"))
    start = datetime.fromisoformat(times[20])
    end = datetime.fromisoformat(times[60])
    interval = {"data_interval_start": start, "data_interval_end": end}
    summary = operator(tmp_path).execute(context("one", run_type="scheduled", **interval))
    assert (summary["window_start"], summary["window_end"]) == (start.isoformat(), end.isoformat())
    assert summary["rows"] == sum(start <= datetime.fromisoformat(time) < end for time in times)


def test_backfill_reads_the_time_since_the_schedule_before_and_leaves_the_watermark(
    connection: Connect, context: Context, tmp_path: Path
) -> None:
    """A backfill run stands for the schedule's step before its logical date."""
    connection()
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)
    dag = SimpleNamespace(timetable=SimpleNamespace(_expression="0 0 * * *", _timezone="UTC"))
    summary = operator(tmp_path).execute(context("one", run_type="backfill", logical_date=end, dag=dag))
    assert summary["window_start"] == (end - timedelta(days=1)).isoformat()
    assert summary["window_end"] == end.isoformat()
    assert manifest(tmp_path)["watermarks"] == {}


def test_explicit_window_from_the_run_configuration_wins(connection: Connect, context: Context, tmp_path: Path) -> None:
    """``dag_run.conf`` overrides what the schedule says."""
    connection()
    end = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    conf = {"window_start": (end - timedelta(days=3)).isoformat(), "window_end": end.isoformat()}
    summary = operator(tmp_path).execute(context("one", conf=conf))
    assert (summary["window_start"], summary["window_end"]) == (conf["window_start"], conf["window_end"])


def test_rotated_refresh_token_is_written_back_and_one_grant_serves_all(
    connection: Connect,
    simulator: SimulatorProcess,
    context: Context,
    tmp_path: Path,
    stored: Callable[[str], dict[str, Any]],
) -> None:
    """The connection holds the live refresh token afterwards; six tasks make one grant call."""
    connection()
    before = stored("lightspeed_default")["refresh_token"]
    for number, name in enumerate(["Sale", "SaleLine", "SalePayment", "Item", "ItemShop", "Customer"]):
        operator(tmp_path, resource=name).execute(context(f"run {number}"))
    assert stored("lightspeed_default")["refresh_token"] != before
    assert len(simulator.audit("token")["requests"]) == 1


def test_filters_columns_and_relations_shape_the_file(connection: Connect, context: Context, tmp_path: Path) -> None:
    """Only what was asked for is there, lineage aside."""
    connection()
    options = {"relations": ["SaleLines"], "filters": {"completed": True}, "columns": ["saleID", "total", "SaleLines"]}
    operator(tmp_path, **options).execute(context())
    table = pq.read_table([tmp_path / "Sale" / file["path"] for file in manifest(tmp_path)["files"]])
    assert {name for name in table.column_names if not name.startswith("_")} == {"saleID", "total", "SaleLines"}
    assert all(not lines or lines[0]["saleID"] for lines in table["SaleLines"].to_pylist())


BAD_ARGUMENTS = [
    ({"resource": "Sales"}, r"resource: 'Sales' is not a known resource\. Did you mean 'Sale'"),
    ({"relations": ["SaleLine"]}, r"relations: 'SaleLine'.*Did you mean 'SaleLines'"),
    ({"filters": {"totl": 1}}, r"filters: 'totl'.*'total'"),
    ({"filters": {"Customer.firstName": "Al"}}, r"needs the relation 'Customer'"),
    ({"mode": "incremetal"}, r"mode: 'incremetal'.*'incremental'"),
    ({"columns": ["salesID"]}, r"columns: 'salesID'.*'saleID'"),
    ({"window_start": "2026-01-01"}, r"window_start: '2026-01-01' is not a time with an offset"),
    ({"relation_layout": "flat"}, r"relation_layout: 'flat'.*nested, tables"),
    ({"relation_layout": "tables", "exclude_columns": ["saleID"]}, r"relation_layout: .* hang on 'saleID'"),
    ({"column_naming": "camel"}, r"column_naming: 'camel'.*snake_case"),
    ({"schema_drift": "frozen"}, r"schema_drift: 'frozen'.*'freeze'"),
    ({"max_parallel_requests": 0}, r"max_parallel_requests: found 0, allowed 1 and more"),
]


@pytest.mark.parametrize(("options", "message"), BAD_ARGUMENTS)
def test_wrong_argument_fails_for_good_and_says_what_to_do(
    options: dict[str, Any], message: str, connection: Connect, context: Context, tmp_path: Path
) -> None:
    """No retry, one error that names the argument and what is allowed; nothing is written."""
    connection()
    with pytest.raises(AirflowFailException, match=message):
        operator(tmp_path, **options).execute(context())
    assert list(tmp_path.rglob("*.parquet")) == []


def test_missing_client_secret_names_the_field(connection: Connect, context: Context, tmp_path: Path) -> None:
    """The error says which field of which connection, in the form's words."""
    connection(password=None)
    with pytest.raises(AirflowFailException, match=r"'lightspeed_default'.*Client secret"):
        operator(tmp_path).execute(context())


def test_revoked_grant_needs_a_person(
    connection: Connect, simulator: SimulatorProcess, context: Context, tmp_path: Path
) -> None:
    """Retrying cannot revive a grant."""
    connection()
    simulator.revoke()
    with pytest.raises(AirflowFailException, match=r"ReconnectRequired.*lightspeed_default"):
        operator(tmp_path).execute(context())


def test_unknown_connection_is_airflows_own_error(airflow_database: None, context: Context, tmp_path: Path) -> None:
    """As with every other hook."""
    with pytest.raises(Exception, match="nowhere"):
        operator(tmp_path, lightspeed_conn_id="nowhere").execute(context())


def test_foreign_host_is_refused_before_anything_is_sent(connection: Connect, context: Context, tmp_path: Path) -> None:
    """Credentials go only where airflow.cfg allows."""
    connection(host="https://evil.example")
    with pytest.raises(
        AirflowFailException, match=r"credentials may not be sent to 'https://evil\.example'.*allowed_hosts"
    ):
        operator(tmp_path).execute(context())


def test_path_below_a_file_is_found_out_before_fetching(
    connection: Connect, simulator: SimulatorProcess, context: Context, tmp_path: Path
) -> None:
    """The path and the reason stand in the error; not one request was spent."""
    connection()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(AirflowFailException, match=r"path: .* is a file, and a dataset needs a folder"):
        operator(tmp_path / "file").execute(context())
    assert simulator.audit("api")["requests"] == []


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "path: '' is empty"),
        (" ", "path: ' ' is empty"),
        ("s3://bucket//x", "two slashes in a row"),
        ("nowhere://bucket/x", "path: cannot open 'nowhere://bucket/x'.*ObjectStoragePath knows"),
        ("gs://bucket/x", "A package is missing on this machine: pip install apache-airflow-providers-google gcsfs"),
    ],
)
def test_path_that_cannot_be_one_fails_for_good(
    path: str, why: str, simulator: SimulatorProcess, connection: Connect, context: Context
) -> None:
    """As its template rendered it, say; no request is spent and no folder is made."""
    connection()
    simulator.clear_audit()
    with pytest.raises(AirflowFailException, match=why):
        LightspeedToParquetOperator(task_id="extract", resource="Sale", path=path).execute(context())
    assert simulator.audit("api")["requests"] == []


def test_protected_columns_reach_no_file(
    connection: Connect, simulator: SimulatorProcess, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left out or hashed with the deployment's salt; the salt itself is in no file and no result."""
    connection()
    monkeypatch.setenv("AIRFLOW__LIGHTSPEED__HASH_SALT", "pepper-of-this-test")
    task = operator(tmp_path, resource="Customer", exclude_columns=["lastName"], hash_columns=["firstName"])
    result = task.execute(context())
    (file,) = manifest(tmp_path, "Customer")["files"]
    table = pq.read_table(tmp_path / "Customer" / file["path"])
    assert "lastName" not in table.column_names
    names = {row["firstName"] for row in simulator.truth("Customer")}
    hashes = {name for name in table["firstName"].to_pylist() if name}
    assert len(hashes) == len(names - {""})
    assert hashes.isdisjoint(names)
    everything = str(result) + "".join(
        path.read_bytes().decode("latin1") for path in tmp_path.rglob("*") if path.is_file()
    )
    assert "pepper-of-this-test" not in everything


def test_run_that_found_no_change_is_skipped_and_moves_the_watermark(
    connection: Connect, simulator: SimulatorProcess, context: Context, tmp_path: Path
) -> None:
    """It says up to when it has read; with ``skip_when_empty=False`` it succeeds with no rows."""
    connection()
    operator(tmp_path, resource="Vendor").execute(context("one"))
    simulator.advance(3_600)
    with pytest.raises(AirflowSkipException, match=r"Vendor: nothing has changed since .*; the watermark is .* now"):
        operator(tmp_path, resource="Vendor").execute(context("two"))
    (watermark,) = manifest(tmp_path, "Vendor")["watermarks"].values()
    assert watermark == json.loads((tmp_path / "Vendor" / "_log" / "00000002.json").read_bytes())["watermark"]
    simulator.advance(3_600)
    third = operator(tmp_path, resource="Vendor", skip_when_empty=False).execute(context("three"))
    assert (third["rows"], third["files"], third["window_start"]) == (0, 0, watermark.replace("Z", "+00:00"))


def test_empty_whole_read_and_empty_first_read_are_results(
    connection: Connect, simulator: SimulatorProcess, context: Context, tmp_path: Path
) -> None:
    """C7: a table without rows is one; it has a manifest, and downstream tasks run."""
    connection()
    filters = {"lastName": "nobody is called this"}
    for mode, runs in (("full", ("one", "two")), ("incremental", ("one",))):
        path = tmp_path / mode
        for run in runs:
            found = operator(path, resource="Customer", mode=mode, filters=filters).execute(context(f"{mode} {run}"))
            assert found["rows"] == 0
        assert manifest(path, "Customer")["rows"] == 0
