"""Where the page is: from the configuration alone, never from what a request says. Light: every process imports it."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from airflow_provider_lightspeed.compat import conf

#: The mount point below Airflow's own path.
PREFIX: Final = "/lightspeed"


def base_url() -> str:
    """Return ``[api] base_url`` without a trailing slash, ``""`` if it is not set. Request headers decide nothing."""
    return str(conf.get("api", "base_url", fallback="") or "").rstrip("/")


def airflow_path() -> str:
    """Return the path below which Airflow is mounted, ``""`` for the root."""
    return urlsplit(base_url()).path.rstrip("/")


def home() -> str:
    """Return the path of the Lightspeed page, with a trailing slash."""
    return f"{airflow_path()}{PREFIX}/"


def redirect_uri() -> str:
    """Return the redirect URI to register at Lightspeed."""
    return f"{base_url() or 'http://localhost:8080'}{PREFIX}/callback"
