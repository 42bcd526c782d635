"""Fields that a release of the catalog moved out of ``_extra``."""

from __future__ import annotations

from airflow_provider_lightspeed.warehouse.moved import moved_fields


def test_moved_fields_of_a_release() -> None:
    """Those of all releases after the one that wrote the oldest rows."""
    example = {"0.2.0": {"Sale": ("total",)}, "0.10.0": {"Sale": ("tip",), "Item": ("upc",)}}
    assert moved_fields("Sale", moved=example) == ("total", "tip")
    assert moved_fields("Sale", since="0.2.0", moved=example) == ("tip",)
    assert moved_fields("Item", since="0.9.9", moved=example) == ("upc",)
    assert moved_fields("Item", since="0.10.0", moved=example) == ()
    assert moved_fields("Sale") == ()
