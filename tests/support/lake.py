"""Datasets made up for tests: drafts of commits, and whole lakes as extracts leave them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from airflow_provider_lightspeed.arrow.parquet import FileStats
from airflow_provider_lightspeed.lake.dataset import Dataset, Draft
from airflow_provider_lightspeed.lake.records import Query
from airflow_provider_lightspeed.lake.storage import Storage
from tests.support.fakes import NOON

if TYPE_CHECKING:  # SQL for warehouses is an extra
    from airflow_provider_lightspeed.warehouse.tables import Tables
    from tests.support.warehouses import Read


def draft_of(
    run: str, attempt: str = "1", files: Mapping[str, Sequence[FileStats]] | None = None, **facts: Any
) -> Draft:
    """Return a draft of a commit of sales, read at noon unless told otherwise."""
    known: dict[str, Any] = {
        "query": Query(account="7", resource="Sale"),
        "kind": "window",
        "window_start": None,
        "window_end": NOON,
        "moves_watermark": True,
        "schema": "schema",
        "committed_at": NOON,
        "extracted_at": NOON,
    }
    return Draft(run_id=run, attempt_number=attempt, files=files or {}, **known | facts)


def publish(fs: Any, folder: str, tables: Tables, reads: Sequence[Read], known: int = 0) -> str:
    """Commit reads one after the other; return the resource's folder.

    :param fs: an fsspec file system.
    :param folder: of the dataset, on it.
    :param known: reads that were committed before.
    """
    dataset = Dataset(Storage(fs, folder), tables.main.resource)
    for read in reads[known:]:
        dataset.publish(_draft(fs, folder, dataset, tables, read))
    return f"{folder}/{tables.main.resource}"


def _draft(fs: Any, folder: str, dataset: Dataset, tables: Tables, read: Read) -> Draft:
    found = read.load(tables.main.resource)
    files: dict[str, list[FileStats]] = {}
    for number, spec in enumerate(tables):
        rows = read.table(spec)
        if rows.num_rows:
            out = io.BytesIO()
            pq.write_table(rows, out)
            path = f"{folder}/{dataset.staging(read.name, '1')}/{number}.parquet"
            fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            fs.pipe(path, out.getvalue())
            files[spec.relation] = [FileStats(path, rows.num_rows, len(out.getvalue()), 1, "schema")]
    state = dataset.log.load()
    newest: datetime | None = max((each.extracted_at for each in state.queries.values()), default=None)
    return draft_of(
        read.name,
        files=files,
        query=Query(account=read.account, resource=tables.main.resource),
        kind="full" if read.whole else "window",
        window_start=found.window_start,
        window_end=found.window_end,
        committed_at=found.extracted_at,
        extracted_at=found.extracted_at,
        base=state.version,
        base_extracted_at=newest,
    )
