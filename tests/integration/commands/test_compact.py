"""``compact`` in this process: what it rewrites, and what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

pytest.importorskip("airflow")
pytest.importorskip("sqlglot")  # the rows that are published come from the tables of a warehouse

from airflow_provider_lightspeed.cli import main
from airflow_provider_lightspeed.lake import read_current
from tests.support.commands import RUNS
from tests.support.lake import publish
from tests.support.table_specs import payment_tables, sale_tables
from tests.support.warehouses import Read

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Five commits of sales, of which one replaces another row, and two of payments."""
    fs = fsspec.filesystem("file")
    reads = [Read(f"r{number}", number * 10, {"": [{"saleID": max(number, 2)}]}) for number in range(1, 6)]
    publish(fs, str(tmp_path), sale_tables(), reads)
    payments = [Read(f"r{number}", number * 10, {"": [{"salePaymentID": number, "saleID": 1}]}) for number in (1, 2)]
    publish(fs, str(tmp_path), payment_tables(), payments)
    return tmp_path


@pytest.mark.parametrize("run", RUNS)
def test_compact_rewrites_and_says_so(run: Callable[[list[str]], None], lake: Path, capsys: Capture) -> None:
    """The same through both parsers; by default all resources at the path."""
    capsys.readouterr()
    run(["compact", "--path", str(lake)])
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["RESOURCE", "ACCOUNT", "FILES", "ROWS", "SIZE"]
    assert [line.split()[:8] for line in lines] == [
        ["Sale", "1", "5", "to", "1", "5", "to", "4"],
        ["SalePayment", "1", "2", "to", "1", "2", "to", "2"],
    ]
    assert read_current(lake, "Sale")["saleID"].to_pylist() == [2, 3, 4, 5]


def test_history_is_kept_on_request(lake: Path, capsys: Capture) -> None:
    """As JSON: files, rows and bytes before and after."""
    main(["compact", "--path", str(lake), "Sale", "--keep-history", "-o", "json"])
    (done,) = json.loads(capsys.readouterr().out)
    assert (done["resource"], done["files"], done["rows"]) == ("Sale", [5, 1], [5, 5])


def test_wrong_resource_is_named_with_those_that_are_there(lake: Path) -> None:
    """One line, no traceback."""
    with pytest.raises(SystemExit, match=r"resource: there is no dataset of 'Item' .*found Sale, SalePayment"):
        main(["compact", "--path", str(lake), "Item"])
