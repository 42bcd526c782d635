"""Since when rows are obsolete: by a tombstone as late as they, or by a later read of their parent."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import chain
from operator import itemgetter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.arrow.types import EXTRACTED_AT, TIMESTAMP
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.lake.supersession import Ends
from tests.support.fakes import NOON

SCHEMA = pa.schema([("key", pa.int64()), (EXTRACTED_AT, TIMESTAMP)])
Rows = list[tuple[int, int]]
rows = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 5)), max_size=6)


def at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


@given(live=rows, gone=st.lists(rows, max_size=2))
@pytest.mark.parametrize("way", ["tombstones", "parents"])
def test_newest_end_of_a_key_decides(
    way: str, live: Rows, gone: list[Rows], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """At the very moment: a tombstone ends the row, a parent that was read with it does not. Keys without one live."""
    folder = tmp_path_factory.mktemp("ends")
    paths = []
    for number, found in enumerate(gone):
        table = pa.Table.from_pylist([{"key": key, EXTRACTED_AT: at(minute)} for key, minute in found], schema=SCHEMA)
        pq.write_table(table, path := str(folder / f"{number}.parquet"))
        paths.append(path)
    keys, times = pa.array([key for key, _ in live], pa.int64()), pa.array([at(m) for _, m in live], TIMESTAMP)
    by = Ends.by_tombstones if way == "tombstones" else Ends.by_parents
    ends = by(Storage.at(str(Path(folder))), paths, "key", keys)
    newest = dict(sorted(chain.from_iterable(gone), key=itemgetter(1)))
    expected = [
        minute > newest.get(key, -1) or (way == "parents" and minute == newest.get(key)) for key, minute in live
    ]
    assert ends.alive(keys, times).to_pylist() == expected
