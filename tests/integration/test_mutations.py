"""The safety of the ledger hangs on four details. Without any one of them, a test of its own fails."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.databases import available

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).parents[2]
PACKAGE = "airflow_provider_lightspeed"

MUTATIONS = {
    "without FOR UPDATE": (
        "tokens/home.py",
        "query.with_for_update(nowait=nowait) if lock else query",
        "query",
        "integration/test_databases.py",
        "test_processes_at_the_same_moment_spend_one_refresh_token[postgres]",
    ),
    "without populate_existing": (
        "tokens/home.py",
        ".execution_options(populate_existing=True)",
        "",
        "integration/tokens/test_store.py",
        "test_locked_row_is_read_anew_even_if_the_session_knows_it",
    ),
    "without the compare-and-swap": (
        "tokens/store.py",
        "if present.ledger.generation != expected and present.ledger != ledger:",
        "if False:",
        "integration/test_databases.py",
        "test_holder_that_lost_its_session_does_not_overwrite_its_successor[postgres]",
    ),
    "without a look at what the user's row says by then": (
        "tokens/store.py",
        "if row is None or not _is_still(row, stored, ledger):",
        "if row is None:",
        "integration/tokens/test_saves_meanwhile.py",
        "test_refresh_leaves_a_row_that_was_saved_meanwhile[new token]",
    ),
}


@pytest.mark.parametrize("name", list(MUTATIONS))
def test_mutation_names_code_and_a_test_that_are_there(name: str) -> None:
    """Whoever moves either has to say so here: the mutations themselves are slow and run seldom."""
    file, code, _, folder, test = MUTATIONS[name]
    assert (ROOT / PACKAGE / file).read_text().count(code) == 1
    assert f"def {test.partition('[')[0]}(" in (ROOT / "tests" / folder).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(MUTATIONS))
def test_a_test_fails(name: str, tmp_path: Path) -> None:
    """Proves that the tests of ``test_databases`` can fail."""
    if "postgres" not in available():
        pytest.skip("Postgres is not installed")
    file, found, replacement, folder, test = MUTATIONS[name]
    for part in (PACKAGE, "tests", "tools", "pyproject.toml", "uv.lock"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / part)
    target = tmp_path / PACKAGE / file
    source = target.read_text()
    assert source.count(found) == 1
    target.write_text(source.replace(found, replacement))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/{folder}::{test}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout[-2000:]
    assert f"FAILED tests/{folder}::{test}" in done.stdout
