"""The runner of stages says what ran, what was skipped and why, and what failed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tools import stages

PASSED = """
SKIPPED [2] tests/unit/project/test_compose.py:35: could not import 'airflow.sdk'
SKIPPED [1] tests/unit/project/test_compose.py:45: could not import 'airflow.sdk'
============ 493 passed, 3 skipped, 7 deselected in 126.80s (0:02:06) =============
"""
FAILED = "=== 1 failed, 12 passed, 2 errors in 3.01s ===\nmake: *** [Makefile:54: test-unit] Error 1\n"


def test_counts_and_reasons_are_read_from_pytests_closing_lines() -> None:
    """Tests left out by a marker run in another stage, so they do not count; one reason is said once."""
    counts, skipped = stages.read(PASSED)
    assert counts == {"passed": 493, "skipped": 3}
    assert skipped == {"tests/unit/project/test_compose.py: could not import 'airflow.sdk'": 3}


def test_stage_that_runs_no_tests_counts_none() -> None:
    """A linter's output has no closing line of pytest."""
    assert stages.read("All checks passed!\n") == (Counter(), Counter())


@pytest.mark.parametrize(
    ("status", "output", "closing"),
    [(0, PASSED, "493 passed, 0 failed, 3 skipped"), (2, FAILED, "12 passed, 3 failed, 0 skipped")],
)
def test_conclusion_names_what_failed(
    status: int, output: str, closing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is 1 if a stage failed, whatever the others did."""
    counts, skipped = stages.read(output)
    result = stages.Result("test-unit", status, 5.0, counts, skipped, tmp_path / "log")
    assert stages.conclude([result], 5.0) == (1 if status else 0)
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == closing
    assert ("failed: make test-unit" in shown) is bool(status)


def test_stage_is_a_target_of_the_makefile_and_its_output_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """A target that ends well gets one line; one that is unknown fails and shows its last words."""
    assert stages.main(["help", "no-such-target"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:1] == ["help"] and line.endswith("ok") for line in lines)
    assert any("no-such-target" in line and "FAILED" in line for line in lines)
    assert any("No rule to make target" in line for line in lines)
    assert "make test" in (stages.LOGS / "help.log").read_text()
