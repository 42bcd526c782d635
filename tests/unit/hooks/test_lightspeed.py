"""What the hook shows of itself without a connection."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.hooks.lightspeed import LightspeedHook
from airflow_provider_lightspeed.provider_info import CONN_FIELDS

DOCS = Path(__file__).parents[3] / "docs"


def test_table_of_methods_is_complete() -> None:
    """Whatever reads is named; ``~`` and the other operators are tried in tests of the query builder."""
    text = (DOCS / "hook.md").read_text()
    public = {name for name in vars(LightspeedHook) if name.startswith("get_")}
    apart = {"get_conn", "get_connection_form_widgets", "get_ui_field_behaviour"}
    assert {name for name in public - apart if f"`{name}(" not in text} == set()


def test_form_of_airflow_2_has_the_fields_of_airflow_3() -> None:
    """One description, two forms."""
    assert set(LightspeedHook.get_ui_field_behaviour()) == {"hidden_fields", "relabeling", "placeholders"}
    pytest.importorskip("flask_appbuilder")
    assert set(LightspeedHook.get_connection_form_widgets()) == set(CONN_FIELDS)
