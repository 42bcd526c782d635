"""What every test process gets before the first Airflow import: a home of its own, and nothing of the user's.

Airflow reads ``AIRFLOW_HOME`` and ``AIRFLOW__*`` while it is imported, and creates files there, so the environment is
set at the top of this module and not in a fixture. Each xdist worker is a process and makes its own home.
"""

from __future__ import annotations

import atexit
import base64
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Examples may take what they take: tests assert no times. Whoever develops gets new ones with every run; CI says of a
# commit the same each time.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

#: ``TEST_WITHOUT_AIRFLOW=1``: Airflow cannot be imported, and nothing may be skipped for want of it (``make test-unit``).
_WITHOUT_AIRFLOW = bool(os.environ.get("TEST_WITHOUT_AIRFLOW"))
if _WITHOUT_AIRFLOW:
    sys.modules["airflow"] = None  # type: ignore[assignment]

_FOLDER_MARKERS = ("contract", "integration", "system", "browser")


def _isolate_airflow() -> Path:
    for name in [name for name in os.environ if name.startswith(("AIRFLOW_", "AIRFLOW__"))]:
        del os.environ[name]
    home = Path(tempfile.mkdtemp(prefix="airflow-home-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    (home / "dags").mkdir()
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        # Given, not made up by Airflow: processes that a test starts read the same database.
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'database' / 'airflow.db'}?timeout=30",
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return home


def _isolate_temporary_folders() -> None:
    """Give each run of pytest a temporary root of its own, which its xdist workers share.

    As root, Postgres runs as another user. pytest closes the root that all runs share to others with every start, and so
    would take a running database's folder away.
    """
    if "PYTEST_DEBUG_TEMPROOT" not in os.environ:
        root = tempfile.mkdtemp(prefix="tests-")
        atexit.register(shutil.rmtree, root, ignore_errors=True)
        os.environ["PYTEST_DEBUG_TEMPROOT"] = root


_HOME = _isolate_airflow()
_isolate_temporary_folders()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their top folder, so that nobody forgets to."""
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if folder in _FOLDER_MARKERS:
            item.add_marker(folder)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """See that the core has run without Airflow, and all of it."""
    if not _WITHOUT_AIRFLOW:
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", ())) if reporter else 0
    loaded = [name for name in sys.modules if name.startswith("airflow.")]
    if skipped or loaded:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        sys.stderr.write(f"\nthe core needs Airflow: {skipped} tests were skipped, loaded are {loaded[:5]}\n")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many bodies the fuzzed parsers got."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "fuzzed":
                terminalreporter.write_line(f"fuzzed {report.nodeid.rpartition('::')[2]}: {value}")


@pytest.fixture(scope="session")
def airflow_home() -> Path:
    """The test process's ``AIRFLOW_HOME``; it is removed when the process ends."""
    return _HOME


@pytest.fixture(scope="session")
def airflow_database(airflow_home: Path) -> Iterator[None]:
    """A migrated, empty metadata database (SQLite) in the test process's home, copied from one that is migrated once."""
    pytest.importorskip("airflow")
    from tools.databases import migrated

    with migrated("sqlite", airflow_home / "database"):
        yield
    from airflow import settings

    if settings.engine is not None:
        settings.engine.dispose()
