"""Runs one extract: window, plan, chains of pages, files, commit; or takes up one that was cut off or paused."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pyarrow as pa

from airflow_provider_lightspeed.arrow.convert import Lineage, RecordConverter
from airflow_provider_lightspeed.arrow.parquet import FileStats, schema_hash
from airflow_provider_lightspeed.arrow.types import arrow_schema
from airflow_provider_lightspeed.client.rest import RSeriesClient
from airflow_provider_lightspeed.clock import Clock, SystemClock
from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.extract.chain import STORE_EVERY, Work
from airflow_provider_lightspeed.extract.commit import Commit, Dataset, fingerprint, owner_of
from airflow_provider_lightspeed.extract.files import StagedFiles
from airflow_provider_lightspeed.extract.journal import Head, Journal, Segment
from airflow_provider_lightspeed.extract.meter import Meter
from airflow_provider_lightspeed.extract.pause import PausePolicy
from airflow_provider_lightspeed.extract.plan import Job, Plan, make_plan
from airflow_provider_lightspeed.extract.reader import Reader
from airflow_provider_lightspeed.extract.slices import Board, Slice, uncovered
from airflow_provider_lightspeed.extract.storage import Storage
from airflow_provider_lightspeed.extract.summary import Progress, Summary
from airflow_provider_lightspeed.extract.window import SETTLE, RunFacts, Window, resolve_window
from airflow_provider_lightspeed.resources.base import Strategy

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
) -> Summary:
    """Read what ``run`` stands for and commit it; an earlier try of the same run is taken up where it ended.

    :param run_key: names the run, the same for all its tries; a later commit of it replaces the earlier one.
    :param attempt: names this try, unique among the run's tries.
    :param on_progress: called after every page.
    :param most_chains: requests at a time; fewer are used when the account's rate limit needs no more.
    :param pause: when to give the worker slot back while the bucket drains; default never.
    :raises NothingToRead: everything up to now has been read.
    :raises Paused: what was read is stored; call again with the same ``run_key`` after so many seconds.
    :raises LightspeedError: nothing was committed; what was read is stored for the next try.
    """
    if most_chains < 1:
        msg = f"max_parallel_requests: found {most_chains}, allowed 1 and more"
        raise InvalidArgument(msg, field="max_parallel_requests", found=most_chains, allowed=("1 and more",))
    clock = clock or SystemClock()
    began = clock.monotonic()
    dataset, owner = Dataset(storage, job.resource.name), owner_of(run_key)
    storage.probe(f"_staging/{job.resource.name}/{owner}")
    meter = Meter(client, clock, began, on_progress)
    effort = _Effort.begin(client, storage, dataset, job, run, owner, attempt, meter)
    files, set_aside, last_key = effort.read(most_chains, pause)
    for (path, reason), count in sorted(set_aside.items()):
        log.warning("%s.%s: %d value(s) kept in _extra: %s", job.resource.name, path, count, reason)
    commit = Commit(
        account_id=effort.head.account,
        query=effort.head.query,
        owner=owner,
        attempt=attempt,
        window=effort.head.window,
        whole=job.whole,
        files=files,
        schema=effort.head.schema,
        at=clock.now(),
        state={"last_key": last_key} if last_key is not None else {},
        extracted_at=effort.head.extracted_at,
    )
    published = dataset.publish(commit)
    return _summary(client, job, dataset, commit, set_aside, seconds=meter.seconds(), commit_id=published["id"])


def _summary(
    client: RSeriesClient,
    job: Job,
    dataset: Dataset,
    commit: Commit,
    set_aside: Mapping[tuple[str, str], int],
    *,
    seconds: float,
    commit_id: str,
) -> Summary:
    usage = client.usage
    return Summary(
        resource=job.resource.name,
        rows=sum(file.rows for file in commit.files),
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
        set_aside={f"{path}: {reason}": count for (path, reason), count in set_aside.items()},
        bucket=client.bucket(),
        ended_at=client.server_now(),
        schema=commit.schema,
        commit=commit_id,
        watermark=commit.window.end if commit.window.moves_watermark else None,
    )


@dataclass
class _Effort:
    """One try of a run: what it reads, and what earlier tries have stored of it."""

    client: RSeriesClient
    storage: Storage
    job: Job
    plan: Plan
    head: Head
    schema: pa.Schema
    journal: Journal
    segments: list[Segment]
    state: Mapping[str, Any]
    staging: str
    meter: Meter
    is_begun: bool

    @classmethod
    def begin(
        cls,
        client: RSeriesClient,
        storage: Storage,
        dataset: Dataset,
        job: Job,
        run: RunFacts,
        owner: str,
        attempt: str,
        meter: Meter,
    ) -> _Effort:
        """Take up what is stored, if it belongs to the same query; else resolve the window anew."""
        account = client.account_id
        query = fingerprint(job.query(account))
        schema = arrow_schema(job.resource, job.relations, job.selection)
        journal = Journal(storage, dataset.journal(owner))
        asked = f"{job.mode} {run.start} {run.end}"
        expected = (account, query, schema_hash(schema), asked)
        head, segments = _stored(client, journal, dataset, owner, job, expected)
        dataset.sweep_stale(client.server_now())
        dataset.sweep(owner, keep=journal.folder if head else None)
        is_begun = head is not None
        if head is None:
            window = _window(client, dataset, job, run, owner, account, query)
            head = Head(*expected, window, client.server_now())
        state = dataset.state(account, query, owner)
        plan = make_plan(job, head.window, state)
        if plan.key is None:
            segments = Journal.unrepeated(segments) if plan.resource.parents else []
        window = head.window
        log.info(
            "%s: window [%s, %s), %s%s", job.resource.name, window.start, window.end, window.origin or job.mode,
            f"; {sum(found.rows for found in segments)} rows are stored already" if segments else "",
        )  # fmt: skip
        staging = dataset.staging(owner, attempt)
        return cls(client, storage, job, plan, head, schema, journal, segments, state, staging, meter, is_begun)

    def read(
        self, most_chains: int, pause: PausePolicy | None
    ) -> tuple[tuple[FileStats, ...], Counter[tuple[str, str]], int | None]:
        """Read what is missing; return the files, what went to ``_extra``, and the last key of an append read."""
        self._tiles = board = self._board()
        chains = most_chains if self.plan.key is not None else 1
        # A read that pauses is written at its end, or each pause would cost a small file or a second writing.
        is_streamed = pause is None or self.plan.key is None
        files = StagedFiles(self.storage, self.staging, self.schema, chains=chains if is_streamed else 1)
        lineage = Lineage(self.head.account, self.head.extracted_at, self.head.window.start, self.head.window.end)
        work = Work(
            client=self.client,
            plan=self.plan,
            window=self.head.window,
            board=board,
            new_converter=partial(
                RecordConverter,
                self.job.resource,
                self.job.relations,
                self.job.selection,
                lineage=lineage,
                salt=self.job.salt,
            ),
            store=self._store if self._is_resumable else None,
            replay=self._replay,
            files=files if is_streamed else None,
            seconds=self.meter.seconds,
            done_paths=frozenset(path for segment in self.segments for path in segment.paths),
        )
        self._always = not is_streamed
        set_aside = _set_aside(board)
        reader = Reader(work, self.meter, most_chains=chains, pause=pause if not is_streamed else None)
        try:
            reader.read()
            if not is_streamed:
                self._write_out(files)
        finally:
            files.abort()
            if self.is_begun:
                self._write_head()
        return files.done, set_aside + reader.set_aside, self._last_key(board)

    _always: bool = False
    _tiles: Board = field(default_factory=lambda: Board(()))

    @property
    def _is_resumable(self) -> bool:
        return self.plan.key is not None or bool(self.plan.resource.parents)

    def _board(self) -> Board:
        if self.plan.key is None:
            board = Board([Slice(len(self.segments) and self.segments[-1].upto, stored=tuple(self.segments))])
        else:
            board = Board(uncovered(self.segments, self.plan.floor))
            board.last = self.head.last
        return board

    def _store(self, batch: pa.RecordBatch, segment: Segment) -> None:
        """Store a batch; those of a read that is over within seconds are not worth a file each."""
        if not (self._always or self.is_begun) and self.meter.seconds() < STORE_EVERY:
            return
        self._write_head()
        stored = self.journal.store(batch, segment)
        if self._always:
            self.segments.append(stored)

    def _write_head(self) -> None:
        """Write the journal's head before the first segment, and once more when the list's last key is known."""
        last = self._tiles.last
        if not self.is_begun or (self.head.last is None and last is not None):
            self.head = replace(self.head, last=last)
            self.journal.begin(self.head)
            self.is_begun = True

    def _replay(self, segments: tuple[Segment, ...]) -> Iterator[pa.RecordBatch]:
        return self.journal.batches(segments, self.schema)

    def _write_out(self, files: StagedFiles) -> None:
        """Write the stored rows, in the order of their keys, into as few files as can be."""
        slices = uncovered(self.segments, self.plan.floor)
        assert len(slices) == 1, "everything has been read"
        writer = files.writer(0)
        for batch in self._replay(slices[0].stored):
            writer.write(batch)
        writer.close()

    def _last_key(self, board: Board) -> int | None:
        if self.job.resource.strategy is not Strategy.APPEND or self.plan.key is None:
            return self.state.get("last_key")
        reached = max(found.reached for found in board.slices)
        return max(reached, int(self.state.get("last_key", 0))) or None


def _set_aside(board: Board) -> Counter[tuple[str, str]]:
    """Count what earlier tries kept in ``_extra`` of the rows that are taken up."""
    counts: Counter[tuple[str, str]] = Counter()
    for segment in (segment for found in board.slices for segment in found.stored):
        for path, reason, count in segment.set_aside:
            counts[path, reason] += count
    return counts


def _stored(
    client: RSeriesClient, journal: Journal, dataset: Dataset, owner: str, job: Job, expected: tuple[str, str, str, str]
) -> tuple[Head | None, list[Segment]]:
    found = journal.load(client.server_now())
    if found is None:
        return None, []
    head, segments = found
    if (head.account, head.query, head.schema, head.asked) != expected:
        log.info("%s: what an earlier try has stored belongs to another query; it is read afresh", job.resource.name)
        return None, []
    if dataset.has_committed(owner, head.extracted_at):
        # A try that was thought dead went on beside the one that committed; now the run has been cleared.
        return None, []
    return head, sorted(segments, key=lambda segment: segment.after)


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
