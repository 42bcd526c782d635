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

        return [{"app": create_app(), "url_prefix": "/lightspeed", "name": "Lightspeed"}]


class LightspeedPlugin(AirflowPlugin):
    """Mounts the refresh trigger at ``/lightspeed`` in the API server."""

    name = "lightspeed"
    fastapi_apps = _LazyApps()
