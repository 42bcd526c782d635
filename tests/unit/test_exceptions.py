"""The tree of errors: complete, and each error keeps its fields."""

from __future__ import annotations

import pickle

from airflow_provider_lightspeed.exceptions import InvalidArgument, unknown


def test_errors_keep_their_fields_through_pickling() -> None:
    """Airflow sends exceptions between processes."""
    error = unknown("resource", "Sael", ["Sale", "Item"])
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert type(copy) is InvalidArgument
    assert (str(copy), copy.found, copy.near) == (str(error), "Sael", ["Sale"])
