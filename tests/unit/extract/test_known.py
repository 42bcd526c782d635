"""What a dataset knows: the keys of its current rows, less those that are gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.arrow.types import EXTRACTED_AT, TIMESTAMP
from airflow_provider_lightspeed.extract.known import Columns, known_of
from airflow_provider_lightspeed.lake.storage import Storage

START = datetime(2026, 3, 1, tzinfo=UTC)
SCHEMA = pa.schema([("key", pa.int64()), ("archived", pa.bool_()), (EXTRACTED_AT, TIMESTAMP)])
Rows = list[tuple[int, bool, int]]

rows = st.lists(
    st.tuples(st.integers(1, 6), st.booleans(), st.integers(0, 9)), max_size=8, unique_by=lambda row: row[::2]
)


def written(folder: Path, name: str, found: Rows) -> list[str]:
    named = [
        {"key": key, "archived": archived, EXTRACTED_AT: START + timedelta(minutes=at)} for key, archived, at in found
    ]
    pq.write_table(pa.Table.from_pylist(named, schema=SCHEMA), folder / name)
    return [str(folder / name)]


@given(live=rows, gone=rows)
def test_known_are_the_newest_rows_that_have_no_tombstone_as_late(
    live: Rows, gone: Rows, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In whatever order rows stand in the files; one that was read after its tombstone lives again."""
    folder = tmp_path_factory.mktemp("dataset")
    storage = Storage.at(str(folder))
    found = known_of(
        storage, written(folder, "rows", live), written(folder, "gone", gone), Columns("key", archived="archived")
    )
    newest = {key: (at, archived) for key, archived, at in sorted(live, key=lambda row: row[2])}
    ends = {key: at for key, _, at in sorted(gone, key=lambda row: row[2])}
    alive = {key: archived for key, (at, archived) in newest.items() if ends.get(key, -1) < at}
    assert found.keys.tolist() == sorted(alive)
    assert found.archived.tolist() == sorted(key for key, archived in alive.items() if archived)
