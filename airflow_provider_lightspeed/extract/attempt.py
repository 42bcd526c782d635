"""One try of a run: takes up what earlier tries have stored, and reads the rest into staged files."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import pyarrow as pa

from airflow_provider_lightspeed.arrow.convert import Lineage
from airflow_provider_lightspeed.arrow.paged import PageConverter
from airflow_provider_lightspeed.arrow.parquet import schema_hash
from airflow_provider_lightspeed.arrow.types import arrow_schema
from airflow_provider_lightspeed.client.rest import RSeriesClient
from airflow_provider_lightspeed.exceptions import StorageError
from airflow_provider_lightspeed.extract.carry import Carry
from airflow_provider_lightspeed.extract.chain import STORE_EVERY, Report, Work
from airflow_provider_lightspeed.extract.drift import drift_of, refuse
from airflow_provider_lightspeed.extract.files import Files, StagedFiles
from airflow_provider_lightspeed.extract.history import History
from airflow_provider_lightspeed.extract.journal import Head, Journal, Segment
from airflow_provider_lightspeed.extract.meter import Meter
from airflow_provider_lightspeed.extract.output import Output
from airflow_provider_lightspeed.extract.pause import PausePolicy
from airflow_provider_lightspeed.extract.plan import Job, Plan, make_plan
from airflow_provider_lightspeed.extract.reader import Reader
from airflow_provider_lightspeed.extract.relations import Learned, Loading
from airflow_provider_lightspeed.extract.slices import Board, Slice, uncovered
from airflow_provider_lightspeed.extract.window import SETTLE, RunFacts, Window, resolve_window
from airflow_provider_lightspeed.lake.dataset import Dataset
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.resources.base import Strategy

log = logging.getLogger(__name__)

#: The place of rows that are taken over from an earlier commit: behind all others.
_LAST = 2**63


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be read, and where it goes.

    :param run_id: names the run, the same for all its tries.
    :param attempt_number: names this try.
    :param keep_history: compactions keep rows that are no longer current.
    """

    client: RSeriesClient
    storage: Storage
    dataset: Dataset
    job: Job
    run: RunFacts
    run_id: str
    attempt_number: str
    keep_history: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a try has read.

    :param set_aside: what went to ``_extra``, by (path, reason).
    :param seen: the fields that the records had; all that are known if part of them was read by an earlier try.
    """

    files: Files
    set_aside: Counter[tuple[str, str]]
    last_key: int | None
    seen: frozenset[str]


@dataclass
class Attempt:
    """One try. Make it with :meth:`begin`, then :meth:`read` once."""

    task: Task
    plan: Plan
    head: Head
    schema: pa.Schema
    output: Output
    journal: Journal
    segments: list[Segment]
    history: History
    meter: Meter
    is_begun: bool
    #: Whether every batch is stored, however short the read: it will be written out of the journal.
    is_stored: bool = False
    board: Board = field(default_factory=lambda: Board(()))

    @classmethod
    def begin(cls, task: Task, meter: Meter) -> Attempt:
        """Take up what is stored, if it belongs to the same query; else resolve the window anew."""
        client, dataset, job = task.client, task.dataset, task.job
        account = client.account_id
        query = job.query(account)
        schema = arrow_schema(job.resource, job.relations, job.selection)
        journal = Journal(task.storage, dataset.journal(task.run_id))
        expected = (account, query.fingerprint, schema_hash(schema), f"{job.mode} {task.run.start} {task.run.end}")
        history = History.of(dataset, query, task.run_id)
        head, segments = _stored(task, journal, history, expected)
        is_begun = head is not None
        if head is None:
            window = _window(task, history)
            start = history.begin(client.server_now())
            learned = history.learned
            if job.mode == "full" or not learned.is_fresh(start.extracted_at):
                learned = Learned()
            head = Head(
                *expected,
                window,
                start.extracted_at,
                base_version=start.base_version,
                base_extracted_at=start.base_extracted_at,
                replaces_own=start.replaces_own,
                learned=replace(learned, missing={}),
            )
        plan = make_plan(job, head.window, history.state_before)
        held = history.held(plan.relations)
        loading = Loading(head.learned, job.on_missing_relation, held=held, shown=history.fields)
        plan = replace(plan, loading=loading)
        if plan.key is None:
            segments = Journal.unrepeated(segments) if plan.resource.parents else []
        window = head.window
        output = Output.of(
            job.output_layout(),
            Lineage(head.account, head.extracted_at, window.start, window.end),
            through=plan.resource.name if plan.child else None,
            key=plan.resource.primary_key,
        )
        now, tables, state = client.server_now(), output.schemas, history.checkpoint
        keep = journal.folder if is_begun else None
        dataset.remove_stale_staging(now, tables=tables, state=state)
        dataset.remove_orphan_files(task.run_id, now, tables=tables, keep=keep, state=state)
        log.info(
            "%s: window [%s, %s), %s%s", job.resource.name, window.start, window.end, window.origin or job.mode,
            f"; {sum(found.rows for found in segments)} rows are stored already" if segments else "",
        )  # fmt: skip
        return cls(task, plan, head, schema, output, journal, segments, history, meter, is_begun)

    @property
    def continues(self) -> bool:
        """Whether it goes on from other commits, and replaces none of its own run."""
        return not self.head.replaces_own and (self.head.window.start is not None or self.history.is_begun)

    def read(self, most_chains: int, pause: PausePolicy | None) -> Found:
        """Read what is missing, and complete the staged files."""
        self.board = self._board()
        earlier = _set_aside(self.board)
        chains = most_chains if self.plan.key is not None else 1
        # A read that pauses is written at its end, or each pause would cost a small file or a second writing.
        is_streamed = pause is None or self.plan.key is None
        self.is_stored = not is_streamed
        files = self._staged(chains if is_streamed else 1)
        work = self._work(files if is_streamed else None)
        reader = Reader(work, self.meter, most_chains=chains, pause=pause if not is_streamed else None)
        try:
            reader.read()
            if not is_streamed:
                self._write_out(files)
            files.complete()
            self._carry(files)
        except BaseException:
            files.abort()
            self._keep_head()
            raise
        if self.is_begun:
            self._write_head()
        seen = frozenset(work.seen)
        if any(found.stored for found in self.board.slices):
            seen |= self.history.fields
        return Found(files.done, earlier + reader.set_aside, self._last_key(), seen)

    def _staged(self, chains: int) -> StagedFiles:
        folder = self.task.dataset.staging(self.task.run_id, self.task.attempt_number)
        return StagedFiles(self.task.storage, folder, self.output.schemas, chains=chains)

    def _work(self, files: StagedFiles | None) -> Work:
        job = self.task.job
        return Work(
            client=self.task.client,
            plan=self.plan,
            window=self.head.window,
            board=self.board,
            new_converter=partial(
                PageConverter,
                job.resource,
                job.relations,
                job.selection,
                lineage=self.output.lineage,
                salt=job.salt,
                keep_unknown=job.drift != "discard",
            ),
            output=self.output,
            check=self._check,
            store=self._store if self._is_resumable else None,
            replay=lambda segments: self.journal.batches(segments, self.schema),
            files=files,
            seconds=self.meter.seconds,
            done_paths=frozenset(path for segment in self.segments for path in segment.paths),
        )

    @property
    def _is_resumable(self) -> bool:
        return self.plan.key is not None or bool(self.plan.resource.parents)

    def _board(self) -> Board:
        if self.plan.key is None:
            return Board([Slice(len(self.segments) and self.segments[-1].upto, stored=tuple(self.segments))])
        board = Board(uncovered(self.segments, self.plan.floor))
        board.last = self.head.last
        return board

    def _check(self, report: Report) -> None:
        if self.task.job.drift == "freeze":
            refuse(self.task.job.resource.name, drift_of(report))

    def _store(self, batch: pa.RecordBatch, segment: Segment, parents: Sequence[int]) -> None:
        """Store a batch; those of a read that is over within seconds are not worth a file each."""
        if not (self.is_stored or self.is_begun) and self.meter.seconds() < STORE_EVERY:
            return
        self._write_head()
        stored = self.journal.store(batch, segment, parents)
        if self.is_stored:
            self.segments.append(stored)

    def _write_head(self) -> None:
        """Write the journal's head before the first segment, and again when more is known."""
        last = self.board.last if self.head.last is None else self.head.last
        learned = self.plan.loading.learned(self.head.extracted_at)
        if not self.is_begun or (self.head.last, self.head.learned) != (last, learned):
            self.head = replace(self.head, last=last, learned=learned)
            self.journal.begin(self.head)
            self.is_begun = True

    def _keep_head(self) -> None:
        """Write the head for the next try, after an error that this one must not hide."""
        if self.is_begun:
            try:
                self._write_head()
            except StorageError as error:
                log.warning("%s: the next try may have to read more: %s", self.task.job.resource.name, error)

    def _write_out(self, files: StagedFiles) -> None:
        """Write the stored rows, in the order of their keys, into as few files as can be."""
        slices = uncovered(self.segments, self.plan.floor)
        assert len(slices) == 1, "everything has been read"
        writer = files.writer(0)
        for batch, parents in self.journal.batches(slices[0].stored, self.schema):
            writer.write(self.output.split(batch, parents))
        writer.close()

    def _carry(self, files: StagedFiles) -> None:
        """Take over what the commit that this one replaces had, and the window no longer holds."""
        task = self.task
        is_first = self.head.window.is_unbounded and task.job.resource.strategy is not Strategy.APPEND
        if task.job.whole or not (self.plan.checked_field or is_first):
            return
        old = task.dataset.paths(self.history.live(own=True))
        if old:
            writer = files.writer(_LAST)
            live = task.dataset.paths(self.history.live())
            carried = Carry(task.storage, self.output, old, live).into(writer, files.done)
            writer.close()
            files.complete()
            if carried:
                log.info("%s: %d rows have moved to a later window and are kept", task.job.resource.name, carried)

    def _last_key(self) -> int | None:
        if self.task.job.resource.strategy is not Strategy.APPEND or self.plan.key is None:
            return None
        # Where an earlier try broke off, rows may have turned up behind it: the next run goes back from there.
        broken_off = [segment.upto for found in self.board.slices for segment in found.stored]
        reached = max(broken_off or [found.reached for found in self.board.slices])
        return max(reached, (self.history.state_before.last_key or 0)) or None


def _set_aside(board: Board) -> Counter[tuple[str, str]]:
    """Count what earlier tries kept in ``_extra`` of the rows that are taken up."""
    counts: Counter[tuple[str, str]] = Counter()
    for segment in (segment for found in board.slices for segment in found.stored):
        for path, reason, count in segment.set_aside:
            counts[path, reason] += count
    return counts


def _stored(
    task: Task, journal: Journal, history: History, expected: tuple[str, str, str, str]
) -> tuple[Head | None, list[Segment]]:
    found = journal.load(task.client.server_now())
    if found is None:
        return None, []
    head, segments = found
    if (head.account, head.query, head.schema, head.asked) != expected:
        name = task.job.resource.name
        log.info("%s: what an earlier try has stored belongs to another query; it is read afresh", name)
        return None, []
    if history.has(head.extracted_at):
        # A try that was thought dead went on beside the one that committed; now the run has been cleared.
        return None, []
    return head, sorted(segments, key=lambda segment: segment.after)


def _window(task: Task, history: History) -> Window:
    client, run = task.client, task.run
    # One cheap request, so that the window is cut by the server's clock and not by this machine's.
    client.get("/Account")
    if task.job.whole:
        return Window(None, client.server_now() - SETTLE, moves_watermark=run.kind != "backfill", origin="everything")
    return resolve_window(
        run,
        server_now=client.server_now(),
        watermark=history.watermark,
        committed=history.window,
    )
