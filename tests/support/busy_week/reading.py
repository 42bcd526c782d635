"""Reads a dataset as its readers do: the files of the manifest, and by SQL what is current among their rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import duckdb
import msgspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_lightspeed.lake.log import Log
from airflow_provider_lightspeed.lake.records import Commit
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.resources.base import Resource, Strategy
from airflow_provider_lightspeed.resources.catalog import resource
from airflow_provider_lightspeed.warehouse.current import current as shipped
from airflow_provider_lightspeed.warehouse.dialects import dialect
from airflow_provider_lightspeed.warehouse.tables import TableSpec
from tests.support.current import Tables, current

Json = dict[str, Any]

_MOMENT: Final = pa.timestamp("us", tz="UTC")
_LOADS: Final = pa.schema(
    [
        ("resource", pa.string()),
        ("account_id", pa.string()),
        ("whole", pa.bool_()),
        ("extracted_at", _MOMENT),
        ("replaces_until", _MOMENT),
    ]
)
#: The tables beside a resource's own that say which rows are gone.
TOMBSTONES: Final = "tombstones"


@dataclass(frozen=True, slots=True)
class Fact:
    """One extracted row.

    :param places: the states of its record that it shows.
    :param extracted: when its read began.
    :param known: since when its commit is known.
    """

    key: int
    file: str
    places: tuple[int, ...]
    extracted: float
    known: float


@dataclass(slots=True)
class Dataset:
    """What is known of one resource's dataset.

    :param facts: all rows that ever were published.
    :param tables: by file, the columns that decide what is current, and the rows' numbers in ``facts``.
    :param others: the files of its other tables, by their names below the root.
    :param commits: by id, since when they are known.
    :param version: the newest commit that is known.
    :param of_key: the rows of a key.
    """

    facts: list[Fact] = field(default_factory=list)
    tables: dict[str, pa.Table] = field(default_factory=dict)
    others: dict[str, pa.Table] = field(default_factory=dict)
    commits: dict[str, tuple[float, Commit]] = field(default_factory=dict)
    version: int = 0
    of_key: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))


class Reading:
    """Reads one resource's dataset again and again; a published file, which never changes, only once.

    :param places: tells which states of its record a row shows.
    """

    def __init__(self, name: str, storage: Storage, places: Callable[[str, Json], list[int]]) -> None:
        self.name = name
        self.known = Dataset()
        self._resource = resource(name)
        self._storage = storage
        self._places = places
        self._log = Log(storage, name)
        self._duckdb = duckdb.connect(config={"threads": 1})
        self._queries: dict[frozenset[str], str] = {}

    def manifest(self) -> Json | None:
        """Return the manifest, ``None`` if there is none."""
        content = self._storage.read(f"{self.name}/_manifest.json")
        return orjson.loads(content) if content else None

    def take(self, manifest: Json, moment: float) -> Iterator[tuple[Json, Json | None, str]]:
        """Read what is new; yield files with a row that shows no state, or with something else that is wrong with them."""
        known = self.known
        new = self._new(manifest["version"])
        known.commits |= {commit.id: (moment, commit) for commit in new}
        # Files that were replaced long ago are deleted; those of new commits are there, live or not.
        self._others([_named(commit) for commit in new])
        files = [*manifest["files"], *(file for commit in new for file in _named(commit)["files"])]
        for file in {file["path"]: file for file in files if file["path"] not in known.tables}.values():
            yield from self._load(file)

    def _new(self, version: int) -> list[Commit]:
        """Return the commits up to a version that were not known yet; those that have expired meanwhile are left out."""
        known = self.known
        found = [self._log.entry(each) for each in range(known.version + 1, version + 1)]
        known.version = max(known.version, version)
        return [commit for commit in found if commit is not None]

    def _load(self, file: Json) -> Iterator[tuple[Json, Json | None, str]]:
        try:
            table = self._table(f"{self.name}/{file['path']}")
        except Exception as error:  # noqa: BLE001 - whatever it is, a reader meets it too
            yield file, None, f"cannot be read: {type(error).__name__}"
            return
        if table.num_rows != file["rows"]:
            yield file, None, f"holds {table.num_rows} rows, not {file['rows']}"
        known, key_name = self.known, self._resource.primary_key or ""
        first, keys = len(known.facts), set[int]()
        rows = table.to_pylist()
        since, commit = known.commits[file["commit"]]
        self._hang_on(rows, commit)
        for row in rows:
            key, places = row[key_name], tuple(self._places(self.name, row))
            if not places:
                yield file, row, "shows no state of its record"
            if key in keys:
                yield file, row, "stands in it twice"
            keys.add(key)
            known.of_key[key].append(len(known.facts))
            known.facts.append(Fact(key, file["path"], places, row["_extracted_at"].timestamp(), since))
        columns = [key_name, "_account_id", "_extracted_at", "_window_end", *_deciding(self._resource)]
        numbers = pa.array(range(first, len(known.facts)), pa.int64())
        known.tables[file["path"]] = table.select(columns).append_column("_row", numbers)

    def _hang_on(self, rows: list[Json], commit: Commit) -> None:
        """Put the rows of child tables into those that they hang on, as if they were nested."""
        through = self._resource.through
        for table, found in commit.files.items():
            if table in ("", TOMBSTONES) or "." in table or (through and table == through.resource):
                continue
            children = defaultdict[tuple[int, datetime], list[Json]](list)
            for part in found:
                for child in self._table(f"{self.name}.{table}/{part.path}").to_pylist():
                    children[child["_root_key"], child["_extracted_at"]].append(child)
            for row in rows:
                row[table] = children[row[self._resource.primary_key or ""], row["_extracted_at"]]

    def _table(self, name: str) -> pa.Table:
        with self._storage.open(self._storage.path(name), "rb") as source:
            return pq.ParquetFile(source).read(use_threads=False)

    def live(self, manifest: Json) -> list[int]:
        """Return the numbers of the rows that are current by the live files."""
        rows = [self.known.tables[file["path"]] for file in manifest["files"] if file["path"] in self.known.tables]
        return self._select(
            rows, self._others([manifest]), lambda tables: current(self.name, Tables(**{role: role for role in tables}))
        )

    def kept(self) -> list[int]:
        """Return those that are current in a warehouse that has loaded every commit while it counted, by the view that is shipped."""
        commits = [
            commit
            for _, commit in self.known.commits.values()
            if commit.overtaken_by is None and commit.kind != "compaction"
        ]
        loads = [
            {
                "resource": self.name,
                "account_id": commit.account_id,
                "whole": commit.kind == "full",
                "extracted_at": commit.extracted_at,
                "replaces_until": commit.replaces_until,
            }
            for commit in commits
        ]
        others = self._others([_named(commit) for commit in commits]) | {
            "loads": pa.Table.from_pylist(loads, schema=_LOADS)
        }
        names = {file.path for commit in commits for file in commit.files.get("", ())}
        rows = [table for name, table in self.known.tables.items() if name in names]
        return self._select(rows, others, self._shipped)

    def _shipped(self, tables: dict[str, pa.Table]) -> str:
        """Return the shipped query, of the columns that decide."""
        roles = frozenset(tables)
        if roles not in self._queries:
            self._queries[roles] = self._make_shipped(tables)
        return self._queries[roles]

    def _make_shipped(self, tables: dict[str, pa.Table]) -> str:
        def spec(role: str, key: str, **more: Any) -> TableSpec:
            return TableSpec(role, self.name, tables[role].schema, key=(key,), **more)

        found, key = self._resource, self._resource.primary_key or ""
        through = resource(found.through.resource).primary_key or "" if found.through else ""
        rows = spec(
            "live",
            key,
            modified=found.entity.find(found.modified_field).name if found.modified_field else None,
            tombstones=spec("tombstones", key) if "tombstones" in tables else None,
            parents=spec("parents", through) if "parents" in tables else None,
            loads=None if found.strategy is Strategy.APPEND else "loads",
        )
        duck = dialect("duckdb")
        return duck.sql(shipped(rows, duck, "live"))

    def _others(self, documents: list[Json]) -> dict[str, pa.Table]:
        """Return the rows of tombstones and parents that manifests or commits name."""
        through = self._resource.through
        roles = {"tombstones": TOMBSTONES} | ({"parents": through.resource} if through else {})
        found: dict[str, pa.Table] = {}
        for role, table in roles.items():
            names = [
                f"{self.name}.{table}/{file['path']}"
                for document in documents
                for file in document.get("tables", {}).get(table, {}).get("files", ())
            ]
            if names:
                found[role] = pa.concat_tables([self._other(name) for name in names])
        return found

    def _other(self, name: str) -> pa.Table:
        if name not in self.known.others:
            self.known.others[name] = self._table(name)
        return self.known.others[name]

    def _select(
        self, rows: list[pa.Table], others: dict[str, pa.Table], query: Callable[[dict[str, pa.Table]], str]
    ) -> list[int]:
        if not rows:
            return []
        tables = {"live": pa.concat_tables(rows), **others}
        for role, found in tables.items():
            self._duckdb.register(role, found)
        numbers = [row for (row,) in self._duckdb.execute(f"SELECT _row FROM ({query(tables)})").fetchall()]  # noqa: S608
        for role in tables:
            self._duckdb.unregister(role)
        return numbers


def _named(commit: Commit) -> Json:
    """Return what a manifest says of a commit's files."""
    files = {table: {"files": msgspec.to_builtins(found)} for table, found in commit.files.items()}
    return files.pop("", {"files": []}) | {"tables": files}


def _deciding(found: Resource) -> list[str]:
    """Return the columns besides key and lineage by which a row is current."""
    if found.through:
        return [resource(found.through.resource).primary_key or ""]
    return [found.entity.find(found.modified_field).name] if found.modified_field else []
