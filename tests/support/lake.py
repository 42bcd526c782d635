"""Datasets made up for warehouses: Parquet files and a manifest, as extracts leave them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import pyarrow.parquet as pq

from airflow_provider_lightspeed.warehouse.tables import Tables
from tests.support.warehouses import Read


def publish(fs: Any, folder: str, tables: Tables, reads: Sequence[Read]) -> str:
    """Write the files of commits and a manifest of them; return the resource's folder.

    :param fs: an fsspec file system.
    :param folder: of the dataset, on it.
    """
    name = tables.main.resource
    commits = [_commit(fs, f"{folder}/{name}", tables, number, read) for number, read in enumerate(reads, 1)]
    fs.makedirs(f"{folder}/{name}", exist_ok=True)
    fs.pipe(f"{folder}/{name}/_manifest.json", json.dumps({"format": 1, "resource": name, "commits": commits}).encode())
    return f"{folder}/{name}"


def _commit(fs: Any, folder: str, tables: Tables, number: int, read: Read) -> dict[str, Any]:
    found = read.load(tables.main.resource)
    files: dict[str, list[dict[str, Any]]] = {}
    for spec in tables:
        rows = read.table(spec)
        if not rows.num_rows:
            continue
        out = io.BytesIO()
        pq.write_table(rows, out)
        path = f"{folder}.{spec.relation}" if spec.relation else folder
        fs.makedirs(path, exist_ok=True)
        fs.pipe(f"{path}/part-{read.name}.parquet", out.getvalue())
        size = len(out.getvalue())
        files[spec.relation] = [{"path": f"part-{read.name}.parquet", "rows": rows.num_rows, "bytes": size}]
    return {
        "id": read.name,
        "sequence": number,
        "account_id": read.account,
        "query": "q",
        "owner": read.name,
        "window_start": found.window_start and found.window_start.isoformat(),
        "window_end": found.window_end.isoformat(),
        "whole": read.whole,
        "extracted_at": found.extracted_at.isoformat(),
        "committed_at": found.extracted_at.isoformat(),
        "rows": found.rows,
        "files": files.pop("", []),
        "tables": {table: {"files": names} for table, names in files.items()},
    }
