"""From the catalog to a warehouse: tables, merges, views of what is current, and which files are still to load."""

from importlib import import_module

from airflow_provider_lightspeed.exceptions import LightspeedFatalError

try:
    import_module("sqlglot")
except ImportError as missing:
    message = "SQL for warehouses needs sqlglot; install airflow-provider-lightspeed[warehouse]"
    raise LightspeedFatalError(message) from missing
