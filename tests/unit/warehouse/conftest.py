"""What tests of random histories share."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import pytest

from airflow_provider_lightspeed.warehouse import loads
from airflow_provider_lightspeed.warehouse.statements import ddl, merge


@pytest.fixture(scope="session", autouse=True)
def remembered_statements() -> Iterator[None]:
    """These texts are the same for each load, and random histories load by the hundred."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loads, "merge", lru_cache(None)(merge))
        patch.setattr(loads, "ddl", lru_cache(None)(ddl))
        yield
