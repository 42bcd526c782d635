"""The names by which runs and queries know each other again."""

from __future__ import annotations

from airflow_provider_lightspeed.extract.commit import fingerprint, owner_of


def test_names_of_runs_and_queries_are_stable() -> None:
    """They stand in file names of datasets that outlive this version."""
    assert owner_of("dag|task|run|-1") == owner_of("dag|task|run|-1") != owner_of("dag|task|run|0")
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"resource": "Sale"}) == "2110d12030d0"
