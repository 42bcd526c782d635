"""The table of the keys that are gone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.arrow.convert import Lineage
from airflow_provider_lightspeed.lake.tombstones import REASON, tombstone_schema, tombstones
from tests.support.fakes import NOON


@given(st.lists(st.integers(1, 2**63 - 1), max_size=5))
def test_each_key_gets_a_row_with_reason_and_lineage(keys: list[int]) -> None:
    """In the same schema, however many there are."""
    batch = tombstones("saleID", keys, Lineage("7", NOON), reason="archived")
    assert batch.schema == tombstone_schema("saleID")
    assert batch.column("saleID").to_pylist() == keys
    assert set(batch.column(REASON).to_pylist()) <= {"archived"}
    assert set(batch.column("_extracted_at").to_pylist()) <= {NOON}
