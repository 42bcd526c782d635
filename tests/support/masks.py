"""Airflow's maskers of secrets, of which a process may have several."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

_MODULES = (
    "airflow._shared.secrets_masker.secrets_masker",
    "airflow.sdk._shared.secrets_masker.secrets_masker",
    "airflow.utils.log.secrets_masker",
)


def maskers() -> Iterator[Any]:
    """Yield those that are in use."""
    for name in _MODULES:
        find = getattr(sys.modules.get(name), "_secrets_masker", None)
        if find is not None:
            yield find()


def forget_secrets() -> None:
    """Have them forget what earlier tests told them: their pattern grows, and is compiled anew, with each secret."""
    for masker in maskers():
        masker.patterns, masker.replacer = set(), None
