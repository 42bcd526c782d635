"""The tests' own layout: a test file for each module, at the module's path, and nothing but pure tests beside them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parents[1]
UNIT: Final = TESTS / "unit"
PACKAGE: Final = TESTS.parent / "airflow_provider_lightspeed"

#: Modules that do nothing without a database, a server or Airflow around them, or that others are made of, and where their
#: tests are.
TESTED_ELSEWHERE: Final = {
    "client/bounds.py": "integration/client/test_bounds.py",
    "client/transport.py": "integration/client/test_transport.py",
    "commands/connections.py": "integration/commands/test_connections.py",
    "commands/consents.py": "integration/commands/test_connect.py",
    "commands/extract.py": "integration/commands/test_extract.py",
    "commands/compact.py": "integration/commands/test_compact.py",
    "extract/attempt.py": "contract/test_reads_resume.py",
    "extract/carry.py": "contract/test_commits_lower_nothing.py",
    "extract/changes.py": "contract/test_unchanged_runs.py",
    "extract/chain.py": "contract/test_reads_survive_changes.py",
    "extract/history.py": "unit/lake/test_dataset.py",
    "extract/lookups.py": "contract/test_extract_equals_truth.py",
    "extract/merging.py": "unit/extract/test_pages.py",
    "extract/reader.py": "contract/test_reads_survive_faults.py",
    "extract/run.py": "contract/test_extract_equals_truth.py",
    "extract/sweep.py": "contract/test_sweeps.py",
    "extract/verify.py": "contract/test_verify.py",
    "lake/current_rows.py": "unit/lake/test_compaction.py",
    "lake/log.py": "unit/lake/test_dataset.py",
    "lake/reading.py": "unit/lake/test_compaction.py",
    "lake/records.py": "unit/lake/test_dataset.py",
    "lake/rewriting.py": "unit/lake/test_compaction.py",
    "operators/openlineage.py": "integration/operators/test_openlineage.py",
    "plugin/auth.py": "integration/plugin/test_every_route.py",
    "plugin/pages.py": "integration/plugin/test_pages.py",
    "plugin/routes.py": "integration/plugin/test_every_route.py",
    "simulator/amounts.py": "unit/simulator/test_retail.py",
    "simulator/__main__.py": "contract/test_simulator_process.py",
    "simulator/app.py": "unit/simulator/test_api_routes.py",
    "simulator/payments.py": "unit/simulator/test_retail.py",
    "simulator/server.py": "integration/simulator/test_server.py",
    "simulator/state.py": "unit/simulator/test_live.py",
    "simulator/testing.py": "contract/test_simulator_process.py",
    "tokens/connect.py": "integration/tokens/test_connect.py",
    "tokens/companion.py": "integration/tokens/test_companion.py",
    "tokens/copies.py": "integration/tokens/test_copies.py",
    "tokens/dialects.py": "integration/test_databases.py",
    "tokens/journal.py": "integration/tokens/test_consent_records.py",
    "tokens/keep_alive.py": "integration/tokens/test_store.py",
    "tokens/probe.py": "integration/tokens/test_connect_meanwhile.py",
    "tokens/refresh.py": "integration/tokens/test_refresh.py",
    "tokens/sharing.py": "integration/tokens/test_sharing.py",
    "tokens/status.py": "integration/tokens/test_status_teams.py",
    "tokens/usage.py": "integration/operators/test_asset_events.py",
}

#: Modules without rules of their own, and why.
WITHOUT_RULES: Final = {
    "__main__.py": "calls the command line",
    "operators/outcome.py": "a record without methods",
    "simulator/answer.py": "a record without methods",
    "simulator/caller.py": "a record without methods",
    "simulator/schema.py": "reads the catalog that tests/unit/resources/test_catalog.py holds to its rules",
}

#: Tests of more than one module.
WITHOUT_MODULE: Final = {"unit/test_fuzz.py", "unit/test_fuzz_airflow.py", "unit/test_layout.py"}


def modules() -> Iterator[str]:
    """Yield the package's modules, as paths below it."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name != "__init__.py":
            yield path.relative_to(PACKAGE).as_posix()


def mirror(module: str) -> str:
    """Return where the unit tests of a module are, below ``tests``."""
    folder, _, name = module.rpartition("/")
    return "/".join(part for part in ("unit", folder, f"test_{name}") if part)


@pytest.mark.parametrize("module", sorted(modules()))
def test_each_module_has_its_test_file(module: str) -> None:
    """At the same path; or a line above says where its tests are, or why it needs none, and not both."""
    places = [
        (TESTS / mirror(module)).exists(),
        module in TESTED_ELSEWHERE,
        module in WITHOUT_RULES,
    ]
    assert sum(places) == 1, f"{module}: write tests/{mirror(module)}, or give its reason in tests/unit/test_layout.py"


def test_what_is_said_of_modules_is_still_so() -> None:
    """The modules of the two tables exist, and so do the tests that they name."""
    assert {*TESTED_ELSEWHERE, *WITHOUT_RULES} <= set(modules())
    assert [place for place in TESTED_ELSEWHERE.values() if not (TESTS / place).exists()] == []


def test_each_test_file_mirrors_a_module() -> None:
    """Whoever moves a module moves its tests; helpers are in ``tests/support``."""
    expected = {mirror(module) for module in modules()} | WITHOUT_MODULE
    found = {path.relative_to(TESTS).as_posix() for path in UNIT.rglob("*.py") if path.name != "conftest.py"}
    assert found - expected == set()


#: What a unit test has no business with, and what starts it.
IMPURE: Final = {"subprocess", "socket", "SimulatorProcess", "on_loopback", "airflow_database", "migrated"}


@pytest.mark.parametrize(
    "path", sorted(UNIT.rglob("*.py")), ids=lambda path: path.relative_to(UNIT).as_posix().removesuffix(".py")
)
def test_unit_tests_start_nothing(path: Path) -> None:
    """No process, no server, no database of Airflow: those tests are in ``tests/integration`` and ``tests/contract``."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.alias):
            names.add(node.name.partition(".")[0])
        elif isinstance(node, (ast.Name, ast.arg)):
            names.add(node.id if isinstance(node, ast.Name) else node.arg)
    assert names & IMPURE == set()
