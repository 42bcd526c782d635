"""Runs one extract: window, pages, batches, files, commit. Memory holds one batch and one row group."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

from airflow_provider_lightspeed.arrow.convert import Lineage, RecordConverter
from airflow_provider_lightspeed.arrow.parquet import FileStats, ParquetSink, schema_hash
from airflow_provider_lightspeed.client.rest import RSeriesClient
from airflow_provider_lightspeed.clock import Clock, SystemClock
from airflow_provider_lightspeed.exceptions import ProtocolViolation
from airflow_provider_lightspeed.extract.commit import Commit, Dataset, fingerprint, owner_of
from airflow_provider_lightspeed.extract.meter import Meter
from airflow_provider_lightspeed.extract.pages import read_pages
from airflow_provider_lightspeed.extract.plan import Job, Plan, make_plan
from airflow_provider_lightspeed.extract.storage import Storage
from airflow_provider_lightspeed.extract.summary import Progress, Summary
from airflow_provider_lightspeed.extract.window import SETTLE, RunFacts, Window, resolve_window
from airflow_provider_lightspeed.resources.base import Strategy

log = logging.getLogger(__name__)

#: Records per conversion: enough to amortise Arrow's cost per call, little enough to stay in the cache.
BATCH_RECORDS: Final = 2_000
#: Rows after which the next file is begun.
FILE_ROWS: Final = 2_000_000

Record = dict[str, Any]


def _checked(plan: Plan, window: Window, records: list[Record]) -> list[Record]:
    """Return the records; an outsider means that the server ignored the filter, and what else it did is unknown."""
    if plan.checked_field is None:
        return records
    field = plan.resource.entity.find(plan.checked_field)
    for record in records:
        value = next((record[key] for key in (field.name, *field.aliases) if record.get(key)), None)
        if value is None or not window.admits(value):
            key = f"{plan.resource.primary_key} {record.get(plan.resource.primary_key or '')}"
            msg = (
                f"{plan.resource.name}: asked for {field.name} in {window.filter_value()!r}, but the answer holds {key} "
                f"with {value!r}: the server did not apply the filter; nothing was committed"
            )
            raise ProtocolViolation(msg, resource=plan.resource.name, field=field.name, found=value)
    return records


def _children(plan: Plan, records: list[Record]) -> list[Record]:
    if plan.child is None:
        return records
    relation = plan.resource.relations[plan.child]
    found: list[Record] = []
    for record in records:
        container = record.get(relation.container_key)
        inner = container.get(relation.element_key) if isinstance(container, dict) else container
        if isinstance(inner, dict):
            found.append(inner)
        elif isinstance(inner, list):
            found.extend(inner)
        elif inner not in (None, ""):
            raise ProtocolViolation(
                f"{plan.resource.name}.{plan.child} holds {type(inner).__name__} where records belong"
            )
    return found


class _Files:
    """The staged files of one run: begins the next when one is full."""

    def __init__(self, storage: Storage, folder: str, converter: RecordConverter) -> None:
        self._storage = storage
        self._folder = folder
        self._converter = converter
        self._sink: ParquetSink | None = None
        self.done: list[FileStats] = []
        self.rows = 0

    def add(self, records: list[Record]) -> None:
        if self._sink is None:
            path = self._storage.path(f"{self._folder}/{len(self.done)}.parquet")
            self._sink = ParquetSink(self._storage, path, self._converter.schema)
        self._sink.write(self._converter.convert(records))
        self.rows += len(records)
        if self._sink.rows >= FILE_ROWS:
            self.close()

    def close(self) -> None:
        if self._sink is not None:
            self.done.append(self._sink.close())
            self._sink = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sink is not None:
            self._sink.abort()


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
    estimate: bool = False,
) -> Summary:
    """Read what ``run`` stands for and commit it.

    :param run_key: names the run, the same for all its tries; a later commit of it replaces the earlier one.
    :param attempt: names this try, unique among the run's tries.
    :param on_progress: called after every page.
    :param estimate: whether one request may be spent on an estimate of the end, see ``extract.meter``.
    :raises NothingToRead: everything up to now has been read.
    :raises LightspeedError: nothing was committed; what is staged is swept by the next try.
    """
    clock = clock or SystemClock()
    began = clock.monotonic()
    dataset, owner = Dataset(storage, job.resource.name), owner_of(run_key)
    storage.probe(f"_staging/{job.resource.name}/{owner}")
    dataset.sweep(owner)
    account = client.account_id
    query = fingerprint(job.query(account))
    window = _window(client, dataset, job, run, owner, account, query)
    state = dataset.state(account, query, owner)
    plan = make_plan(job, window, state)
    log.info("%s: window [%s, %s), %s", job.resource.name, window.start, window.end, window.origin or job.mode)
    lineage = Lineage(account, client.server_now(), window.start, window.end)
    converter = RecordConverter(job.resource, job.relations, job.columns, lineage=lineage)
    with _Files(storage, dataset.staging(owner, attempt), converter) as files:
        meter = Meter(client, clock, began, on_progress, estimate=estimate)
        last_key = _stream(client, plan, window, files, job, state.get("last_key"), meter)
    _report(job, converter)
    commit = Commit(
        account_id=account,
        query=query,
        owner=owner,
        attempt=attempt,
        window=window,
        whole=job.whole,
        files=tuple(files.done),
        schema=schema_hash(converter.schema),
        at=clock.now(),
        state={"last_key": last_key} if last_key is not None else {},
    )
    dataset.publish(commit)
    set_aside = {f"{path}: {reason}": count for (path, reason), count in converter.report.items()}
    return _summary(client, job, dataset, commit, set_aside, rows=files.rows, seconds=clock.monotonic() - began)


def _summary(
    client: RSeriesClient,
    job: Job,
    dataset: Dataset,
    commit: Commit,
    set_aside: Mapping[str, int],
    *,
    rows: int,
    seconds: float,
) -> Summary:
    usage = client.usage
    return Summary(
        resource=job.resource.name,
        rows=rows,
        files=len(commit.files),
        bytes=sum(file.bytes for file in commit.files),
        drips=usage.drips,
        requests=usage.requests,
        seconds=seconds,
        window_start=commit.window.start,
        window_end=commit.window.end,
        manifest=dataset.manifest_path,
        account_id=commit.account_id,
        retries=usage.retries,
        waited=usage.waited,
        set_aside=set_aside,
        bucket=client.bucket(),
        ended_at=client.server_now(),
    )


def _window(
    client: RSeriesClient, dataset: Dataset, job: Job, run: RunFacts, owner: str, account: str, query: str
) -> Window:
    # One cheap request, so that the window is cut by the server's clock and not by this machine's.
    client.get("/Account")
    if job.whole:
        return Window(None, client.server_now() - SETTLE, moves_watermark=run.kind != "backfill", origin="everything")
    return resolve_window(
        run,
        server_now=client.server_now(),
        watermark=dataset.watermark(account, query),
        committed=dataset.committed_by(owner, account, query),
    )


def _stream(
    client: RSeriesClient, plan: Plan, window: Window, files: _Files, job: Job, last_key: int | None, meter: Meter
) -> int | None:
    follows = job.resource.strategy is Strategy.APPEND and job.resource.primary_key
    waiting: list[Record] = []
    for page in read_pages(client, plan):
        records = _children(plan, _checked(plan, window, page.records))
        if follows and records:
            last_key = max(last_key or 0, *(int(record[follows]) for record in records))
        waiting.extend(records)
        if len(waiting) >= BATCH_RECORDS:
            files.add(waiting)
            waiting = []
        meter.passed(plan, page, len(records))
    if waiting:
        files.add(waiting)
    files.close()
    return last_key


def _report(job: Job, converter: RecordConverter) -> None:
    for (path, reason), count in sorted(converter.report.items()):
        log.warning("%s.%s: %d value(s) kept in _extra: %s", job.resource.name, path, count, reason)
