"""What Airflow reads about this package without importing the rest of it: plain data, classes named by path.

The shape is Airflow's ``provider_info.schema.json``. The connection form stands here (``conn-fields``,
``ui-field-behaviour``), so that Airflow 3's API server draws it without importing the hook.
"""

from __future__ import annotations

from typing import Any, Final

from airflow_provider_lightspeed import __version__

CONNECTION_TYPE: Final = "lightspeed"
HOOK_NAME: Final = "Lightspeed Retail (R-Series)"

_STRING: Final = {"type": ["string", "null"]}

#: The extra fields of the connection form, in the order in which they are shown.
CONN_FIELDS: Final[dict[str, dict[str, Any]]] = {
    "refresh_token": {
        "label": "Refresh token",
        "schema": {**_STRING, "format": "password"},
        "description": "Leave empty and press Connect in Admin > Lightspeed; every rotation is written back here.",
    },
    "account_id": {
        "label": "Account ID",
        "schema": dict(_STRING),
        "description": "Optional; read from the access token when empty.",
    },
    "scope": {
        "label": "Scope",
        "schema": dict(_STRING),
        "description": "Access scopes, separated by spaces; informational.",
    },
    "auth_url": {
        "label": "Authorization server",
        "schema": dict(_STRING),
        "description": "Default https://cloud.lightspeedapp.com",
    },
}

UI_FIELD_BEHAVIOUR: Final[dict[str, Any]] = {
    "hidden-fields": ["schema", "port"],
    "relabeling": {"login": "Client ID", "password": "Client secret", "host": "API base URL"},
    "placeholders": {
        "login": "client ID of the API client registered at Lightspeed",
        "host": "https://api.lightspeedapp.com",
    },
}

_CONFIG: Final[dict[str, Any]] = {
    "lightspeed": {
        "description": "Settings of the Lightspeed Retail (R-Series) provider.",
        "options": {
            "allowed_hosts": {
                "description": (
                    "Comma-separated hosts that credentials may be sent to, for ``host`` and ``auth_url`` of a "
                    "connection. A bare name means https and may start with ``*.``; an entry with a scheme, such as "
                    "``http://127.0.0.1:*``, admits exactly that (plain http is admitted for loopback only)."
                ),
                "version_added": "0.1.0",
                "type": "string",
                "example": "*.lightspeedapp.com,http://127.0.0.1:*",
                "default": "*.lightspeedapp.com",
            },
            "api_server_url": {
                "description": (
                    "Where tasks reach this deployment's API server to have a token refreshed (Airflow 3). Empty: "
                    "``[api] base_url``, then ``[core] execution_api_server_url`` without its path, then "
                    "``http://localhost:8080``, the first that answers with this provider's marker."
                ),
                "version_added": "0.1.0",
                "type": "string",
                "example": "http://airflow-api-server:8080",
                "default": "",
            },
            "deployment": {
                "description": (
                    "Name of this deployment, stamped on the tokens: one with another name makes no grant call with them. "
                    "Empty: metadata database and base URL. Set it where processes reach one database by several "
                    "addresses (a pooler), or before the database moves."
                ),
                "version_added": "0.1.0",
                "type": "string",
                "example": "production",
                "default": "",
            },
            "hash_salt": {
                "description": (
                    "Salt of the columns that ``hash_columns`` of the operator names. Another salt makes other hashes: "
                    "keep it for as long as they are to match, and the same on all workers."
                ),
                "version_added": "0.1.0",
                "type": "string",
                "sensitive": True,
                "example": None,
                "default": "",
            },
        },
    }
}


def get_provider_info() -> dict[str, Any]:
    """Return the provider metadata for Airflow's ``apache_airflow_provider`` entry point."""
    integration = "Lightspeed Retail (R-Series)"
    return {
        "package-name": "airflow-provider-lightspeed",
        "name": integration,
        "description": "`Lightspeed Retail POS (R-Series) <https://developers.lightspeedhq.com/retail/>`__",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": integration,
                "external-doc-url": "https://developers.lightspeedhq.com/retail/",
                "tags": ["service"],
            }
        ],
        "hooks": [
            {"integration-name": integration, "python-modules": ["airflow_provider_lightspeed.hooks.lightspeed"]}
        ],
        "operators": [
            {"integration-name": integration, "python-modules": ["airflow_provider_lightspeed.operators.lightspeed"]}
        ],
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": "airflow_provider_lightspeed.hooks.lightspeed.LightspeedHook",
                "hook-name": HOOK_NAME,
                "conn-fields": CONN_FIELDS,
                "ui-field-behaviour": UI_FIELD_BEHAVIOUR,
            }
        ],
        "extra-links": [
            "airflow_provider_lightspeed.links.lightspeed.DatasetLink",
            "airflow_provider_lightspeed.links.lightspeed.LightspeedLink",
        ],
        "asset-uris": [
            {
                "schemes": ["lightspeed"],
                "handler": "airflow_provider_lightspeed.assets.sanitize_uri",
                "to_openlineage_converter": "airflow_provider_lightspeed.assets.convert_asset_to_openlineage",
            }
        ],
        "cli": ["airflow_provider_lightspeed.cli.get_cli_commands"],
        "config": _CONFIG,
    }
