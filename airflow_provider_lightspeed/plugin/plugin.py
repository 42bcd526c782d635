"""The Airflow plugin. Registered by the ``airflow.plugins`` entry point only."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin


class _LazyApps:
    """Builds the FastAPI app when somebody looks: plugins are imported in every task process, FastAPI need not be."""

    def __get__(self, instance: object, owner: type | None = None) -> list[dict[str, Any]]:
        from airflow_provider_lightspeed.compat import AIRFLOW_V_3_0_PLUS

        if not AIRFLOW_V_3_0_PLUS:
            return []
        from airflow_provider_lightspeed.plugin.app import create_app
        from airflow_provider_lightspeed.plugin.paths import PREFIX

        return [{"app": create_app(), "url_prefix": PREFIX, "name": "Lightspeed"}]


class _LazyMiddlewares:
    """What goes around all of Airflow's API server."""

    def __get__(self, instance: object, owner: type | None = None) -> list[dict[str, Any]]:
        from airflow_provider_lightspeed.plugin.form_port import FormPort

        return [{"middleware": FormPort, "name": "Lightspeed connection test"}]


class _LazyViews:
    """Links to the page, with Airflow's own path in front, which only the configuration knows."""

    def __get__(self, instance: object, owner: type | None = None) -> list[dict[str, Any]]:
        from airflow_provider_lightspeed.plugin.paths import home

        # Without a route of its own the page opens by itself: Airflow's frame forbids the navigation that OAuth needs.
        view = {"name": "Lightspeed", "href": home(), "destination": "nav", "category": "admin"}
        return [view | {"icon": f"{home()}static/icon.svg"}]


class LightspeedPlugin(AirflowPlugin):
    """Mounts page and refresh trigger at ``/lightspeed`` in the API server, and links the page in the Admin menu."""

    name = "lightspeed"
    fastapi_apps = _LazyApps()
    fastapi_root_middlewares = _LazyMiddlewares()
    external_views = _LazyViews()
