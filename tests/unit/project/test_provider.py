"""What Airflow reads about the package."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from airflow_provider_lightspeed.assets import sanitize_uri
from airflow_provider_lightspeed.cli import main
from airflow_provider_lightspeed.provider_info import get_provider_info

pytest.importorskip("airflow")


def test_provider_metadata_satisfies_airflows_schema() -> None:
    """Airflow's provider manager accepts it, and the hook it names is there and agrees."""
    from airflow.providers_manager import ProvidersManager

    assert "airflow-provider-lightspeed" in ProvidersManager().providers  # type: ignore[no-untyped-call]
    described = get_provider_info()["connection-types"][0]
    module, _, name = described["hook-class-name"].rpartition(".")
    hook = getattr(importlib.import_module(module), name)
    assert (hook.conn_type, hook.hook_name) == (described["connection-type"], described["hook-name"])


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


def test_resources_command_lists_and_describes(capsys: pytest.CaptureFixture[str]) -> None:
    """A name, how it is read, its fields; a wrong name suggests the right one."""
    main(["resources"])
    assert "SalePayment" in capsys.readouterr().out
    main(["resources", "Sale"])
    assert "SaleLines.Item" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="'Sale'"):
        main(["resources", "Sales"])


def test_asset_uri_is_checked() -> None:
    """One account, one resource."""
    assert sanitize_uri(urlsplit("lightspeed://12345/Sale/")).geturl() == "lightspeed://12345/Sale"
    with pytest.raises(ValueError, match="lightspeed://<account id>/<Resource>"):
        sanitize_uri(urlsplit("lightspeed://12345"))
