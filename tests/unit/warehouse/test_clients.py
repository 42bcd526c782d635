"""Loads into databases that a task reaches itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_lightspeed.exceptions import StorageError
from airflow_provider_lightspeed.warehouse.clients import load_duckdb
from airflow_provider_lightspeed.warehouse.statements import current_view
from tests.support.lake import publish
from tests.support.table_specs import sale_tables
from tests.support.warehouses import Read, at

FIRST = Read(
    "a",
    10,
    {
        "": [{"saleID": 1, "updateTime": at(1)}, {"saleID": 2, "updateTime": at(1)}],
        "SaleLines": [{"_root_key": 1, "_path": "SaleLines[0]", "_position": 0, "saleLineID": 11}],
    },
)
SECOND = Read("b", 20, {"": [{"saleID": 1, "updateTime": at(12)}], "tombstones": [{"saleID": 2}]})


@pytest.fixture
def connection() -> Any:
    return duckdb.connect()


def counts(connection: Any) -> dict[str, int]:
    """Return how many rows each table has."""
    names = [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
    return {name: len(connection.execute(f'FROM "{name}"').fetchall()) for name in names}


def test_loads_what_is_new_and_leaves_no_staging(connection: Any, tmp_path: Path) -> None:
    """Once each; a second call finds nothing to do."""
    tables, fs = sale_tables(), fsspec.filesystem("file")
    folder = publish(fs, str(tmp_path), tables, [FIRST])
    assert [load.commit for load in load_duckdb(connection, tables, folder)] == ["00000001-a-1"]
    assert counts(connection) == {"Sale": 2, "Sale__SaleLines": 1, "Sale__tombstones": 0, "_lightspeed_loads": 1}
    publish(fs, str(tmp_path), tables, [FIRST, SECOND], known=1)
    assert [load.commit for load in load_duckdb(connection, tables, folder)] == ["00000002-b-1"]
    assert load_duckdb(connection, tables, folder) == ()
    assert counts(connection) == {"Sale": 1, "Sale__SaleLines": 0, "Sale__tombstones": 1, "_lightspeed_loads": 2}


def test_reads_from_any_file_system(connection: Any) -> None:
    """Through fsspec, with the credentials that the path has."""
    tables = sale_tables()
    folder = publish(fsspec.filesystem("memory"), "/bucket/lake", tables, [FIRST, SECOND])
    assert len(load_duckdb(connection, tables, f"memory://{folder}")) == 2
    assert counts(connection)["Sale"] == 1


@pytest.mark.parametrize("protocol", ["file", "memory"])
def test_glob_characters_in_a_path_are_plain_ones(connection: Any, protocol: str, tmp_path: Path) -> None:
    """DuckDB takes every name for a pattern: the files of another folder, which fits it, are not read."""
    tables, fs, root = sale_tables(), fsspec.filesystem(protocol), tmp_path if protocol == "file" else "/odd"
    publish(fs, f"{root}/a1xb", tables, [SECOND])
    folder = publish(fs, f"{root}/a[1]*?b", tables, [FIRST])
    assert [load.commit for load in load_duckdb(connection, tables, f"{protocol}://{folder}")] == ["00000001-a-1"]
    assert counts(connection)["Sale"] == 2


def test_history_keeps_every_row(connection: Any, tmp_path: Path) -> None:
    """With a view of those that are current."""
    tables = sale_tables()
    folder = publish(fsspec.filesystem("file"), str(tmp_path), tables, [FIRST, SECOND])
    load_duckdb(connection, tables, folder, keeps_history=True)
    assert counts(connection)["Sale"] == 3
    for statement in current_view(tables.main, "duckdb"):
        connection.execute(statement)
    assert connection.execute("SELECT saleID, updateTime FROM Sale__current").fetchall() == [(1, at(12))]


def test_a_load_that_fails_leaves_nothing(connection: Any, tmp_path: Path) -> None:
    """Neither rows nor the note: the next one loads the commit."""
    tables = sale_tables()
    folder = publish(fsspec.filesystem("file"), str(tmp_path), tables, [FIRST])
    load_duckdb(connection, tables, folder)
    publish(fsspec.filesystem("file"), str(tmp_path), tables, [FIRST, SECOND], known=1)
    connection.execute("ALTER TABLE Sale__SaleLines RENAME COLUMN saleLineID TO other")
    with pytest.raises(duckdb.Error, match="saleLineID"):
        load_duckdb(connection, tables, folder)
    connection.execute("ALTER TABLE Sale__SaleLines RENAME COLUMN other TO saleLineID")
    assert counts(connection)["Sale"] == 2
    assert [load.commit for load in load_duckdb(connection, tables, folder)] == ["00000002-b-1"]


def test_files_of_an_earlier_release_lack_columns_and_none_may_have_more(connection: Any, tmp_path: Path) -> None:
    """What a file lacks is null; what the table lacks is an error, so that nothing is lost."""
    tables = sale_tables()
    folder = publish(fsspec.filesystem("file"), str(tmp_path), tables, [FIRST])
    path = f"{folder}/part-a-1-0.parquet"
    table = pq.read_table(path)
    pq.write_table(table.append_column("tip", pa.array([1, 2])), path)
    with pytest.raises(duckdb.Error, match="tip"):
        load_duckdb(connection, tables, folder)
    pq.write_table(table.drop_columns(["order"]), path)
    load_duckdb(connection, tables, folder)
    assert connection.execute('SELECT DISTINCT "order" FROM Sale').fetchall() == [(None,)]


def test_tables_that_are_too_far_behind_start_from_the_checkpoint(connection: Any, tmp_path: Path) -> None:
    """The log keeps a day: what they hold goes, the live files come. Where every row is kept, that is an error instead."""
    tables, fs, history = sale_tables(), fsspec.filesystem("file"), duckdb.connect()
    third = Read("c", 5_000, {"": [{"saleID": 3, "updateTime": at(12)}]}, whole=True)
    fourth = Read("d", 5_010, {"": [{"saleID": 4, "updateTime": at(12)}]})
    folder = publish(fs, str(tmp_path), tables, [FIRST])
    load_duckdb(connection, tables, folder)
    load_duckdb(history, tables, folder, keeps_history=True)
    publish(fs, str(tmp_path), tables, [FIRST, SECOND, third, fourth], known=1)
    assert [load.is_start for load in load_duckdb(connection, tables, folder)] == [True, True]
    assert connection.execute("SELECT saleID FROM Sale ORDER BY 1").fetchall() == [(3,), (4,)]
    assert counts(connection)["_lightspeed_loads"] == 2
    with pytest.raises(StorageError, match="Delete the rows"):
        load_duckdb(history, tables, folder, keeps_history=True)


def test_nothing_was_extracted_yet(connection: Any, tmp_path: Path) -> None:
    """The message names the manifest that is not there."""
    with pytest.raises(StorageError, match=r"Sale/_manifest\.json"):
        load_duckdb(connection, sale_tables(), tmp_path / "Sale")
