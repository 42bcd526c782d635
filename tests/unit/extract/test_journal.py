"""The journal: what was read comes back as it was stored, or not at all."""

from __future__ import annotations

import os
import threading
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.exceptions import StorageError
from airflow_provider_lightspeed.extract.journal import KEEP, Head, Journal, Segment
from airflow_provider_lightspeed.extract.window import Window
from airflow_provider_lightspeed.lake.dataset import Dataset
from airflow_provider_lightspeed.lake.storage import Storage
from tests.support.fakes import NOON
from tests.support.lake import draft_of

WINDOW = Window(None, NOON, moves_watermark=True, origin="test")
HEAD = Head("7", "query", "schema", "incremental None None", WINDOW, NOON)
SCHEMA = pa.schema(
    [pa.field("saleID", pa.int64()), pa.field("total", pa.decimal128(38, 10)), pa.field("note", pa.string())],
    metadata={"made": "by a test"},
)


def batch_of(keys: list[int]) -> pa.RecordBatch:
    """Return a batch with a row for each key."""
    columns = [keys, [Decimal(key) / 4 for key in keys], [None if key % 3 else f"n {key}" for key in keys]]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def memory() -> Storage:
    """Return an empty storage that costs no disk."""
    return Storage.at(f"memory://journal-{uuid.uuid4().hex}")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage.at(str(tmp_path))


@pytest.fixture
def journal(storage: Storage) -> Journal:
    return Journal(storage, "_staging/Sale/run/journal")


def loaded(storage: Storage, journal: Journal, now: datetime = NOON) -> tuple[Head, list[Segment]] | None:
    """Return what another process finds."""
    return Journal(storage, journal.folder).load(now)


# -- the head -------------------------------------------------------------------------------------------------------

moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
maybe = st.none() | moments
windows = st.builds(Window, maybe, moments, maybe, moves_watermark=st.booleans(), origin=st.text(max_size=20))
heads = st.builds(
    Head, st.text(), st.text(), st.text(), st.text(), windows, moments, st.none() | st.integers(0, 10**12)
)


@given(heads)
def test_head_comes_back_as_it_was_written(head: Head) -> None:
    """Every window, to the microsecond: the next try reads exactly the same."""
    storage = memory()
    Journal(storage, "journal").begin(head)
    assert Journal(storage, "journal").load(head.extracted_at) == (head, [])


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"head"',
        b"7",
        b"{}",
        b'{"format": 99}',
        b'{"format": 1}',
        orjson.dumps(HEAD.as_json() | {"format": 99}),
        orjson.dumps(HEAD.as_json() | {"window": None}),
        orjson.dumps(HEAD.as_json() | {"window": HEAD.as_json()["window"] | {"end": "yesterday"}}),
        orjson.dumps(HEAD.as_json() | {"window": HEAD.as_json()["window"] | {"new": 1}}),
        orjson.dumps(HEAD.as_json() | {"extracted_at": None}),
        orjson.dumps({key: value for key, value in HEAD.as_json().items() if key != "schema"}),
    ],
)
def test_damaged_head_is_none(damage: bytes, storage: Storage, journal: Journal) -> None:
    """Cut off, of another make, of a later version: the read starts afresh, and no error ends it."""
    journal.begin(HEAD)
    journal.store(batch_of([1]), Segment("", 0, 1, 0))
    storage.write(f"{journal.folder}/head.json", damage)
    assert loaded(storage, journal) is None


def test_nothing_is_stored_without_a_head(storage: Storage, journal: Journal) -> None:
    """Segments alone belong to nobody knows what."""
    assert journal.load(NOON) is None
    journal.begin(HEAD)
    journal.store(batch_of([1]), Segment("", 0, 1, 0))
    storage.remove(f"{journal.folder}/head.json")
    assert loaded(storage, journal) is None


def test_journal_of_yesterday_is_none(storage: Storage, journal: Journal) -> None:
    """Its pages and the new ones would be of two different days."""
    journal.begin(HEAD)
    assert loaded(storage, journal, NOON + KEEP) == (HEAD, [])
    assert loaded(storage, journal, NOON + KEEP + timedelta(microseconds=1)) is None


def test_last_key_is_noted_later(storage: Storage, journal: Journal) -> None:
    """It is asked for once in all tries; what is stored stays."""
    journal.begin(HEAD)
    stored = journal.store(batch_of([1]), Segment("", 0, 1, 0))
    journal.begin(replace(HEAD, last=4_711))
    assert loaded(storage, journal) == (replace(HEAD, last=4_711), [stored])


# -- segments -------------------------------------------------------------------------------------------------------

notes = st.lists(
    st.tuples(st.text(max_size=9), st.text(max_size=9), st.integers(1, 9)), max_size=3, unique_by=lambda note: note[:2]
)


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 10**12), max_size=30),
            st.integers(-1, 10**12),
            st.integers(-1, 10**12),
            st.booleans(),
            st.lists(st.text(max_size=20), max_size=3),
            notes,
        ),
        max_size=4,
    )
)
def test_segments_come_back_as_they_were_stored(
    given_segments: list[tuple[list[int], int, int, bool, list[str], list[tuple[str, str, int]]]],
) -> None:
    """Their notes and their rows, those without rows too."""
    storage = memory()
    journal = Journal(storage, "journal")
    journal.begin(HEAD)
    stored = {}
    for keys, after, upto, is_end, paths, aside in given_segments:
        segment = Segment("", after, upto, 0, is_end=is_end, paths=tuple(paths), set_aside=tuple(aside))
        found = journal.store(batch_of(keys), segment)
        assert found == replace(segment, name=found.name, rows=len(keys))
        stored[found] = batch_of(keys)
    other = Journal(storage, "journal")
    _, segments = other.load(NOON) or (None, [])
    assert set(segments) == set(stored)
    for segment in segments:
        assert [batch for batch, _ in other.batches([segment], SCHEMA)] == [stored[segment]]


def test_rows_come_in_the_order_that_is_asked_for(storage: Storage, journal: Journal) -> None:
    """Names and times of files decide nothing."""
    journal.begin(HEAD)
    segments = [journal.store(batch_of([key]), Segment("", key, key + 1, 0)) for key in (5, 3, 9, 1)]
    ordered = sorted(segments, key=lambda segment: segment.after)
    assert [batch["saleID"][0].as_py() for batch, _ in journal.batches(ordered, SCHEMA)] == [1, 3, 5, 9]


def test_schema_is_not_changed_by_the_note(storage: Storage, journal: Journal) -> None:
    """Metadata included: files of replayed and of read rows can be united."""
    journal.begin(HEAD)
    batch = batch_of([1, 2])
    segment = journal.store(batch, Segment("", 0, 2, 0))
    ((found, _),) = journal.batches([segment], SCHEMA)
    assert found.schema.equals(SCHEMA, check_metadata=True)
    assert batch.schema.equals(SCHEMA, check_metadata=True)


def test_segment_counts_beside_its_own_head_only(storage: Storage, journal: Journal) -> None:
    """Two tries that both began afresh read two windows: what one has stored is no part of the other's."""
    zombie = Journal(storage, journal.folder)
    zombie.begin(HEAD)
    of_zombie = zombie.store(batch_of([1]), Segment("", 0, 1, 0))
    later = replace(HEAD, window=replace(WINDOW, end=NOON + timedelta(hours=1)), extracted_at=NOON + timedelta(hours=1))
    journal.begin(later)
    mine = journal.store(batch_of([1]), Segment("", 0, 1, 0))
    zombie.store(batch_of([2]), Segment("", 1, 2, 0))
    assert loaded(storage, journal, NOON + timedelta(hours=2)) == (later, [mine])
    zombie.begin(HEAD)
    _, found = loaded(storage, journal, NOON + timedelta(hours=2)) or (None, [])
    assert of_zombie in found
    assert mine not in found


def test_try_that_takes_up_a_journal_stores_beside_the_same_head(storage: Storage, journal: Journal) -> None:
    """Its segments and those of the try before are one read."""
    journal.begin(HEAD)
    first = journal.store(batch_of([1]), Segment("", 0, 1, 0))
    retry = Journal(storage, journal.folder)
    assert retry.load(NOON) == (HEAD, [first])
    second = retry.store(batch_of([2]), Segment("", 1, 2, 0))
    _, found = loaded(storage, journal) or (None, [])
    assert set(found) == {first, second}


# -- its end --------------------------------------------------------------------------------------------------------


def test_commit_deletes_the_journal(storage: Storage) -> None:
    """A run that is cleared afterwards reads afresh."""
    dataset = Dataset(storage, "Sale")
    journal = Journal(storage, dataset.journal("run"))
    other = Journal(storage, dataset.journal("other run"))
    for each in (journal, other):
        each.begin(HEAD)
        each.store(batch_of([1]), Segment("", 0, 1, 0))
    dataset.publish(draft_of("run"))
    assert loaded(storage, journal) is None
    assert storage.names(journal.folder) == []
    assert len(storage.names(other.folder)) == 2


# -- on a local disk ------------------------------------------------------------------------------------------------


def test_segment_that_is_written_by_half_is_not_seen(
    storage: Storage, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before its name was given to it, or out of space: the draft is no segment."""
    journal.begin(HEAD)
    whole = journal.store(batch_of([1]), Segment("", 0, 1, 0))
    content = (tmp_path / whole.name).read_bytes()
    (tmp_path / f"{whole.name}.0123.tmp").write_bytes(content[: len(content) // 2])

    def full(*_: Any) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(StorageError, match="no space left"):
            journal.store(batch_of([2]), Segment("", 1, 2, 0))
    assert loaded(storage, journal) == (HEAD, [whole])


def test_reader_beside_a_writer_sees_whole_segments_only(storage: Storage, journal: Journal) -> None:
    """However the two meet: each segment that a listing shows can be read to its last row."""
    journal.begin(HEAD)
    keys = list(range(2_000))
    done = threading.Event()

    def write() -> None:
        for place in range(60):
            journal.store(batch_of(keys), Segment("", place, place + 1, 0))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        _, segments = loaded(storage, journal) or (None, [])
        for segment in segments[-3:]:
            ((batch, _),) = journal.batches([segment], SCHEMA)
            assert batch.num_rows == segment.rows == len(keys)
    writer.join()
    _, segments = loaded(storage, journal) or (None, [])
    assert len(segments) == 60
