"""The operator before it is executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow")
from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator


def operator(path: Path, **options: Any) -> LightspeedToParquetOperator:
    """Return an operator that writes below ``path``."""
    return LightspeedToParquetOperator(**{"task_id": "extract", "resource": "Sale", "path": str(path)} | options)


def test_template_fields_cover_what_varies_between_runs() -> None:
    """Airflow renders these; each exists as an attribute."""
    made = operator(Path("/data"))
    assert all(hasattr(made, name) for name in made.template_fields)
    assert {"resource", "path", "window_start", "window_end"} <= set(made.template_fields)
