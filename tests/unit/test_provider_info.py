"""What Airflow reads about the package."""

from __future__ import annotations

import importlib

import pytest

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
