"""The table of commands: both parsers, and how commands fail."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest

from airflow_provider_lightspeed.cli import COMMANDS, main
from tests.support.commands import RUNS, airflow_main

pytest.importorskip("airflow")


@pytest.mark.parametrize("run", [main, airflow_main])
def test_both_parsers_know_every_command(run: Callable[[list[str]], None], capsys: pytest.CaptureFixture[str]) -> None:
    """Airflow 3 shows them under ``airflow lightspeed``; on 2.11 the package's own parser takes the same arguments."""
    for command in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            run([command.name, "--help"])
        assert ended.value.code == 0
        shown = capsys.readouterr().out
        assert all(flag in shown for argument in command.arguments for flag in argument.flags)


def test_error_is_one_line_and_status_one(capsys: pytest.CaptureFixture[str]) -> None:
    """What a person can mend needs no traceback."""
    with pytest.raises(SystemExit, match=r"^error: resource: 'Sales' is not .*Did you mean 'Sale'"):
        main(["resources", "Sales"])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("run", RUNS)
def test_reader_that_goes_away_ends_a_command_silently(
    run: Callable[[list[str]], None], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As ``airflow lightspeed resources | head -1`` does; with the status of a program that the closed pipe ended."""
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        with pytest.raises(SystemExit) as ended:
            run(["resources"])
    monkeypatch.undo()
    assert ended.value.code == 141
    assert "Traceback" not in capfd.readouterr().err


def test_full_disk_under_the_output_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was printed is not lost without a word."""
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit, match=r"^error: .*No space left on device$"):
            main(["resources"])
    monkeypatch.undo()
