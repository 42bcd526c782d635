"""``extract`` in this process: what it writes, which window it reads, how it fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.cli import main
from airflow_provider_lightspeed.commands import progress as shown
from airflow_provider_lightspeed.extract.summary import Progress
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.commands import RUNS
from tests.support.limits import little_room

Connect = Callable[..., str]
Capture = pytest.CaptureFixture[str]


def manifest(folder: Path, resource: str = "Sale") -> dict[str, Any]:
    """Return the dataset's manifest."""
    found: dict[str, Any] = json.loads((folder / resource / "_manifest.json").read_bytes())
    return found


def rows(folder: Path, resource: str = "Sale") -> Any:
    """Return the rows of all live files."""
    return pq.read_table([folder / resource / file["path"] for file in manifest(folder, resource)["files"]])


def extracted(folder: Path, capsys: Capture, *options: str) -> dict[str, Any]:
    """Extract sales and return the summary that it printed."""
    capsys.readouterr()
    main(["extract", "Sale", "--to", str(folder), "-o", "json", *options])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("run", RUNS)
def test_extract_commits_what_is_there_and_prints_a_table(
    run: Callable[[list[str]], None], connection: Connect, simulator: SimulatorProcess, tmp_path: Path, capsys: Capture
) -> None:
    """The same through both parsers; the last line is where a reader starts."""
    connection()
    run(["extract", "Sale", "--to", str(tmp_path)])
    head, row, _, path = capsys.readouterr().out.splitlines()
    truth = {int(sale["saleID"]) for sale in simulator.truth("Sale")}
    assert (head.split()[:2], row.split()[:2]) == (["RESOURCE", "ROWS"], ["Sale", str(len(truth))])
    assert path == str(tmp_path / "Sale" / "_manifest.json")
    assert set(rows(tmp_path)["saleID"].to_pylist()) == truth


def test_options_shape_the_file(connection: Connect, tmp_path: Path, capsys: Capture) -> None:
    """Relations and columns by commas, one ``--filter`` for each field, conditions as the API writes them."""
    connection()
    options = ["--full", "--relations", "SaleLines,SaleLines.Item", "--columns", "saleID,total,SaleLines"]
    extracted(tmp_path, capsys, *options, "--filter", "completed=true", "--filter", "total=>,50")
    table = rows(tmp_path)
    assert {name for name in table.column_names if not name.startswith("_")} == {"saleID", "total", "SaleLines"}
    assert min(table["total"].to_pylist()) > 50


def test_explicit_window_leaves_the_watermark_and_none_goes_on_from_it(
    connection: Connect, simulator: SimulatorProcess, tmp_path: Path, capsys: Capture
) -> None:
    """As the operator does; a second call is a new run and never the first one again."""
    connection()
    first = extracted(tmp_path, capsys)
    end = datetime.fromisoformat(first["window_end"])
    start = end - timedelta(days=3)
    explicit = extracted(tmp_path, capsys, "--since", start.isoformat(), "--until", end.isoformat())
    assert (explicit["window_start"], explicit["window_end"]) == (start.isoformat(), end.isoformat())
    assert [datetime.fromisoformat(text) for text in manifest(tmp_path)["watermarks"].values()] == [end]
    simulator.advance(3_600)
    assert extracted(tmp_path, capsys)["window_start"] == first["window_end"]
    assert extracted(tmp_path, capsys, "--full")["window_start"] is None


def test_nothing_to_read_is_no_error_and_says_so(
    connection: Connect, simulator: SimulatorProcess, tmp_path: Path, capsys: Capture
) -> None:
    """A cron line that runs too often must not send mail."""
    connection()
    now = datetime.fromtimestamp(simulator.advance(0)).astimezone().isoformat()
    found = extracted(tmp_path, capsys, "--since", now)
    assert (found["rows"], found["nothing_to_read"].split(":")[0]) == (0, "nothing to read yet")
    assert main(["extract", "Sale", "--to", str(tmp_path), "--since", now]) == 0
    assert capsys.readouterr().out.startswith("Sale: nothing to read yet: the window starts at")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--since", "2026-01-01"], "--since: '2026-01-01' is not a time with an offset"),
        (["--since", "2026-01-02T00:00Z", "--until", "2026-01-01T00:00Z"], "is not before --until"),
        (["--full", "--until", "2026-01-01T00:00Z"], "--full reads everything"),
        (["--filter", "total"], "'total' is not of the form field=value"),
        (["--filter", "total=1", "--filter", "total=2"], "'total' is given twice"),
        (["--filter", "totl=1"], "'total'"),
        (["--relations", "SaleLine"], "Did you mean 'SaleLines'"),
        (["--conn-id", "nobody"], "there is no connection 'nobody'"),
        (["--to", "nowhere://bucket"], "--to: cannot open 'nowhere://bucket'"),
        (["--to", " "], "--to: ' ' is empty"),
        (["--to", "s3://bucket//x"], "--to: 's3://bucket//x' has two slashes in a row"),
        (["--relations", '["SaleLine"]'], "Did you mean 'SaleLines'"),
    ],
)
def test_wrong_argument_is_named_in_one_line(
    options: list[str], message: str, connection: Connect, tmp_path: Path
) -> None:
    """Before anything is fetched, and with what would do."""
    connection()
    with pytest.raises(SystemExit) as ended:
        main(["extract", "Sale", "--to", str(tmp_path), *options])
    text = str(ended.value.code)
    assert text.startswith("error: ")
    assert message in text
    assert "\n" not in text


def test_full_disk_is_one_line_and_leaves_no_file_behind(connection: Connect, tmp_path: Path) -> None:
    """The operating system's own words stand in it."""
    connection()
    main(["extract", "Shop", "--to", str(tmp_path / "before")])  # the token is fresh: the database is written no more
    with little_room(9_000), pytest.raises(SystemExit) as ended:
        main(["extract", "Sale", "--to", str(tmp_path / "full"), "--relations", "SaleLines"])
    text = str(ended.value.code)
    assert text.startswith("error: path: cannot write")
    assert "File too large" in text
    assert "\n" not in text
    assert not [path for path in (tmp_path / "full").rglob("*") if path.is_file()]


def test_resource_read_as_a_whole_takes_no_window(tmp_path: Path) -> None:
    """Rather than read everything behind the back of somebody who asked for a day."""
    with pytest.raises(SystemExit, match="Register is always read as a whole"):
        main(["extract", "Register", "--to", str(tmp_path), "--since", "2026-01-01T00:00Z"])


def test_failed_extract_leaves_no_file_behind(
    connection: Connect, simulator: SimulatorProcess, tmp_path: Path, capsys: Capture
) -> None:
    """No later run is the same run, so nobody else would sweep its staging folder."""
    connection()
    simulator.faults({"action": "status", "path": "Sale.json.*after=", "status": 400, "count": None})
    with pytest.raises(SystemExit, match=r"^error: GET "):
        main(["extract", "Sale", "--to", str(tmp_path)])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_lines_take_the_bars_place_where_nobody_watches(
    connection: Connect, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On standard error, at a modest pace, none at all if none are wanted; standard output is the result's alone."""
    monkeypatch.setattr(shown, "LINE_SECONDS", 0.0)
    connection()
    main(["extract", "Sale", "--to", str(tmp_path), "-o", "json"])
    out, err = capsys.readouterr()
    window, first, *_ = (line for line in err.splitlines() if line.startswith("Sale:"))
    assert window.startswith("Sale: window [None, ")
    assert first.startswith("Sale: 100 rows, ")
    assert first.endswith("done -, ETA -")
    assert json.loads(out)["rows"] > 100
    main(["extract", "Sale", "--to", str(tmp_path), "--full", "--no-progress"])
    assert capsys.readouterr().err == ""


def test_warnings_appear_even_without_progress(
    connection: Connect, simulator: SimulatorProcess, tmp_path: Path, capsys: Capture
) -> None:
    """Why a request is repeated is no progress; it goes to standard error as well."""
    connection()
    simulator.faults({"action": "status", "path": "Sale.json", "status": 503})
    main(["extract", "Sale", "--to", str(tmp_path), "--no-progress", "-o", "json"])
    out, err = capsys.readouterr()
    assert "try 1 failed" in err
    assert json.loads(out)["rows"] == manifest(tmp_path)["rows"]


def test_estimates_are_marked_as_such() -> None:
    """``-`` while unknown, ``~`` while estimated, bare once the last page is there."""
    progress = Progress(rows=1_000, requests=11, seconds=4.0, bucket_level=9.6, bucket_size=90.0, drip_rate=1.0)
    assert shown.line("Sale", progress) == (
        "Sale: 1,000 rows, 11 requests, 250 rows/s, bucket 10/90, 1 drips/s, done -, ETA -"
    )
    estimated = Progress(1_000, 11, 4.0, 9.6, 90.0, done=0.4199, seconds_left=129.6)
    assert (shown.share(estimated), shown.eta(estimated)) == ("~41 %", "~0:02:10")
    over = Progress(1_000, 11, 4.0, 9.6, 90.0, done=1.0, seconds_left=0.0)
    assert (shown.share(over), shown.eta(over)) == ("100 %", "0:00:00")
