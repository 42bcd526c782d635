"""Finds the records that were deleted, or archived, without a trace in any window, and commits tombstones and new rows.

The keys that the dataset knows are held against those that the account lists. What is missing is asked for by its key
once more; only what does not come back is gone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from operator import itemgetter
from typing import Any, Final

import numpy as np

from airflow_provider_lightspeed.arrow.convert import Lineage, RecordConverter
from airflow_provider_lightspeed.arrow.parquet import schema_hash
from airflow_provider_lightspeed.arrow.tables import MAIN
from airflow_provider_lightspeed.arrow.types import arrow_schema
from airflow_provider_lightspeed.client.query import PAGE_SIZE, in_
from airflow_provider_lightspeed.exceptions import InvalidArgument, SweepAborted
from airflow_provider_lightspeed.extract.attempt import Task
from airflow_provider_lightspeed.extract.commit import owner_of
from airflow_provider_lightspeed.extract.differences import Difference, difference
from airflow_provider_lightspeed.extract.files import StagedFiles
from airflow_provider_lightspeed.extract.history import History
from airflow_provider_lightspeed.extract.known import Columns, Known, known_of
from airflow_provider_lightspeed.extract.lists import key_range
from airflow_provider_lightspeed.extract.output import Output
from airflow_provider_lightspeed.extract.pages import read_pages, slice_pages
from airflow_provider_lightspeed.extract.plan import Job, Plan, key_of
from airflow_provider_lightspeed.extract.slices import BEGINNING
from airflow_provider_lightspeed.extract.window import Window
from airflow_provider_lightspeed.lake.dataset import Draft
from airflow_provider_lightspeed.lake.records import Commit
from airflow_provider_lightspeed.lake.tombstones import TOMBSTONES, tombstone_schema, tombstones
from airflow_provider_lightspeed.resources.base import Strategy

log = logging.getLogger(__name__)

#: More than this share of the records missing is taken for lost rights, not for deletions, ...
MOST_MISSING: Final = 0.05
#: ... unless it is no more than so many, and not all of them.
FEW: Final = 5
#: Archived records that are listed rather than counted: their pages cost no more than a count.
LIST_ARCHIVED_BELOW: Final = 1_000
#: Fields that a deletion empties while the record stays, archived (B10 in docs/live.md).
WIPED: Final[Mapping[str, tuple[str, ...]]] = {"Customer": ("firstName", "lastName")}


class _FlagIgnored(Exception):
    """Records come that are not archived, though archived ones alone were asked for (B1 in docs/live.md)."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found.

    :param gone: keys of deleted records.
    :param changed: records that were archived, brought back or wiped unseen.
    :param added: records that no window has shown: the API cannot compare their change time.
    """

    gone: np.ndarray
    changed: Sequence[Mapping[str, Any]] = ()
    added: Sequence[Mapping[str, Any]] = ()

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(len(self.gone) or self.changed or self.added)

    def as_json(self) -> dict[str, int]:
        """Return how many there are."""
        return {"deleted": len(self.gone), "archived_unseen": len(self.changed), "added_unseen": len(self.added)}


def sweep_due(task: Task, every: timedelta) -> bool:
    """Tell whether the last sweep, or the first extract, is so long ago. What is always read whole needs none."""
    if task.job.whole:
        return False
    # One cheap request, so that sweeps are dated by the server's clock and not by this machine's.
    task.client.get("/Account")
    since = History.of(task.dataset, task.job.query(task.client.account_id)).searched_at
    return since is not None and task.client.server_now() - since >= every


def check_sweepable(job: Job) -> None:
    """See that deletions can be told from what the job does not ask for.

    :raises InvalidArgument: they cannot; says why.
    """
    key = job.resource.primary_key
    columns = {column.source: column for column in job.output_layout().shape.columns}
    why = ""
    if job.filters:
        why = "records may leave the filters without being deleted; leave the filters out"
    elif job.resource.strategy is Strategy.PERIOD or key is None or job.resource.parents:
        why = f"{job.resource.name} cannot be swept: it is a report, has no key of its own or lies below others"
    elif key not in columns or columns[key].is_hashed:
        why = f"it needs {key!r} as it is; leave it in, and unhashed"
    if why:
        msg = f"detect_deletes: {why}"
        raise InvalidArgument(msg, field="detect_deletes", found=True, allowed=(False,))


def sweep(task: Task, *, lists_all: bool = False) -> tuple[Swept, Commit]:
    """Compare, confirm and commit; return what was found, and the commit.

    :param lists_all: read all keys; by default ranges of them are counted, where that is cheaper.
    :raises SweepAborted: more is missing than is plausible; nothing was committed.
    """
    effort = _Sweep(task, lists_all=lists_all)
    swept = effort.find()
    commit = effort.commit(swept)
    log.info(
        "%s: swept: %d deleted, %d archived or brought back unseen, %d added unseen", task.job.resource.name,
        len(swept.gone), len(swept.changed), len(swept.added),
    )  # fmt: skip
    return swept, commit


class _Sweep:
    def __init__(self, task: Task, *, lists_all: bool) -> None:
        self._task = task
        self._lists_all = lists_all
        self._job = task.job
        resource, shape = task.job.resource, task.job.output_layout().shape
        names = {column.source: column.name for column in shape.columns if not column.is_hashed}
        moved = resource.entity.find(resource.modified_field).name if resource.modified_field else ""
        self._columns = Columns(
            names[resource.primary_key or ""],
            names.get(moved),
            names.get("archived") if resource.archived else None,
            tuple(names[name] for name in WIPED.get(resource.name, ()) if name in names),
        )
        account = task.client.account_id
        self._query = task.job.query(account)
        began = task.client.server_now()
        self._history = History.of(task.dataset, self._query)
        # It replaces nothing: a run that is run again, and sweeps again, takes back nothing that its first sweep found.
        self._start = self._history.begin(began)
        self._run_id = owner_of(f"{task.run_id} sweep {self._start.extracted_at.isoformat()}")
        self._window = Window(None, began)
        self._output = Output(task.job.output_layout(), Lineage(account, self._start.extracted_at, None, began))

    def find(self) -> Swept:
        """Compare what is known with what is listed."""
        known = self._known()
        found = self._difference(known.keys, "true")
        gone = np.setdiff1d(found.gone, self._present(found.gone))
        self._check(gone, known)
        unseen, wiped = self._archived_unseen(known)
        changed = np.intersect1d(np.setdiff1d(np.union1d(unseen, wiped), gone), known.keys)
        added = np.setdiff1d(found.new, known.keys)
        archived, wiped_keys, added_keys = (frozenset(each.tolist()) for each in (known.archived, wiped, added))
        news: tuple[list[Any], list[Any]] = [], []
        for record in self._by_key(np.union1d(changed, added), self._job.relations):
            key = int(record[self._job.resource.primary_key or ""])
            if key in added_keys:
                news[1].append(record)
            elif key in wiped_keys or _is_archived(record) != (key in archived):
                news[0].append(record)
        return Swept(gone, *news)

    def _known(self) -> Known:
        live = self._task.dataset.paths(self._history.live())
        return known_of(self._task.storage, live.get(MAIN, ()), live.get(TOMBSTONES, ()), self._columns)

    def _archived_unseen(self, known: Known) -> tuple[np.ndarray, np.ndarray]:
        """Return keys that are to be looked at: of records archived or brought back, and of archived ones that were wiped.

        What the API lists as archived is believed only if each record says the same of itself.
        """
        nothing = np.empty(0, np.int64)
        if self._columns.archived is None or not len(known.keys):
            return nothing, nothing
        empty = WIPED.get(self._job.resource.name, ())
        wiped: list[int] = []

        def listed(low: int, high: int) -> np.ndarray:
            found = []
            for key, record in self._records(self._plan("only"), low, high):
                if _is_archived(record) is False:
                    raise _FlagIgnored
                if _is_archived(record):
                    found.append(key)
                    if empty and not any(record.get(name) for name in empty):
                        wiped.append(key)
            return np.array(found, np.int64)

        try:
            if empty or len(known.archived) <= LIST_ARCHIVED_BELOW:
                unseen = np.setxor1d(known.archived, listed(BEGINNING, int(known.keys[-1])))
            else:
                found = self._difference(known.archived, "only", listed)
                unseen = np.union1d(found.gone, found.new)
        except _FlagIgnored:
            log.info("%s: the API lists all records as archived; that is not searched", self._job.resource.name)
            return nothing, nothing
        return unseen, np.intersect1d(np.array(wiped, np.int64), known.unwiped)

    def _check(self, gone: np.ndarray, known: Known) -> None:
        missing, total = len(gone), len(known.keys)
        if missing > MOST_MISSING * total and (missing > FEW or missing == total):
            msg = (
                f"{self._job.resource.name}: {missing} of {total} known records are missing from the account, more than "
                f"{MOST_MISSING:.0%}: the employee who connected it may have lost rights. No tombstones were written. If they "
                "are really gone, read everything once with mode='full'"
            )
            raise SweepAborted(msg, resource=self._job.resource.name, missing=missing, known=total)

    def _difference(
        self, known: np.ndarray, archived: str, listed: Callable[[int, int], np.ndarray] | None = None
    ) -> Difference:
        plan, client = self._plan(archived), self._task.client
        listed = listed or partial(self._listed, plan)

        def count(low: int, high: int) -> int:
            filters = {plan.key or "": key_range(low, high)}
            return client.count(plan.resource.path, filters=filters, archived=plan.archived)

        if plan.key is not None and len(plan.variants) == 1 and not self._lists_all:
            return difference(known, count, listed)
        live = listed(BEGINNING, int(known[-1])) if len(known) else known
        return Difference(np.setdiff1d(known, live), np.setdiff1d(live, known))

    def _plan(self, archived: str) -> Plan:
        resource = self._job.resource
        return Plan(resource, {}, key=key_of(Plan(resource, {})), archived_as=archived)

    def _listed(self, plan: Plan, low: int, high: int) -> np.ndarray:
        return np.array([key for key, _ in self._records(plan, low, high)], np.int64)

    def _records(self, plan: Plan, low: int, high: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the records of a range with their keys, in ascending order."""
        client, primary = self._task.client, self._job.resource.primary_key or ""
        if plan.key is not None:
            for page, keys in slice_pages(client, plan, low, high):
                yield from zip(keys, page.records, strict=True)
        else:
            records = [record for page in read_pages(client, plan) for record in page.records]
            pairs = [(int(record[primary]), record) for record in records]
            yield from sorted((pair for pair in pairs if low < pair[0] <= high), key=itemgetter(0))

    def _present(self, keys: np.ndarray) -> np.ndarray:
        """Ask for records by their keys; return those that are there, archived or not."""
        resource = self._job.resource
        found = [int(record[resource.primary_key or ""]) for record in self._by_key(keys, ())]
        return np.array(found, np.int64)

    def _by_key(self, keys: np.ndarray, relations: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        resource = self._job.resource
        for start in range(0, len(keys), PAGE_SIZE):
            asked = [int(key) for key in keys[start : start + PAGE_SIZE]]
            plan = Plan(resource, {resource.primary_key or "": in_(asked)}, relations)
            for page in read_pages(self._task.client, plan):
                yield from page.records

    def commit(self, swept: Swept) -> Commit:
        """Publish tombstones and the rows that changed; also nothing, so that the next sweep knows of this one."""
        task, job = self._task, self._job
        schemas = {**self._output.schemas, TOMBSTONES: tombstone_schema(self._columns.key)}
        files = StagedFiles(task.storage, task.dataset.staging(task.run_id, f"{task.attempt_number}-sweep"), schemas)
        writer = files.writer(0)
        try:
            converter = RecordConverter(
                job.resource, job.relations, job.selection, lineage=self._output.lineage, salt=job.salt
            )
            writer.write(self._output.split(converter.convert([*swept.changed, *swept.added])))
            writer.write({TOMBSTONES: tombstones(self._columns.key, swept.gone, self._output.lineage)})
            writer.close()
            complete = files.complete()
        finally:
            files.abort()
        return task.dataset.publish(
            Draft(
                query=self._query,
                run_id=self._run_id,
                attempt_number=task.attempt_number,
                kind="sweep",
                window_start=self._window.start,
                window_end=self._window.end,
                moves_watermark=False,
                files=complete,
                schema=schema_hash(arrow_schema(job.resource, job.relations, job.selection)),
                committed_at=task.client.server_now(),
                extracted_at=self._start.extracted_at,
                base=self._start.base_version,
                base_extracted_at=self._start.base_extracted_at,
            )
        )


def _is_archived(record: Mapping[str, Any]) -> bool | None:
    """Return a record's own flag; ``None``: it has none."""
    return {"true": True, "false": False}.get(str(record.get("archived")).lower())
