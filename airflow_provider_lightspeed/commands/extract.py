"""``extract``: a resource into Parquet from a shell, with the engine and the commits of the operator."""

from __future__ import annotations

import argparse
import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_lightspeed.commands.output import instant, size, table
from airflow_provider_lightspeed.commands.progress import Watch, progress_of
from airflow_provider_lightspeed.compat import AirflowNotFoundException, ObjectStoragePath, hash_salt
from airflow_provider_lightspeed.exceptions import (
    InvalidArgument,
    LightspeedError,
    MissingCredentials,
    ResourceUnavailable,
)
from airflow_provider_lightspeed.extract.commit import owner_of
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.summary import Summary
from airflow_provider_lightspeed.extract.window import NothingToRead, RunFacts, moment_of
from airflow_provider_lightspeed.hooks.lightspeed import LightspeedHook
from airflow_provider_lightspeed.lake.dataset import Dataset
from airflow_provider_lightspeed.lake.paths import resolve_path
from airflow_provider_lightspeed.lake.storage import Storage


def run(arguments: argparse.Namespace) -> None:
    """Extract, commit, print the summary. Nothing left to read is no error."""
    job = Job.of(
        arguments.resource,
        mode="full" if arguments.full else "incremental",
        relations=arguments.relations,
        filters=_filters(arguments.filter or ()),
        columns=arguments.columns,
        exclude_columns=arguments.exclude_columns,
        hash_columns=arguments.hash_columns,
        column_naming=arguments.naming,
        relation_layout=arguments.layout,
        schema_drift=arguments.drift,
        on_missing_relation=arguments.on_missing_relation,
        on_unavailable=arguments.on_unavailable,
        salt=hash_salt() if arguments.hash_columns else None,
    )
    facts = _facts(arguments, job)
    target = resolve_path(arguments.to, ObjectStoragePath, argument="--to")
    storage = Storage(target.fs, target.path)
    try:
        with progress_of(job.resource.name, is_quiet=arguments.no_progress) as watch:
            summary = _extract(
                arguments.conn_id,
                storage,
                job,
                facts,
                watch,
                sweeps=arguments.detect_deletes,
                verified=arguments.verify,
            )
    except NothingToRead as nothing:
        _print_nothing(_nothing_of(job), f"{job.resource.name}: {nothing}", arguments.output)
        return
    except ResourceUnavailable as unavailable:
        why = f"{job.resource.name}: skipped: {unavailable.message}"
        _print_nothing(_nothing_of(job), why, arguments.output, "skipped")
        return
    if summary.is_unchanged and arguments.skip_when_empty:
        _print_nothing(summary.as_xcom(), summary.unchanged, arguments.output)
    else:
        _print(summary, arguments.output)


def _filters(texts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, sign, value = (part.strip() for part in text.partition("="))
        if not sign or not name:
            msg = f"--filter: {text!r} is not of the form field=value; a condition is written like 'total=>,100'"
            raise InvalidArgument(msg, field="filter", found=text, allowed=("field=value",))
        if name in found:
            msg = f"--filter: {name!r} is given twice; one field takes one condition, such as '{name}=><,1,9'"
            raise InvalidArgument(msg, field="filter", found=text, allowed=("a field once",))
        found[name] = value
    return found


def _facts(arguments: argparse.Namespace, job: Job) -> RunFacts:
    start, end = moment_of("--since", arguments.since), moment_of("--until", arguments.until)
    if (start or end) and job.whole:
        why = "--full reads everything" if arguments.full else f"{job.resource.name} is always read as a whole"
        msg = f"--since, --until: {why}, so there is no window to choose; leave them out"
        raise InvalidArgument(msg, field="since", found=arguments.since or arguments.until, allowed=())
    if start and end and start >= end:
        msg = f"--since: {start.isoformat()} is not before --until {end.isoformat()}: that holds no time"
        raise InvalidArgument(msg, field="since", found=arguments.since, allowed=("a time before --until",))
    return RunFacts(start=start, end=end)


def _extract(
    conn_id: str,
    storage: Storage,
    job: Job,
    facts: RunFacts,
    watch: Watch,
    *,
    sweeps: bool = False,
    verified: bool = False,
) -> Summary:
    # A run of its own each time: one that came again would read the window it read before.
    run_key = f"cli/{uuid.uuid4().hex}"
    try:
        client = LightspeedHook(conn_id).get_conn()
        every = timedelta() if sweeps else None
        return extract(
            client,
            storage,
            job,
            facts,
            run_key=run_key,
            attempt="1",
            on_progress=watch,
            sweep_every=every,
            verified=verified,
        )
    except AirflowNotFoundException:
        msg = f"--conn-id: there is no connection {conn_id!r}; `airflow lightspeed status` lists those that there are"
        raise MissingCredentials(msg, conn_id=conn_id) from None
    except BaseException:
        # Nobody tries this run again, so it has to sweep up after itself, interrupted or not.
        with suppress(LightspeedError):
            _sweep(storage, job, run_key)
        raise


def _sweep(storage: Storage, job: Job, run_key: str) -> None:
    tables = [*job.output_layout().schemas, *([job.resource.through.resource] if job.resource.through else [])]
    dataset = Dataset(storage, job.resource.name)
    dataset.remove_orphan_files(owner_of(run_key), datetime.now(UTC), tables=tables, least_age=timedelta())


def _print(summary: Summary, output: str) -> None:
    if output == "json":
        print(json.dumps(summary.as_xcom(), indent=2))
        return
    start, end = summary.window_start, summary.window_end
    table(
        ("RESOURCE", "ROWS", "FILES", "SIZE", "WINDOW", "REQUESTS", "DRIPS", "SECONDS"),
        [
            (
                summary.resource,
                f"{summary.rows:,}",
                str(summary.files),
                size(summary.bytes),
                f"{instant(start)} to {instant(end)}" if start else f"up to {instant(end)}",
                f"{summary.requests:,}",
                f"{summary.drips:,.1f}",
                f"{summary.seconds:,.1f}",
            )
        ],
        right=("ROWS", "FILES", "SIZE", "REQUESTS", "DRIPS", "SECONDS"),
    )
    for name, rows in summary.tables.items():
        print(f"  {summary.resource}.{name}: {rows:,} rows")
    if summary.swept:
        print(
            "  swept: {deleted:,} deleted, {archived_unseen:,} archived or brought back unseen, {added_unseen:,} added unseen".format(
                **summary.swept
            )
        )
    for what, names in (
        ("refused by the account", summary.relations_refused),
        ("in no record", summary.relations_missing),
    ):
        if names:
            print(f"  relations {what}: {', '.join(names)}")
    if summary.verified:
        print("  verified: {read:,} read, {deleted:,} deleted, {missed:,} missed".format(**summary.verified))
    print(f"\n{summary.manifest}")


def _nothing_of(job: Job) -> dict[str, Any]:
    return {"resource": job.resource.name, "rows": 0, "files": 0}


def _print_nothing(facts: Mapping[str, Any], why: str, output: str, key: str = "nothing_to_read") -> None:
    """Say why nothing was read, after the resource's name; as JSON, beside the facts, under ``key``."""
    if output == "json":
        print(json.dumps({**facts, key: why.partition(": ")[2]}, indent=2))
    else:
        print(why)
