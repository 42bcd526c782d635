"""The form for a new connection."""

from __future__ import annotations

import pytest

pytest.importorskip("airflow.sdk")

from airflow_provider_lightspeed.settings import LONGEST_ID
from tests.support.visits import Site


def test_the_form_takes_ids_as_long_as_a_ledger_can_have(site: Site) -> None:
    """The browser stops typing where storing would refuse."""
    assert f'maxlength="{LONGEST_ID}"' in site.browser("ann").get("/lightspeed/new").text
