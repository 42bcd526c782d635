"""A busy day's commits, loaded as a warehouse finds them in the course of the day: it ends with what is current."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from typing import Any

import duckdb
import pytest

from airflow_provider_lightspeed.lake.records import Checkpoint
from airflow_provider_lightspeed.lake.rules import fold
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.warehouse import loads
from airflow_provider_lightspeed.warehouse.clients import load_duckdb
from airflow_provider_lightspeed.warehouse.manifest import Manifest, files_of, new_loads, read_manifest
from airflow_provider_lightspeed.warehouse.statements import current_view, ddl, merge
from airflow_provider_lightspeed.warehouse.tables import Tables, TableSpec, tables_of
from tests.support import current as contract
from tests.support.busy_week.shop import RESOURCES
from tests.support.busy_week.week import RELATIONS, Plan, Week

Rows = list[tuple[Any, ...]]


FEW = ("Sale", "SalePayment", "Item")


@pytest.mark.parametrize(
    ("seed", "resources"),
    [
        (8, FEW),
        pytest.param(8, RESOURCES, marks=pytest.mark.slow),
        pytest.param(9, RESOURCES, marks=pytest.mark.slow),
        pytest.param(11, RESOURCES, marks=pytest.mark.slow),
    ],
)
def test_merged_tables_and_views_hold_what_is_current(
    seed: int, resources: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loaded after every few commits, or all at once; with runs that overlap, are killed, cleared, full reads and sweeps."""
    # What an earlier manifest named is there to be loaded at the end of the day.
    monkeypatch.setattr("airflow_provider_lightspeed.lake.dataset.KEEP", timedelta(days=30))
    # These texts are the same for each load.
    monkeypatch.setattr(loads, "merge", lru_cache(None)(merge))
    monkeypatch.setattr(loads, "ddl", lru_cache(None)(ddl))
    folder = f"memory://warehouse-day-{seed}-{len(resources)}"
    plan = Plan(days=1.0, resources=resources)
    week = Week(seed, Storage.at(folder), plan)
    report = week.run()
    assert report.accounts == []
    for name in plan.resources:
        tables = tables_of(name, RELATIONS.get(name, ()), layout=week._layout)
        manifest = read_manifest(f"{folder}/{name}")
        expected = {spec.name: expected_rows(manifest, tables, spec) for spec in (tables.main, *tables.children)}
        assert expected[tables.main.name]
        for step in (1, 4, len(manifest.commits)):
            assert merged(manifest, tables, step) == expected, (name, step)
        assert viewed(manifest, tables) == expected, name


def seen_in_the_course_of(manifest: Manifest, step: int) -> Sequence[Manifest]:
    """Return the manifests that a reader finds after every so many commits, the last one included."""
    ends = {*range(step, len(manifest.commits), step), len(manifest.commits)}
    state, found = Checkpoint(resource=manifest.resource), []
    for commit in manifest.commits:
        state = fold(state, commit)
        if commit.version in ends:
            found.append(replace(manifest, checkpoint=state, commits=manifest.commits[: commit.version]))
    return found


def merged(manifest: Manifest, tables: Tables, step: int) -> dict[str, Rows]:
    """Load in the course of the day; return what the tables hold at its end."""
    connection = connect()
    for found in seen_in_the_course_of(manifest, step):
        load_duckdb(connection, tables, found)
    return {spec.name: rows_of(connection, spec, f'"{spec.name}"') for spec in (tables.main, *tables.children)}


def viewed(manifest: Manifest, tables: Tables) -> dict[str, Rows]:
    """Keep every row that was ever loaded; return what the views show."""
    connection = connect()
    for found in seen_in_the_course_of(manifest, 4):
        load_duckdb(connection, tables, found, keeps_history=True)
    shown = {}
    for spec in (tables.main, *tables.children):
        for statement in current_view(spec, "duckdb"):
            connection.execute(statement)
        shown[spec.name] = rows_of(connection, spec, f'"{spec.current}"')
    return shown


def expected_rows(manifest: Manifest, tables: Tables, spec: TableSpec) -> Rows:
    """Return what the read contract says, of the live files."""
    connection = connect()
    if not connection.filesystem_is_registered("memory"):
        connection.register_filesystem(manifest.fs)

    def parquet(table: TableSpec | None) -> str | None:
        files = [file.url for file in files_of(new_loads(manifest), table.relation)] if table else []
        return f"read_parquet({files})" if files else None

    main = parquet(tables.main)
    if main is None:
        return []
    found = contract.Tables(main, parquet(tables.main.tombstones), parquet(tables.main.parents))
    query = contract.current(manifest.resource, found)
    if spec is tables.main:
        return rows_of(connection, spec, f"({query})")
    children = parquet(spec)
    key = tables.main.key[0]
    return (
        []
        if children is None
        else rows_of(
            connection,
            spec,
            f"(SELECT child.* FROM {children} AS child JOIN ({query}) AS main ON main._account_id = child._account_id "  # noqa: S608
            f"AND main.{key} = child._root_key AND main._extracted_at = child._extracted_at)",
        )
    )


def connect() -> Any:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def rows_of(connection: Any, spec: TableSpec, source: str) -> Rows:
    """Return rows with their keys and the read that they come from, sorted."""
    columns = ", ".join(f'"{name}"' for name in (*spec.row_key, "_extracted_at"))
    found: Rows = connection.execute(f"SELECT {columns} FROM {source} ORDER BY ALL").fetchall()  # noqa: S608
    return found
