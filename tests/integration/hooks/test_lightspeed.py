"""The hook: records, Arrow, DataFrame, count, and a test of the connection that spends nothing it cannot save."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.exceptions import InvalidArgument, LightspeedError
from airflow_provider_lightspeed.hooks.lightspeed import LightspeedHook
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess

Connect = Callable[..., str]


def test_records_table_frame_and_count_agree(connection: Connect, simulator: SimulatorProcess) -> None:
    """Four ways to the same rows, archived ones included."""
    connection()
    hook = LightspeedHook()
    truth = simulator.truth("Item")
    assert (
        len(list(hook.get_records("Item"))) == hook.get_arrow("Item").num_rows == len(hook.get_df("Item")) == len(truth)
    )
    assert hook.count("Item") == len(truth)


def test_frame_keeps_money_exact(connection: Connect) -> None:
    """Decimals stay decimals."""
    connection()
    total = LightspeedHook().get_df("Sale", filters={"saleID": 1})["total"]
    assert all(isinstance(value, Decimal) for value in total)


def test_table_has_the_columns_of_the_operators_files(connection: Connect, tmp_path: Path, context: Any) -> None:
    """Names, types and relations alike, so that code written for one reads the other."""
    from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator

    connection()
    options: dict[str, Any] = {
        "relations": ["SaleLines", "Customer"],
        "columns": ["saleID", "total", "SaleLines", "Customer"],
    }
    table = LightspeedHook().get_arrow("Sale", **options)
    LightspeedToParquetOperator(task_id="extract", resource="Sale", path=str(tmp_path), **options).execute(context())
    (file,) = tmp_path.glob("Sale/*.parquet")
    assert pq.read_schema(file).equals(table.schema)
    assert pq.read_table(file).drop_columns(["_extracted_at", "_window_end"]).sort_by("saleID") == table.drop_columns(
        ["_extracted_at", "_window_end"]
    ).sort_by("saleID")
    assert sum(len(lines) for lines in table["SaleLines"].to_pylist()) > table.num_rows


def test_columns_are_kept_beside_what_says_where_a_row_comes_from(connection: Connect) -> None:
    """As in files; an unknown one names the right one before anything is sent."""
    connection()
    frame = LightspeedHook().get_df("Item", columns=["itemID", "description"])
    assert list(frame) == [
        "description", "itemID", "_extra", "_account_id", "_extracted_at", "_window_start", "_window_end",
    ]  # fmt: skip
    with pytest.raises(InvalidArgument, match=r"columns: 'itmID'.*'itemID'"):
        LightspeedHook().get_df("Item", columns=["itmID"])


def test_nothing_found_is_an_empty_frame_with_all_columns_and_types(connection: Connect) -> None:
    """Code behind it needs no case of its own."""
    connection()
    hook = LightspeedHook()
    empty = hook.get_df("Sale", filters={"saleID": 0}, relations=["SaleLines"])
    some = hook.get_df("Sale", filters={"saleID": 1}, relations=["SaleLines"])
    assert (len(empty), len(some)) == (0, 1)
    assert list(empty.dtypes.items()) == list(some.dtypes.items())


def test_batches_are_read_one_by_one(connection: Connect, simulator: SimulatorProcess) -> None:
    """Who stops early has paid for what was read and no more; the schema is known before the first page."""
    connection()
    reader = LightspeedHook().get_batches("Sale", columns=["saleID"])
    assert "saleID" in reader.schema.names
    assert _lists(simulator) == []
    assert reader.read_next_batch().num_rows == 100
    assert len(_lists(simulator)) == 1


def test_error_of_a_later_page_stays_what_it_is(connection: Connect, simulator: SimulatorProcess) -> None:
    """A task can tell a fault of the server from the others, and never takes half of the rows for all."""
    connection()
    simulator.faults({"action": "status", "status": 404, "path": "/Sale", "after": 1, "count": 100})
    with pytest.raises(LightspeedError, match="404"):
        LightspeedHook().get_df("Sale")


def _lists(simulator: SimulatorProcess) -> list[str]:
    return [entry["path"] for entry in simulator.audit("api")["requests"] if "/Sale.json" in entry["path"]]


def test_m8_raw_records_show_no_secrets(connection: Connect, simulator: SimulatorProcess) -> None:
    """What a task returns goes to XCom; a table has them if they are named."""
    hook = LightspeedHook(connection())
    secrets = {row["integrationPassword"] for row in simulator.truth("Vendor")} - {""}
    assert secrets
    records = [*hook.get_records("Vendor"), *hook.get_records("Order", relations=["Vendor"])]
    assert not [secret for secret in secrets if secret in str(records)]
    assert {record["name"] for record in records[:12]} & {row["name"] for row in simulator.truth("Vendor")}
    assert set(hook.get_arrow("Vendor", columns=["integrationPassword"])["integrationPassword"].to_pylist()) >= secrets


@pytest.mark.parametrize("read", ["get_pages", "get_records", "get_batches", "get_arrow", "get_df"])
def test_wrong_name_is_an_error_of_the_call(read: str, connection: Connect, simulator: SimulatorProcess) -> None:
    """Not of whoever iterates later; nothing is sent."""
    connection()
    with pytest.raises(InvalidArgument, match="Did you mean 'Sale'"):
        getattr(LightspeedHook(), read)("Sales")
    assert simulator.audit("api")["requests"] == []


def test_connection_test_names_the_account(connection: Connect) -> None:
    """The message says what one is connected to."""
    connection()
    assert LightspeedHook().test_connection() == (True, "Connected to Example Retail 12345 (account 12345)")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"login": None}, "Client ID"),
        ({"password": "***"}, "mask"),
        ({"password": "wrong"}, "lient"),
        ({"extra": {"refresh_token": ""}}, "onnect"),
        ({"extra": {"refresh_token": ["7"]}}, "extra.refresh_token: found a value of type list"),
        ({"port": 1}, "port: found 1, and host"),
        ({"port": 70_000}, "port: found 70000, allowed 1 to 65535"),
    ],
)
def test_connection_test_says_what_is_wrong(changes: dict[str, Any], words: str, connection: Connect) -> None:
    """False and a reason, never an exception."""
    connection(**changes)
    worked, message = LightspeedHook().test_connection()
    assert not worked
    assert words in message


def test_port_and_blanks_of_a_connection_are_read_as_meant(connection: Connect, simulator: SimulatorProcess) -> None:
    """The port is the host's where that has none; a line end that was copied with the secret is none of it."""
    host, _, port = simulator.base_url.rpartition(":")
    connection(
        host=f" {host}", port=int(port), password=f"{simulator.client_secret}\n", login=f"{simulator.client_id} "
    )
    assert LightspeedHook().test_connection() == (True, "Connected to Example Retail 12345 (account 12345)")
    assert LightspeedHook().count("Shop") == len(simulator.truth("Shop"))


def test_secrets_stay_out_of_the_hooks_repr_and_logs(
    connection: Connect,
    simulator: SimulatorProcess,
    caplog: pytest.LogCaptureFixture,
    stored: Callable[[str], dict[str, Any]],
) -> None:
    """Neither the pair before nor the one after the refresh is shown."""
    connection()
    before = stored("lightspeed_default")["refresh_token"]
    caplog.set_level("DEBUG")
    hook = LightspeedHook()
    hook.count("Sale")
    shown = caplog.text + repr(hook) + repr(hook.client) + repr(vars(hook.client))
    for secret in (before, stored("lightspeed_default")["refresh_token"], simulator.client_secret):
        assert secret not in shown
