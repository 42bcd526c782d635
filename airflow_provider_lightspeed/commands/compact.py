"""``compact``: many small files of a dataset into few sorted ones."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from datetime import UTC, datetime

from airflow_provider_lightspeed.commands.output import size, table
from airflow_provider_lightspeed.compat import ObjectStoragePath
from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.lake.compaction import Compacted, compact
from airflow_provider_lightspeed.lake.dataset import Dataset
from airflow_provider_lightspeed.lake.paths import resolve_path
from airflow_provider_lightspeed.lake.storage import Storage


def run(arguments: argparse.Namespace) -> None:
    """Compact all live files, print what was done."""
    target = resolve_path(arguments.path, ObjectStoragePath, argument="--path")
    storage = Storage(target.fs, target.path)
    there = storage.resources()
    for name in arguments.resource:
        if name not in there:
            msg = f"resource: there is no dataset of {name!r} at {storage.root}; found {', '.join(there) or 'none'}"
            raise InvalidArgument(msg, field="resource", found=name, allowed=there)
    done: list[Compacted] = []
    for name in arguments.resource or there:
        keep_history = True if arguments.keep_history else None
        done += compact(storage, Dataset(storage, name), datetime.now(UTC), everything=True, keep_history=keep_history)
    _print(done, arguments.output)


def _print(done: list[Compacted], output: str) -> None:
    if output == "json":
        print(json.dumps([asdict(each) for each in done], indent=2))
        return
    if not done:
        print("nothing to compact")
        return
    table(
        ("RESOURCE", "ACCOUNT", "FILES", "ROWS", "SIZE"),
        [
            (
                each.resource,
                each.account_id,
                f"{each.files[0]:,} to {each.files[1]:,}",
                f"{each.rows[0]:,} to {each.rows[1]:,}",
                f"{size(each.bytes[0])} to {size(each.bytes[1])}",
            )
            for each in done
        ],
    )
