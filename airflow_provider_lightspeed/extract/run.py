"""Runs one extract: window, plan, chains of pages, files, commit; or takes up one that was cut off or paused."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import timedelta
from functools import partial

import msgspec
from pyarrow import ArrowException

from airflow_provider_lightspeed.arrow.tables import MAIN
from airflow_provider_lightspeed.client.rest import RSeriesClient
from airflow_provider_lightspeed.clock import Clock, SystemClock
from airflow_provider_lightspeed.exceptions import (
    AccessDenied,
    InvalidArgument,
    LightspeedError,
    ResourceUnavailable,
    SweepAborted,
)
from airflow_provider_lightspeed.extract.attempt import Attempt, Found, Task
from airflow_provider_lightspeed.extract.changes import found_changes
from airflow_provider_lightspeed.extract.commit import owner_of
from airflow_provider_lightspeed.extract.drift import Drift, drift_of, refuse, vanished
from airflow_provider_lightspeed.extract.meter import Meter
from airflow_provider_lightspeed.extract.pause import PausePolicy
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.summary import Progress, Summary
from airflow_provider_lightspeed.extract.sweep import check_sweepable, sweep, sweep_due
from airflow_provider_lightspeed.extract.verify import check_verifiable, verify
from airflow_provider_lightspeed.extract.window import NothingToRead, RunFacts
from airflow_provider_lightspeed.lake.compaction import compact
from airflow_provider_lightspeed.lake.dataset import Dataset, Draft
from airflow_provider_lightspeed.lake.records import Commit, ReadState, RelationNotes
from airflow_provider_lightspeed.lake.storage import Storage

log = logging.getLogger(__name__)

#: Chains of pages at a time, unless told otherwise: what a large account's drip needs at the usual response times.
MOST_CHAINS = 8


def extract(
    client: RSeriesClient,
    storage: Storage,
    job: Job,
    run: RunFacts,
    *,
    run_key: str,
    attempt: str,
    clock: Clock | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    most_chains: int = MOST_CHAINS,
    pause: PausePolicy | None = None,
    sweep_every: timedelta | None = None,
    verified: bool = False,
    keep_history: bool = False,
) -> Summary:
    """Read what ``run`` stands for and commit it; an earlier try of the same run is taken up where it ended.

    :param run_key: names the run, the same for all its tries; a later commit of it replaces the earlier one.
    :param attempt: names this try, unique among the run's tries.
    :param on_progress: called after every page.
    :param most_chains: requests at a time; fewer are used when the account's rate limit needs no more.
    :param pause: when to give the worker slot back while the bucket drains; default never.
    :param sweep_every: look for deleted records, and for archived ones that no window shows, this long after the last
        time, before reading; default never.
    :raises AccessDenied: the account may not read the resource; its subclass :class:`ResourceUnavailable` if the job asks
        to skip such a resource, and no earlier run could read it.
    :param verified: hold what was read against the account before it is committed (:mod:`..extract.verify`); a sweep lists
        all keys instead of counting them.
    :param keep_history: compactions of the dataset keep rows that are no longer current.
    :raises RowsMissed: the account has records that were not read; nothing was committed.
    :raises SweepAborted: more records are missing than is plausible; what the window holds was committed.
    :raises NothingToRead: everything up to now has been read.
    :raises Paused: what was read is stored; call again with the same ``run_key`` after so many seconds.
    :raises LightspeedError: nothing was committed; what was read is stored for the next try.
    """
    if most_chains < 1:
        msg = f"max_parallel_requests: found {most_chains}, allowed 1 and more"
        raise InvalidArgument(msg, field="max_parallel_requests", found=most_chains, allowed=("1 and more",))
    clock = clock or SystemClock()
    dataset = Dataset(storage, job.resource.name)
    task = Task(client, storage, dataset, job, run, owner_of(run_key), attempt, keep_history=keep_history)
    storage.probe(f"_staging/{job.resource.name}/{task.run_id}", *map(dataset.folder, job.output_layout().schemas))
    meter = Meter(client, clock, clock.monotonic(), on_progress)
    if verified:
        check_verifiable(job)
    read = partial(_read, task, meter, most_chains, pause, verified=verified)
    try:
        return read() if sweep_every is None else _sweep_and_read(task, meter, sweep_every, read, verified=verified)
    except AccessDenied as error:
        raise _unavailable(task, error) from None


def _unavailable(task: Task, error: AccessDenied) -> AccessDenied:
    """Return the error of a resource that the account may not read: to be skipped, if that is asked for.

    Not if an earlier run could read it: then a right was lost, and leaving the table as it was would hide that (A3 in
    docs/live.md).
    """
    name = task.job.resource.name
    if error.fields.get("resource") is None:
        return error
    since = task.dataset.log.load().readable_until(task.client.account_id)
    if since is not None:
        msg = f"{error.message}. It could be read until {since.isoformat()}, so this is an error, not a skip"
        return AccessDenied(msg, **error.fields)
    if task.job.on_unavailable == "skip":
        log.warning("%s is skipped, since on_unavailable is 'skip': %s", name, error.message)
        return ResourceUnavailable(error.message, **error.fields)
    return error


def _sweep_and_read(
    task: Task, meter: Meter, every: timedelta, read: Callable[[], Summary], *, verified: bool
) -> Summary:
    check_sweepable(task.job)
    found, aborted = None, None
    try:
        found = sweep(task, lists_all=verified) if sweep_due(task, every) else None
    except SweepAborted as error:
        # What the window holds is not held up by that; the task fails when it is committed.
        aborted = error
    try:
        summary = read()
    except NothingToRead:
        if aborted:
            raise aborted from None
        if not found or not found[0]:
            raise
        summary = _summary(task, found[1], _NOTHING, Drift(), seconds=meter.seconds())
    if aborted:
        raise aborted
    if found is None:
        return summary
    return replace(summary, swept=found[0].as_json(), is_unchanged=summary.is_unchanged and not found[0])


#: What a run has read that only swept.
_NOTHING = Found({}, Counter(), None, frozenset())


def _read(task: Task, meter: Meter, most_chains: int, pause: PausePolicy | None, *, verified: bool) -> Summary:
    effort = Attempt.begin(task, meter)
    found = effort.read(most_chains, pause)
    loading = effort.plan.loading
    loading.settle(effort.plan.resource, effort.plan.child)
    proof = verify(effort, found.files).as_json() if verified else {}
    for (path, reason), count in sorted(found.set_aside.items()):
        log.warning("%s.%s: %d value(s) set aside: %s", task.job.resource.name, path, count, reason)
    rows = sum(file.rows for file in found.files[MAIN])
    before = effort.history.fields
    gone = vanished(before, found.seen, rows)
    drift = drift_of(found.set_aside, vanished=gone)
    if task.job.drift == "freeze":
        refuse(task.job.resource.name, drift)
    for field in sorted(gone):
        log.warning("%s.%s: came in earlier runs, and is in none of %d rows now", task.job.resource.name, field, rows)
    fields = before.union(found.seen).difference(gone)
    # A window that was asked for by its ends is written as it is read.
    live = task.dataset.paths(effort.history.live()) if effort.head.window.moves_watermark else {}
    is_unchanged = effort.continues and not found_changes(task.storage, task.job, found.files, live)
    if is_unchanged:
        # Rows of the overlap that are there already are not written once more.
        found = replace(found, files={MAIN: ()})
    commit = task.dataset.publish(_draft(effort, found, fields))
    _compact(task)
    return replace(
        _summary(task, commit, found, drift, seconds=meter.seconds()),
        verified=proof,
        is_unchanged=is_unchanged,
        relations_refused=loading.refused,
        relations_missing=tuple(loading.missing),
    )


def _compact(task: Task) -> None:
    """Rewrite small files if there are many. The extract is committed: a failure is said, and left to the next run."""
    try:
        done = compact(task.storage, task.dataset, task.client.server_now(), state=task.dataset.log.settled)
    except (LightspeedError, ArrowException, LookupError) as error:
        log.warning("%s: small files could not be compacted: %s", task.job.resource.name, error)
        return
    for each in done:
        log.info("%s: compacted %d files into %d, %d rows into %d", each.resource, *each.files, *each.rows)


def _draft(effort: Attempt, found: Found, fields: Collection[str]) -> Draft:
    head, task = effort.head, effort.task
    return Draft(
        query=task.job.query(head.account),
        run_id=task.run_id,
        attempt_number=task.attempt_number,
        kind="full" if task.job.whole else "window",
        window_start=head.window.start,
        window_end=head.window.end,
        moves_watermark=head.window.moves_watermark,
        files=found.files,
        schema=head.schema,
        committed_at=task.client.server_now(),
        state=ReadState(found.last_key),
        state_before=effort.history.state_before,
        extracted_at=head.extracted_at,
        base=head.base_version,
        base_extracted_at=head.base_extracted_at,
        fields=tuple(sorted(fields)),
        relations=msgspec.convert(effort.plan.loading.learned(head.extracted_at).as_json(), RelationNotes),
        keep_history=task.keep_history,
    )


def _summary(task: Task, commit: Commit, found: Found, drift: Drift, *, seconds: float) -> Summary:
    client, usage = task.client, task.client.usage
    files = [file for each in commit.files.values() for file in each]
    return Summary(
        resource=task.job.resource.name,
        rows=commit.rows,
        files=len(files),
        bytes=sum(file.bytes for file in files),
        drips=usage.drips,
        requests=usage.requests,
        seconds=seconds,
        window_start=commit.window_start,
        window_end=commit.window_end,
        manifest=task.dataset.manifest_path,
        account_id=commit.account_id,
        retries=usage.retries,
        waited=usage.waited,
        set_aside={f"{path}: {reason}": count for (path, reason), count in found.set_aside.items()},
        drift=drift.as_json(),
        tables={name: sum(file.rows for file in files) for name, files in commit.files.items() if name != MAIN},
        bucket=client.bucket(),
        ended_at=client.server_now(),
        schema=commit.schema,
        commit=commit.id,
        watermark=commit.watermark,
    )
