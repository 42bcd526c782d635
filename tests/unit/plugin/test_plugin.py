"""What Airflow finds in the plugin."""

from __future__ import annotations

import pytest

pytest.importorskip("airflow.sdk")

from airflow_provider_lightspeed.plugin.plugin import LightspeedPlugin


def test_app_and_menu_entry_are_at_the_same_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app below Airflow's own path, the link with that path in front."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://a.example/team")
    (app,) = LightspeedPlugin.fastapi_apps
    (view,) = LightspeedPlugin.external_views
    assert app["url_prefix"] == "/lightspeed"
    assert (view["href"], view["category"]) == ("/team/lightspeed/", "admin")
    assert "url_route" not in view  # Airflow's frame would forbid the navigation that OAuth needs


def test_middleware_is_the_one_that_the_test_button_needs() -> None:
    """Airflow adds it around its API server."""
    from airflow_provider_lightspeed.plugin.form_port import FormPort

    (found,) = LightspeedPlugin.fastapi_root_middlewares
    assert found["middleware"] is FormPort
