"""The names by which runs know each other again."""

from __future__ import annotations

from airflow_provider_lightspeed.extract.commit import owner_of


def test_names_of_runs_are_stable() -> None:
    """They stand in file names of datasets that outlive this version."""
    assert owner_of("dag|task|run|-1") == owner_of("dag|task|run|-1") != owner_of("dag|task|run|0")
    assert owner_of("dag|task|run|-1") == "f03d0c28dc5f"
