"""The table of commands: both parsers, what importing it costs, how commands fail."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_lightspeed.cli import COMMANDS, get_cli_commands, main
from airflow_provider_lightspeed.commands.output import size, until

pytest.importorskip("airflow")

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def airflow_main(argv: list[str]) -> None:
    """Run ``airflow lightspeed ...`` with the parser that Airflow builds, in this process."""
    from airflow.cli.cli_parser import _add_command

    parser = argparse.ArgumentParser(prog="airflow")
    (group,) = get_cli_commands()
    _add_command(parser.add_subparsers(required=True), group)
    arguments = parser.parse_args(["lightspeed", *argv])
    arguments.func(arguments)


@pytest.mark.parametrize("run", [main, airflow_main])
def test_both_parsers_know_every_command(run: Callable[[list[str]], None], capsys: pytest.CaptureFixture[str]) -> None:
    """Airflow 3 shows them under ``airflow lightspeed``; on 2.11 the package's own parser takes the same arguments."""
    for command in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            run([command.name, "--help"])
        assert ended.value.code == 0
        shown = capsys.readouterr().out
        assert all(flag in shown for argument in command.arguments for flag in argument.flags)


@pytest.mark.process
def test_airflows_start_pays_for_the_table_alone() -> None:
    """What commands need is imported when one runs: Airflow loads this module for each of its own commands too."""
    code = (
        "import json, sys; import airflow.cli.cli_config; before = set(sys.modules);"
        "import airflow_provider_lightspeed.cli as cli; cli.get_cli_commands();"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert {"pyarrow", "pandas", "requests", "rich", "orjson"}.isdisjoint(loaded)
    assert not [name for name in loaded if name.startswith("airflow_provider_lightspeed.commands")]


def test_error_is_one_line_and_status_one(capsys: pytest.CaptureFixture[str]) -> None:
    """What a person can mend needs no traceback."""
    with pytest.raises(SystemExit, match=r"^error: resource: 'Sales' is not .*Did you mean 'Sale'"):
        main(["resources", "Sales"])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (timedelta(days=29, hours=23), "29 days"),
        (timedelta(hours=47), "47 h"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(seconds=-1), "over"),
    ],
)
def test_time_left_is_told_in_its_greatest_unit(left: timedelta, words: str) -> None:
    """Rounded down: nobody is promised more than there is."""
    assert until(NOW + left, NOW) == words


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KiB"), (200 * 2**20, "200 MiB")]
)
def test_size_is_told_in_a_unit_that_keeps_it_short(count: int, words: str) -> None:
    """Powers of 1,024, three digits or so."""
    assert size(count) == words


def test_status_is_a_table_for_people_and_json_for_programs(
    connection: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Columns stand aligned; times in JSON are ISO 8601; a connection that needs a person is told below, status 1."""
    from airflow_provider_lightspeed.tokens.keep_alive import keep_alive

    connection()
    keep_alive("lightspeed_default")
    main(["status"])
    head, row = capsys.readouterr().out.splitlines()
    assert row.index("metadata database") == head.index("FROM")
    assert row[head.index("TOKEN") :].startswith("fresh, ")
    main(["status", "-o", "json"])
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["conn_id"], found["token"]) == ("lightspeed_default", "fresh")
    assert datetime.fromisoformat(found["lapses_at"]) > datetime.fromisoformat(found["expires_at"])
    with pytest.raises(SystemExit) as ended:
        main(["status", "lightspeed_default", "nobody"])
    assert ended.value.code == 1
    assert capsys.readouterr().out.endswith("\n\n! nobody: there is no such connection\n")
