"""The staged files of a run: in the order of the keys, whole or unreadable."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.arrow.parquet import ROW_GROUP_BYTES, ROW_GROUP_ROWS, ParquetSink
from airflow_provider_lightspeed.arrow.tables import MAIN
from airflow_provider_lightspeed.extract import files as module
from airflow_provider_lightspeed.extract.files import LEAST_GROUP_BYTES, StagedFiles
from airflow_provider_lightspeed.lake.storage import Storage

SCHEMA = pa.schema([("key", pa.int64())])


def batch_of(keys: list[int]) -> dict[str, pa.RecordBatch]:
    """Return a batch with these keys."""
    return {MAIN: pa.RecordBatch.from_arrays([pa.array(keys, pa.int64())], schema=SCHEMA)}


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage.at(str(tmp_path))


@pytest.fixture
def every_slice_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a row were as much as a file should have."""
    monkeypatch.setattr(module, "LEAST_FILE_BYTES", 0)


def staged(storage: Storage, chains: int = 1) -> StagedFiles:
    """Return the files of a run."""
    return StagedFiles(storage, "staging", {MAIN: SCHEMA}, chains=chains)


def keys_of(files: StagedFiles) -> list[int]:
    """Return the rows of all complete files, one file after the other."""
    return [key for found in files.done[MAIN] for key in pq.read_table(found.path)["key"].to_pylist()]


@given(
    st.permutations(range(5)),
    st.lists(st.sampled_from(range(5)), min_size=10, max_size=40),
    st.sampled_from([0, 16, 64, 2**20]),
    st.sampled_from([0, 40, 2**20]),
)
def test_rows_come_in_the_order_of_the_slices_whoever_finishes_first(
    finish: list[int], turns: list[int], least: int, most: int
) -> None:
    """Chains take turns at random and end in any order; neighbours with few rows share a file, large ones have their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LEAST_FILE_BYTES", least)
        patch.setattr(module, "MOST_LOOSE_BYTES", most)
        storage = Storage.at(f"memory://files-{uuid.uuid4().hex}")
        files = StagedFiles(storage, "staging", {MAIN: SCHEMA, "B": SCHEMA})
        writers = [files.writer(order * 100) for order in range(5)]
        written: list[list[int]] = [[] for _ in range(5)]
        for chain in turns:
            key = chain * 100 + len(written[chain])
            writers[chain].write({MAIN: batch_of([key])[MAIN], "B": batch_of([key])[MAIN]})
            written[chain].append(key)
        for chain in finish:
            writers[chain].close()
        found = files.complete()
    for table in (MAIN, "B"):
        keys: list[int] = []
        for each in found[table]:
            with storage.open(each.path, "rb") as file:
                keys += pq.ParquetFile(file).read()["key"].to_pylist()
        assert keys == [key for slice_ in written for key in slice_]
    if least == 0:
        assert [each.rows for each in found[MAIN]] == [len(keys) for keys in written if keys]
    if least == most == 2**20:
        assert len(found[MAIN]) == 1


def test_short_read_of_several_chains_is_one_file_in_the_order_of_keys(storage: Storage) -> None:
    """However many chains it was cut among; a large slice between parts the small ones."""
    files = staged(storage, chains=4)
    for order in (300, 0, 200, 100, 400):
        writer = files.writer(order)
        for start in range(0, 300_000 if order == 200 else 30, 10_000):
            writer.write(
                batch_of([order * 10_000 + start + each for each in range(10)] * (1_000 if order == 200 else 1))
            )
        writer.close()
    found = files.complete()[MAIN]
    assert [each.rows for each in found] == [20, 300_000, 20]
    assert files.complete()[MAIN] == found
    first = pq.read_table(found[0].path)["key"].to_pylist()
    assert first == sorted(first)


@pytest.mark.usefixtures("every_slice_a_file")
def test_slice_of_several_files_keeps_their_order(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file ends after so many rows; the next chain's files end in between."""
    monkeypatch.setattr(module, "FILE_ROWS", 10)
    files = staged(storage)
    low, high = files.writer(-1), files.writer(1_000)
    for step in range(7):
        high.write(batch_of([1_000 + 4 * step + each for each in range(4)]))
        low.write(batch_of([4 * step + each for each in range(4)]))
    high.close()
    low.close()
    assert [found.rows for found in files.done[MAIN]] == [12, 12, 4, 12, 12, 4]
    assert keys_of(files) == [*range(28), *range(1_000, 1_028)]


@pytest.mark.parametrize("chains", [1, 4])
def test_file_ends_after_as_many_row_groups_however_many_chains_there_are(
    chains: int, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its footer will say of them is in memory until then."""
    monkeypatch.setattr(module, "FILE_ROWS", 400)
    monkeypatch.setattr(module, "ROW_GROUP_ROWS", 40)
    monkeypatch.setattr(module, "LEAST_FILE_BYTES", 0)
    files = staged(storage, chains)
    writer = files.writer(0)
    for first in range(0, 1_000, 10):
        writer.write(batch_of(list(range(first, first + 10))))
    writer.close()
    assert keys_of(files) == list(range(1_000))
    assert {found.row_groups for found in files.done[MAIN][:-1]} == {10}


@pytest.mark.usefixtures("every_slice_a_file")
def test_threads_that_write_at_a_time_get_a_file_each(storage: Storage) -> None:
    """No number is given twice, no row lands in another's file."""
    files = staged(storage, chains=8)

    def write(order: int) -> None:
        writer = files.writer(order)
        for key in range(50):
            writer.write(batch_of([order + key]))
        writer.close()

    threads = [threading.Thread(target=write, args=(order,)) for order in range(0, 800, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({found.path for found in files.done[MAIN]}) == 8
    assert keys_of(files) == [order + key for order in range(0, 800, 100) for key in range(50)]


def test_slice_without_rows_makes_no_file(storage: Storage) -> None:
    """An empty window commits no files."""
    files = staged(storage)
    writer = files.writer(0)
    writer.write(batch_of([]))
    writer.close()
    assert files.complete() == {MAIN: ()}
    assert storage.names("staging") == []


@pytest.mark.usefixtures("every_slice_a_file")
def test_aborted_files_cannot_be_read_as_parquet(storage: Storage, tmp_path: Path) -> None:
    """Those that were whole stay whole; an abort after the end harms none."""
    files = staged(storage)
    whole, cut_off, empty = (files.writer(order) for order in range(3))
    whole.write(batch_of([1]))
    whole.close()
    for _ in range(3):
        cut_off.write(batch_of(list(range(ROW_GROUP_ROWS))))
    empty.write(batch_of([2]))
    files.abort()
    files.abort()
    (complete,) = files.done[MAIN]
    assert keys_of(files) == [1]
    others = {path for path in (tmp_path / "staging").iterdir() if str(path) != complete.path}
    assert len(others) == 2
    for path in others:
        with pytest.raises(pa.ArrowInvalid):
            pq.read_table(path)


@pytest.mark.usefixtures("every_slice_a_file")
@pytest.mark.parametrize("chains", [1, 2, 5, 8, 100])
def test_row_groups_share_the_memory_of_one_among_the_chains(
    chains: int, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Down to a size below which a file of many row groups costs its readers more than it saves here."""
    asked: list[tuple[int, int]] = []
    original = ParquetSink

    def sink(*arguments: object, row_group_rows: int, row_group_bytes: int) -> object:
        asked.append((row_group_rows, row_group_bytes))
        return original(*arguments, row_group_rows=row_group_rows, row_group_bytes=row_group_bytes)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "ParquetSink", sink)
    files = staged(storage, chains=chains)
    writer = files.writer(0)
    writer.write(batch_of([1]))
    writer.close()
    ((rows, size),) = asked
    assert rows == ROW_GROUP_ROWS // chains
    assert size == max(ROW_GROUP_BYTES // chains, LEAST_GROUP_BYTES)


@pytest.mark.usefixtures("every_slice_a_file")
def test_row_group_is_written_when_its_share_of_rows_is_there(storage: Storage) -> None:
    """Not at the end only: nothing more of it is kept in memory."""
    files = staged(storage, chains=5)
    writer = files.writer(0)
    for start in range(0, 25_000, 1_000):
        writer.write(batch_of(list(range(start, start + 1_000))))
    writer.close()
    (found,) = files.done[MAIN]
    assert found.row_groups == 3
    groups = pq.ParquetFile(found.path).metadata
    assert [groups.row_group(place).num_rows for place in range(3)] == [10_000, 10_000, 5_000]
