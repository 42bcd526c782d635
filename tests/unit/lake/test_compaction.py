"""Compaction: few sorted files with the same current rows; and what is current, read back by path alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_lightspeed.exceptions import InvalidArgument, StorageError
from airflow_provider_lightspeed.lake import compaction, read_current
from airflow_provider_lightspeed.lake.compaction import Compacted, compact
from airflow_provider_lightspeed.lake.dataset import Dataset
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.warehouse.tables import Tables
from tests.support.lake import publish
from tests.support.read_contract.model import current_children, current_rows
from tests.support.table_specs import payment_tables, sale_tables
from tests.support.warehouses import Read, at

LOCAL = fsspec.filesystem("file")


def compacted(folder: Path, tables: Tables, **options: Any) -> list[Compacted]:
    storage = Storage.at(str(folder))
    return compact(storage, Dataset(storage, tables.main.resource), at(200), everything=True, **options)


def live(folder: Path, tables: Tables, table: str = "") -> list[str]:
    storage = Storage.at(str(folder))
    dataset = Dataset(storage, tables.main.resource)
    return dataset.paths({table: dataset.log.load().files_of(table)})[table]


def sale_reads(seed: int, count: int) -> list[Read]:
    """Return windows that overlap, sweeps and lines, as an account that changes would give."""
    chance, reads = random.Random(seed), []  # noqa: S311 - made up from a seed
    for number in range(1, count + 1):
        keys = chance.sample(range(1, 30), 8)
        rows: dict[str, Sequence[dict[str, Any]]] = {
            "": [
                {"saleID": key, "updateTime": at(number + key / 100) if key % 7 else None, "order": f"{number}"}
                for key in keys
            ],
            "SaleLines": [
                {
                    "_root_key": key,
                    "_path": f"SaleLines[{place}]",
                    "_position": place,
                    "saleLineID": 100 * number + place,
                }
                for key in keys
                for place in range(chance.randrange(3))
            ],
        }
        if number % 5 == 0:
            rows["tombstones"] = [{"saleID": key} for key in range(1, 30) if key not in keys and chance.random() < 0.2]
        reads.append(Read(f"r{number}", number * 10, rows, whole=number == 7))
    return reads


def shown(folder: Path) -> set[tuple[Any, ...]]:
    rows = read_current(folder, "Sale").to_pylist()
    assert len({row["saleID"] for row in rows}) == len(rows)
    return {(row["_account_id"], row["saleID"], row["updateTime"], row["order"], row["_extracted_at"]) for row in rows}


def shown_lines(folder: Path) -> list[tuple[Any, ...]]:
    rows = read_current(folder, "Sale.SaleLines").to_pylist()
    return sorted((row["_account_id"], row["_root_key"], row["_path"], row["_extracted_at"]) for row in rows)


@pytest.mark.parametrize("seed", range(5))
def test_current_rows_are_the_same_before_and_after(seed: int, tmp_path: Path) -> None:
    """Those of the model: newest version by key, less tombstones and what a full read replaced, with their lines."""
    tables, reads = sale_tables(), sale_reads(seed, 12)
    publish(LOCAL, str(tmp_path), tables, reads)
    found = current_rows(tables, reads).items()
    rows = {(*key, row["updateTime"], row["order"], at(read.at)) for key, (row, read) in found}
    lines = sorted((*each[:3], at(each[3])) for each in current_children(tables, reads, "SaleLines"))
    assert (shown(tmp_path), shown_lines(tmp_path)) == (rows, lines)
    (done,) = compacted(tmp_path, tables)
    assert (shown(tmp_path), shown_lines(tmp_path)) == (rows, lines)
    assert done.files[0] > done.files[1] == 3
    (path,) = live(tmp_path, tables)
    table = pq.read_table(path)
    assert table.num_rows == len(rows)
    assert table["saleID"].to_pylist() == sorted(table["saleID"].to_pylist())


def test_rows_that_come_after_are_held_against_what_was_compacted(tmp_path: Path) -> None:
    """A late read does not bring back what was deleted; compacting again changes nothing."""
    tables, reads = sale_tables(), sale_reads(1, 12)
    for known in (4, 9, 12):
        publish(
            LOCAL,
            str(tmp_path),
            tables,
            reads[:known],
            known=len(reads[:known]) - (known if known == 4 else 5 if known == 9 else 3),
        )
        compacted(tmp_path, tables)
    found = current_rows(tables, reads).items()
    assert shown(tmp_path) == {(*key, row["updateTime"], row["order"], at(read.at)) for key, (row, read) in found}


def test_payments_go_with_the_newest_read_of_their_sale(tmp_path: Path) -> None:
    """Of the parents that were read the newest is kept."""
    tables = payment_tables()
    first = Read(
        "a",
        10,
        {
            "": [{"salePaymentID": 1, "saleID": 1}, {"salePaymentID": 2, "saleID": 2}],
            "Sale": [{"saleID": 1}, {"saleID": 2}],
        },
    )
    second = Read("b", 20, {"": [{"salePaymentID": 3, "saleID": 1}], "Sale": [{"saleID": 1}]})
    publish(LOCAL, str(tmp_path), tables, [first, second])
    assert read_current(tmp_path, "SalePayment", ["salePaymentID"]).to_pydict() == {"salePaymentID": [2, 3]}
    compacted(tmp_path, tables)
    assert read_current(tmp_path, "SalePayment", ["salePaymentID"]).to_pydict() == {"salePaymentID": [2, 3]}
    (path,) = live(tmp_path, tables, "Sale")
    assert pq.read_table(path)["saleID"].to_pylist() == [1, 2]


def test_history_is_kept_where_it_is_wanted(tmp_path: Path) -> None:
    """Every row ever read, in one file."""
    tables, reads = sale_tables(), sale_reads(2, 6)
    publish(LOCAL, str(tmp_path), tables, reads)
    before = shown(tmp_path), shown_lines(tmp_path)
    (done,) = compacted(tmp_path, tables, keep_history=True)
    assert done.rows[0] == done.rows[1]
    assert (shown(tmp_path), shown_lines(tmp_path)) == before


def test_compaction_is_given_up_if_a_file_has_been_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full read is committed while it writes: nothing of it is left."""
    tables, reads = sale_tables(), sale_reads(3, 4)
    publish(LOCAL, str(tmp_path), tables, reads)
    commit = compaction._Compaction._commit

    def late(self: Any, *rest: Any) -> Any:
        publish(LOCAL, str(tmp_path), tables, [Read("full", 900, {"": [{"saleID": 1}]}, whole=True)])
        return commit(self, *rest)

    monkeypatch.setattr(compaction._Compaction, "_commit", late)
    assert compacted(tmp_path, tables) == []
    assert not list(tmp_path.rglob("*compaction*"))
    assert read_current(tmp_path, "Sale")["saleID"].to_pylist() == [1]


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
def test_failure_after_the_log_entry_deletes_nothing(
    kind: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry is the commit: the files that it names count, although the checkpoint could not be written."""
    tables = sale_tables()
    publish(LOCAL, str(tmp_path), tables, sale_reads(1, 6))
    before, write, failed = shown(tmp_path), Storage.write, list[str]()

    def fail(self: Storage, name: str, content: bytes) -> None:
        if name.endswith("_manifest.json"):
            failed.append(name)
            raise kind
        write(self, name, content)

    monkeypatch.setattr(Storage, "write", fail)
    with pytest.raises(kind):
        compacted(tmp_path, tables)
    monkeypatch.setattr(Storage, "write", write)
    assert failed
    assert shown(tmp_path) == before


def test_answer_that_is_lost_does_not_commit_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that repeats a conditional request is told that the name is taken: by its own first try."""
    tables, create = sale_tables(), Storage.create

    def twice(self: Storage, name: str, content: bytes) -> bool:
        return create(self, name, content) and create(self, name, content)

    monkeypatch.setattr(Storage, "create", twice)
    publish(LOCAL, str(tmp_path), tables, sale_reads(1, 3))
    assert len(list((tmp_path / "Sale" / "_log").glob("*.json"))) == 3
    assert Dataset(Storage.at(str(tmp_path)), "Sale").log.load().version == 3


def test_many_small_commits_become_few_files_by_themselves(tmp_path: Path) -> None:
    """After each commit, at little cost: a large file is rewritten only if the small ones together are no dwarfs beside it."""
    tables = sale_tables()
    storage = Storage.at(str(tmp_path))
    dataset = Dataset(storage, "Sale")
    most, written = 0, 0
    reads: list[Read] = []
    for number in range(1, 121):
        reads.append(
            Read(
                f"r{number}",
                number * 10,
                {"": [{"saleID": number, "updateTime": at(number)}, {"saleID": 1, "updateTime": at(number)}]},
            )
        )
        publish(LOCAL, str(tmp_path), tables, reads, known=number - 1)
        written += sum(done.rows[0] for done in compact(storage, dataset, at(number * 10)))
        most = max(most, len(live(tmp_path, tables)))
    assert most <= compaction.MOST_COMMITS + 1
    assert written < 4 * 2 * len(reads)
    assert read_current(tmp_path, "Sale")["saleID"].to_pylist() == list(range(1, 121))


def test_files_of_another_schema_wait(tmp_path: Path) -> None:
    """A later release has more columns; what it wrote is compacted by itself."""
    tables = sale_tables()
    publish(
        LOCAL,
        str(tmp_path),
        tables,
        [Read(f"r{number}", number * 10, {"": [{"saleID": number}]}) for number in range(1, 4)],
    )
    old = live(tmp_path, tables)[0]
    pq.write_table(pq.read_table(old).drop_columns(["order"]), old)
    (done,) = compacted(tmp_path, tables)
    assert done.files == (2, 1)
    assert read_current(tmp_path, "Sale", ["saleID", "order"]).to_pydict() == {"saleID": [1, 2, 3], "order": [None] * 3}


# -- read_current ---------------------------------------------------------------------------------------------------


def test_columns_are_chosen_by_name(tmp_path: Path) -> None:
    """A wrong one is named, with those that there are."""
    publish(LOCAL, str(tmp_path), sale_tables(), sale_reads(1, 3))
    assert read_current(tmp_path, "Sale", ["order", "saleID"]).schema.names == ["order", "saleID"]
    with pytest.raises(InvalidArgument, match=r"columns: .*'saleId'.*saleID"):
        read_current(tmp_path, "Sale", ["saleId"])
    with pytest.raises(InvalidArgument, match="Sales"):
        read_current(tmp_path, "Sales")


def test_dataset_as_it_was(tmp_path: Path) -> None:
    """At a version or at a time, as long as the log has it."""
    tables, reads = sale_tables(), sale_reads(4, 6)
    publish(LOCAL, str(tmp_path), tables, reads)
    compacted(tmp_path, tables)
    for version in (1, 3, 6):
        expected = {key[1] for key in current_rows(tables, reads[:version])}
        for as_of in (version, at(version * 10) + timedelta(minutes=1)):
            assert set(read_current(tmp_path, "Sale", as_of=as_of)["saleID"].to_pylist()) == expected
    with pytest.raises(InvalidArgument, match="as_of"):
        read_current(tmp_path, "Sale", as_of=99)
    with pytest.raises(InvalidArgument, match="as_of"):
        read_current(tmp_path, "Sale", as_of=at(-1_000))


def test_error_says_what_is_missing(tmp_path: Path) -> None:
    """A path without a dataset, and a file that somebody has deleted."""
    with pytest.raises(StorageError, match=r"Sale/_manifest\.json"):
        read_current(tmp_path, "Sale")
    publish(LOCAL, str(tmp_path), sale_tables(), sale_reads(1, 2))
    Path(live(tmp_path, sale_tables())[0]).unlink()
    with pytest.raises(StorageError, match=r"part-r1"):
        read_current(tmp_path, "Sale")


def test_any_file_system_can_be_read() -> None:
    """Through fsspec, by its URL."""
    publish(fsspec.filesystem("memory"), "/current/lake", sale_tables(), sale_reads(1, 2))
    assert isinstance(read_current("memory://current/lake", "Sale"), pa.Table)
