"""Holds what a read has got against the account: the count, and each key that is missing in between, asked for by name.

It runs before the commit, so that nobody builds on a read that has missed records. The requests load no relations.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_provider_lightspeed.arrow.tables import MAIN
from airflow_provider_lightspeed.arrow.types import EXTRACTED_AT
from airflow_provider_lightspeed.client.query import BASE_COST, COUNT_COST, MOST_IN_VALUES, in_
from airflow_provider_lightspeed.exceptions import InvalidArgument, RowsMissed
from airflow_provider_lightspeed.extract.attempt import Attempt
from airflow_provider_lightspeed.extract.files import Files
from airflow_provider_lightspeed.extract.lists import key_range
from airflow_provider_lightspeed.extract.pages import count_records, last_key, read_pages
from airflow_provider_lightspeed.extract.plan import Job, Plan
from airflow_provider_lightspeed.extract.relations import Loading

log = logging.getLogger(__name__)

#: Keys that an error names; the others it counts.
NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of the keys in the range that was read.

    :param read: keys of the records that were read.
    :param deleted: keys in between that answer nothing: deleted, or never given. 0 if the count said that none was missing.
    :param missed: keys that answer, and were not read.
    """

    read: int
    deleted: int
    missed: int = 0

    def as_json(self) -> dict[str, int]:
        """Return the numbers."""
        return {"read": self.read, "deleted": self.deleted, "missed": self.missed}


def check_verifiable(job: Job) -> None:
    """See that records can be told apart, and asked for, by their keys.

    :raises InvalidArgument: they cannot; says why.
    """
    key = job.resource.primary_key
    columns = {column.source: column for column in job.output_layout().shape.columns}
    why = ""
    if key is None or job.resource.parents or key not in job.resource.sortable:
        why = f"{job.resource.name} cannot be verified: it has no key to ask for, or lies below others"
    elif key not in columns or columns[key].is_hashed:
        why = f"it needs {key!r} as it is; leave it in, and unhashed"
    elif key in job.filters:
        why = f"a filter on {key!r} leaves no key to ask for; leave it out"
    if why:
        raise InvalidArgument(f"verify: {why}", field="verify", found=True, allowed=(False,))


def verify(attempt: Attempt, files: Files) -> Verified:
    """Ask for the count, and for the keys that are missing in the range that was read, 100 at a time.

    A read of everything asks for each missing key. A window asks for them only if the account counts more records in it than
    were read.

    :param files: what was read, by table; not committed yet.
    :raises RowsMissed: a record that was not read is there; names the keys.
    """
    effort = _Verification(attempt, files)
    found = effort.run()
    log.info(
        "%s: verified: %d read, %d deleted, none missed", attempt.task.job.resource.name, found.read, found.deleted
    )
    return found


class _Verification:
    def __init__(self, attempt: Attempt, files: Files) -> None:
        self._attempt = attempt
        self._client = attempt.task.client
        self._plan = replace(attempt.plan, relations=_filtered(attempt.plan), child=None, loading=Loading())
        self._read = _keys(attempt, files)
        self._last = int(self._read[-1]) if len(self._read) else attempt.plan.floor

    def run(self) -> Verified:
        name, plan = self._attempt.task.job.resource.name, self._plan
        is_window = plan.checked_field is not None
        end = max(self._last, last_key(self._client, replace(plan, filters={}, relations=(), floor=0)) or 0)
        # Key 0 means that a key is not set (B5 in docs/live.md).
        gaps = np.setdiff1d(np.arange(max(1, plan.floor + 1), end + 1), self._read)
        cost = COUNT_COST + (0 if is_window else ceil(len(gaps) / MOST_IN_VALUES) * BASE_COST)
        log.info(
            "%s: plan: verify %d records, %d keys between them, %.0f drips", name, len(self._read), len(gaps), cost
        )
        counted = self._count(None if is_window else self._last)
        if is_window and counted <= len(self._read):
            return Verified(len(self._read), 0)
        missed = [key for key, record in self._asked(gaps) if not self._is_new(key, record)]
        if missed or counted > len(self._read):
            self._refuse(sorted(missed), counted)
        return Verified(len(self._read), len(gaps) - len(missed))

    def _count(self, upto: int | None) -> int:
        """Count the account's records in the range; up to a key, since others may have been added meanwhile."""
        plan = self._plan
        if upto is None:
            return count_records(self._client, plan)
        condition = key_range(plan.floor, upto)
        return count_records(self._client, replace(plan, filters={**plan.filters, plan.key or "": condition}, key=None))

    def _asked(self, keys: np.ndarray) -> Iterator[tuple[int, Mapping[str, Any]]]:
        plan, name = self._plan, self._plan.key or ""
        for start in range(0, len(keys), MOST_IN_VALUES):
            asked = [int(key) for key in keys[start : start + MOST_IN_VALUES]]
            for page in read_pages(self._client, replace(plan, filters={**plan.filters, name: in_(asked)}, key=None)):
                yield from ((int(record[name]), record) for record in page.records)

    def _is_new(self, key: int, record: Mapping[str, Any]) -> bool:
        """Whether a record was added after the read began: its key lies above all others, and it does not date from before."""
        if key <= self._last:
            return False
        resource = self._plan.resource
        names = [name for name in (resource.created_field, resource.modified_field) if name]
        fields = [resource.entity.find(name) for name in names]
        texts = [record[name] for field in fields for name in (field.name, *field.aliases) if record.get(name)]
        began = self._attempt.head.extracted_at.replace(microsecond=0)
        return not texts or datetime.fromisoformat(str(texts[0])) >= began

    def _refuse(self, missed: list[int], counted: int) -> None:
        attempt, key = self._attempt, self._plan.key
        # A retry reads afresh: what is stored is what has missed them.
        attempt.task.storage.remove_folder(attempt.journal.folder)
        name = self._plan.resource.name
        more = f" and {len(missed) - NAMED} more" if len(missed) > NAMED else ""
        which = f": {key} {', '.join(map(str, missed[:NAMED]))}{more}" if missed else ""
        msg = (
            f"{name}: {len(missed)} record(s) are in the account and were not read{which}. The account counts {counted} in "
            f"the range, {len(self._read)} were read. Nothing was committed; a retry reads everything afresh"
        )
        raise RowsMissed(msg, resource=name, keys=tuple(missed), counted=counted, read=len(self._read))


def _filtered(plan: Plan) -> tuple[str, ...]:
    """Return the relations that a filter reaches into; no others are loaded."""
    return plan.relations if any("." in name or name == "or" for name in plan.filters) else ()


def _keys(attempt: Attempt, files: Files) -> np.ndarray:
    """Return the keys of the listed records that this read has got, in ascending order; not of rows that were taken over."""
    parents = attempt.output.parents
    table, key = (parents.table, parents.key) if parents else (MAIN, attempt.output.layout.shape.key or "")
    found = [np.empty(0, np.int64)]
    for file in files.get(table, ()):
        with attempt.task.storage.open(file.path, "rb") as source:
            rows = pq.ParquetFile(source).read([key, EXTRACTED_AT])
        found.append(rows.filter(pc.equal(rows[EXTRACTED_AT], attempt.head.extracted_at))[key].to_numpy())
    return np.unique(np.concatenate(found))
