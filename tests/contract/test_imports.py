"""What it costs to import and to run, each in another Python."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess

pytest.importorskip("airflow")
import os


@pytest.mark.process
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Sale", {"relations": ["SaleLines", "Customer.Contact"]}),
        ("Sale", {"relations": ["SaleLines", "Customer.Contact"], "relation_layout": "tables"}),
        ("SaleLine", {"mode": "incremental"}),
    ],
    ids=["nested", "tables", "through parents"],
)
def test_an_extract_does_not_import_pandas(
    shop: SimulatorProcess, tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    """It takes more CPU than thousands of rows, and each task is a process of its own."""
    order = {
        "base_url": shop.base_url,
        "access_token": shop.grant()["access_token"],
        "account_id": shop.account_id,
        "folder": str(tmp_path),
        "attempt": "1",
        "name": name,
        "options": options,
        "most_chains": 2,
        "store_every": 0.0,
    }
    code = "import sys; from tests.support.extract_child import main; main(eval(sys.argv[1])); print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, repr(order)], capture_output=True, text=True, check=False)
    assert done.stdout.endswith("}False\n"), (done.stdout, done.stderr)


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


@pytest.mark.process
def test_operator_module_imports_nothing_heavy() -> None:
    """A DAG parser pays for Airflow alone: pyarrow, pandas, requests and OpenLineage load when a task runs, or never."""
    code = (
        "import json, sys; import airflow.providers.common.compat.sdk as sdk; sdk.BaseOperator, sdk.ObjectStoragePath;"
        "before = set(sys.modules); import airflow_provider_lightspeed.operators.lightspeed;"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    loaded = json.loads(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    )
    assert {"pyarrow", "pandas", "requests", "orjson", "openlineage", "airflow.providers.openlineage"}.isdisjoint(
        loaded
    )


@pytest.mark.process
@pytest.mark.parametrize("default", [True, False])
def test_deferrable_follows_the_deployment(default: bool) -> None:
    """``[operators] default_deferrable`` is the default, as in every other provider."""
    code = (
        "from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator as Operator;"
        "print(Operator(task_id='extract', resource='Sale', path='/data').deferrable)"
    )
    environment = {**os.environ, "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": str(default)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == str(default)
