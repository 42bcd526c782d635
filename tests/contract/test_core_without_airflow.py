"""The core runs where there is no Airflow: its unit tests, in a Python that cannot import it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
CORE: Final = ("arrow", "auth", "client", "extract", "resources", "simulator", "warehouse")
MODULES: Final = ("clock", "exceptions", "redact", "settings")

BLOCKED: Final = """
import sys
sys.modules["airflow"] = None
import pytest
status = pytest.main(sys.argv[1:])
assert not [name for name in sys.modules if name.startswith("airflow.")]
sys.exit(status)
"""


@pytest.mark.process
@pytest.mark.timeout(400)
def test_unit_tests_of_the_core_pass_without_airflow() -> None:
    """Every one of them runs: none is skipped for want of Airflow. Few examples are tried: the unit tests try many."""
    places = [f"tests/unit/{name}" for name in CORE] + [f"tests/unit/test_{name}.py" for name in MODULES]
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "not slow",
        "-x",
        *(place for place in places if (ROOT / place).exists()),
    ]
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, *options],
        cwd=ROOT,
        env={**os.environ, "HYPOTHESIS_PROFILE": "few"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "skipped" not in done.stdout.splitlines()[-1], done.stdout[-3000:]
