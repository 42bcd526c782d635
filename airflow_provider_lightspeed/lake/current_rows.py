"""Which rows of files are current, by the read contract: keys in memory, about 40 bytes a row. Reads columns, never whole rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_provider_lightspeed.arrow.tables import MAIN, ROOT_KEY
from airflow_provider_lightspeed.arrow.types import EXTRACTED_AT, TIMESTAMP, Selection, shape_of
from airflow_provider_lightspeed.lake.records import Query
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.lake.supersession import Ends
from airflow_provider_lightspeed.lake.tombstones import TOMBSTONES
from airflow_provider_lightspeed.resources.catalog import resource as resource_named

_FILE: Final = "_file"
_ROW: Final = "_row"
_NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Contract:
    """The columns of a query's rows that say which of a key's rows is current.

    :param key: ``None``: rows have no key.
    :param modified: ``None``: the time of the extract decides alone.
    :param parents: the table of the parents that rows are read through, with its key's column; ``None``: they are read by
        themselves.
    """

    key: str | None
    modified: str | None
    parents: tuple[str, str] | None

    @classmethod
    def of(cls, query: Query) -> Contract:
        """Return the contract of a query."""
        found = resource_named(query.resource)
        selection = Selection(query.columns, query.excluded, query.hashed, query.naming)
        shape = shape_of(found, query.relations, selection)
        columns = {column.source: column for column in shape.columns}
        modified = None
        if found.modified_field:
            column = columns.get(found.entity.find(found.modified_field).name)
            modified = column.name if column and not column.is_hashed else None
        parents = None
        if found.through:
            above = columns.get(resource_named(found.through.resource).primary_key or "")
            parents = (found.through.resource, above.name) if above and not above.is_hashed else None
        return cls(shape.key, modified, parents)

    def is_child(self, table: str) -> bool:
        """Whether a table holds the records inside the main table's rows."""
        return table not in (MAIN, TOMBSTONES) and (self.parents is None or table != self.parents[0])

    def mark_key(self, table: str) -> str:
        """Return the key's column of a table of tombstones or parents."""
        return self.parents[1] if self.parents and table == self.parents[0] else (self.key or "")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of some files, in the order of their keys.

    :param files: for each row: the number of its file.
    :param rows: its place in the file.
    :param keys: its key, and when its read began.
    """

    files: pa.Array
    rows: pa.Array
    keys: pa.Array
    extracted_at: pa.Array

    def __len__(self) -> int:
        return len(self.rows)


Paths = Mapping[str, Sequence[str]]


def main_rows(storage: Storage, paths: Paths, contract: Contract, *, all_versions: bool = False) -> Rows:
    """Return the current rows of the main table.

    :param paths: of the files, by table.
    :param all_versions: those that are not current as well.
    """
    assert contract.key is not None
    names = [contract.key, *filter(None, [contract.modified, contract.parents and contract.parents[1]]), EXTRACTED_AT]
    names = list(dict.fromkeys(names))
    table = _located(storage, paths.get(MAIN, ()), names)
    if not table.num_rows:
        return _rows(table.append_column("_key", pa.array([], pa.int64())), "_key")
    if not all_versions:
        for name, column in ((TOMBSTONES, contract.key), contract.parents or ("", "")):
            marks = paths.get(name, ()) if name else ()
            if marks:
                among = table[column].combine_chunks()
                read = Ends.by_tombstones if name == TOMBSTONES else Ends.by_parents
                ends = read(storage, marks, column, among)
                table = table.filter(ends.alive(table[column].combine_chunks(), table[EXTRACTED_AT].combine_chunks()))
    version = [*filter(None, [contract.modified]), EXTRACTED_AT]
    if contract.modified:
        # A row without that time is older than any that has one.
        place = table.schema.get_field_index(contract.modified)
        filled = pc.fill_null(table[contract.modified], _NEVER)
        table = table.set_column(place, contract.modified, filled)
    table = _sorted(table, [contract.key, *version])
    return _rows(table if all_versions else _last(table, contract.key), contract.key)


def child_rows(
    storage: Storage, paths: Sequence[str], main: Rows, groups: Mapping[str, Sequence[int]], table: str
) -> Rows:
    """Return the rows of a child table that belong to rows of the main one: to its very version, of the same commit.

    :param groups: by table: for each file the number of its commit.
    """
    found = _located(storage, paths, [ROOT_KEY, EXTRACTED_AT])
    if found.num_rows:
        place = pc.index_in(found[ROOT_KEY].combine_chunks(), value_set=main.keys)
        found = found.filter(place.is_valid())
        place = place.drop_null()
        same_time = pc.equal(found[EXTRACTED_AT].combine_chunks(), main.extracted_at.take(place))
        mine = pa.array(groups[table], pa.int32()).take(found[_FILE].combine_chunks())
        theirs = pa.array(groups[MAIN], pa.int32()).take(main.files.take(place))
        found = _sorted(found.filter(pc.and_(same_time, pc.equal(mine, theirs))), [ROOT_KEY])
    return _rows(found, ROOT_KEY)


def mark_rows(storage: Storage, paths: Sequence[str], key: str, *, all_versions: bool = False) -> Rows:
    """Return of tombstones or parents the newest row of each key."""
    table = _sorted(_located(storage, paths, [key, EXTRACTED_AT]), [key, EXTRACTED_AT])
    return _rows(table if all_versions else _last(table, key), key)


def all_rows(storage: Storage, paths: Sequence[str], key: str) -> Rows:
    """Return all rows, in the order of a column."""
    return _rows(_sorted(_located(storage, paths, [key, EXTRACTED_AT]), [key, EXTRACTED_AT]), key)


def _located(storage: Storage, paths: Sequence[str], names: Sequence[str]) -> pa.Table:
    """Return some columns of files, with the file and the place that each row has."""
    tables = []
    for number, path in enumerate(paths):
        with storage.open(path, "rb") as file:
            table = pq.ParquetFile(file).read(list(names))
        places = pa.array(range(table.num_rows), pa.int32())
        files = pa.repeat(pa.scalar(number, pa.int32()), table.num_rows)
        tables.append(table.append_column(_FILE, files).append_column(_ROW, places))
    if not tables:
        return pa.table({**dict.fromkeys(names, pa.array([], TIMESTAMP)), _FILE: pa.array([], pa.int32()), _ROW: pa.array([], pa.int32())})  # fmt: skip
    return pa.concat_tables(tables).combine_chunks()


def _sorted(table: pa.Table, names: Sequence[str]) -> pa.Table:
    # Of rows that are equal, the order of the files decides, so that it comes out the same each time.
    keys = [(name, "ascending") for name in (*names, _FILE, _ROW)]
    return table.take(pc.sort_indices(table, sort_keys=keys))


def _last(table: pa.Table, key: str) -> pa.Table:
    """Return the last row of each key, of rows in the order of keys."""
    if table.num_rows < 2:
        return table
    keys = table[key].combine_chunks()
    differs = pc.fill_null(pc.not_equal(keys.slice(1), keys.slice(0, len(keys) - 1)), True)
    return table.filter(pa.concat_arrays([differs, pa.array([True])]))


def _rows(table: pa.Table, key: str) -> Rows:
    return Rows(*(table[name].combine_chunks() for name in (_FILE, _ROW, key, EXTRACTED_AT)))
