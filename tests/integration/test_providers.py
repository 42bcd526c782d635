"""The lock file's packages fit together: each provider can be imported beside this Airflow and beside one another.

An Airflow provider names the lowest version of a library that it needs, seldom the highest. What a resolver picks may be
newer than anything the provider was tried with, and then scheduler and workers end on an import.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("airflow")

PREFIX = "apache-airflow-providers-"
#: Imports each module of the providers, and loads the executor that Airflow is configured with.
IMPORT_ALL = """
import importlib, importlib.util, json, pkgutil, sys, warnings
from airflow.executors.executor_loader import ExecutorLoader
warnings.simplefilter("ignore")

def is_optional(error):
    # What a provider can do with a package that is not installed is its own affair, and so is what it can do on another
    # Airflow. A module that is missing from a package that is there is neither.
    while error:
        if type(error).__name__ == "AirflowOptionalProviderFeatureException":
            return True
        if isinstance(error, ModuleNotFoundError):
            package = (error.name or "").partition(".")[0]
            return package == "airflow" or importlib.util.find_spec(package) is None
        error = error.__cause__ or error.__context__
    return False

refused, imported = {}, 0
for root in sys.argv[1:]:
    package = importlib.import_module(root)
    for module in pkgutil.walk_packages(package.__path__, f"{root}.", onerror=lambda name: None):
        if ".migrations." in module.name:  # Alembic runs them, nobody imports them
            continue
        try:
            importlib.import_module(module.name)
            imported += 1
        except Exception as error:
            if not is_optional(error):
                refused[module.name] = f"{type(error).__name__}: {error}"
executor, _ = ExecutorLoader.import_default_executor_cls()
commands = [command.name for command in executor.get_cli_commands()]
print(json.dumps({"refused": refused, "imported": imported, "executor": executor.__name__, "commands": commands}))
"""


@pytest.mark.process
def test_providers_and_executor_of_the_lock_file_can_be_imported() -> None:
    """Executors, hooks, log handlers, authentication managers, commands: no import is refused."""
    names = {
        entry.dist.name for entry in importlib.metadata.entry_points(group="apache_airflow_provider") if entry.dist
    }
    ours = sorted(name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX))
    has_celery = "celery" in ours
    executor = {"AIRFLOW__CORE__EXECUTOR": "CeleryExecutor" if has_celery else "SequentialExecutor"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *(f"airflow.providers.{name.replace('-', '.')}" for name in ours)],
        env={**os.environ, **executor},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["refused"] == {}
    assert found["imported"] > 10 * len(ours)
    assert found["executor"] == executor["AIRFLOW__CORE__EXECUTOR"]
    assert ("celery" in found["commands"]) is has_celery
