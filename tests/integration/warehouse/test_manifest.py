"""Manifests below Airflow's own paths."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.compat import ObjectStoragePath
from airflow_provider_lightspeed.warehouse.manifest import files_of, new_loads, read_manifest
from tests.support.lake import publish
from tests.support.table_specs import sale_tables
from tests.support.warehouses import Read


def test_loaders_get_urls_without_a_connections_id(tmp_path: Path) -> None:
    """An ``ObjectStoragePath`` names a connection of Airflow's, which means nothing to a warehouse."""
    folder = publish(fsspec.filesystem("file"), str(tmp_path), sale_tables(), [Read("a", 10, {"": [{"saleID": 1}]})])
    (load,) = new_loads(read_manifest(ObjectStoragePath(folder)))
    assert all(file.url.startswith(f"{folder}/") for file in files_of([load]))
