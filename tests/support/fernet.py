"""Airflow's Fernet keys, which a test may change."""

from __future__ import annotations

import importlib
from typing import Any


def forget_fernet() -> None:
    """Have Airflow read its Fernet keys anew: it keeps what it has read once."""
    crypto: Any = importlib.import_module("airflow.models.crypto")
    if hasattr(crypto.get_fernet, "cache_clear"):
        crypto.get_fernet.cache_clear()
    else:  # Airflow 2
        crypto._fernet = None
