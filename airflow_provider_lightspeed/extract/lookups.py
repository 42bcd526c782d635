"""The cheaper of two ways to a to-one relation: loaded with every page, or read once from its own list.

A relation adds its price to each page. Where its records are few, such as tax categories, reading their list once and
putting them into the rows here costs less. Both ways must yield the same rows: the first pages, read with the relation
loaded, are held against the list; if one record differs, the relation goes on being loaded.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from airflow_provider_lightspeed.client.query import BASE_COST, PAGE_SIZE
from airflow_provider_lightspeed.client.rest import RSeriesClient
from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.extract.pages import last_key, slice_pages
from airflow_provider_lightspeed.extract.plan import Plan, key_of
from airflow_provider_lightspeed.extract.slices import BEGINNING
from airflow_provider_lightspeed.resources.base import Cardinality, Relation, Resource
from airflow_provider_lightspeed.resources.catalog import resource as resource_named

Record = dict[str, Any]

#: Pages of a list that is kept in memory at most.
MOST_PAGES: Final = 20
#: Units that must be saved to be worth the change.
WORTH_CHANGING: Final = 5.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A relation that has a list of its own.

    :param field: of the row; holds the related record's key, 0 for none.
    """

    relation: Relation
    field: str
    target: Resource


def candidates(plan: Plan) -> list[Candidate]:
    """Return the loaded relations of a plan that could be read from a list of their own."""
    if plan.child is not None or plan.key is None or any("." in name or name == "or" for name in plan.filters):
        return []
    return [found for name in plan.relations if (found := _candidate(plan, name))]


def _candidate(plan: Plan, name: str) -> Candidate | None:
    relation, fields = plan.resource.relations[name], plan.resource.entity.fields
    has_inner = any(other.startswith(f"{name}.") for other in plan.relations)
    if relation.cardinality is not Cardinality.ONE or "." in name or has_inner or relation.always_loaded:
        return None
    field = next((key for key in fields if key.lower() == f"{name}id".lower()), None)
    try:
        target = resource_named(relation.target or "")
    except InvalidArgument:
        return None
    same = target.entity.name == relation.target and key_of(Plan(target, {})) == target.entity.primary_key
    return Candidate(relation, field, target) if field and same and not _embeds(target) else None


def _embeds(target: Resource) -> bool:
    return any(found.always_loaded for found in target.relations.values())


class Table:
    """A related list in memory. Safe among threads."""

    def __init__(self, client: RSeriesClient, candidate: Candidate) -> None:
        self._client = client
        self._candidate = candidate
        self._records: dict[str, Record] = {}
        self._last = self._asked = BEGINNING
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The relation's name."""
        return self._candidate.relation.name

    def load(self) -> None:
        """Read what is not there yet.

        :raises LightspeedError: the list cannot be read.
        """
        target = self._candidate.target
        plan = Plan(target, {}, key=target.primary_key)
        with self._lock:
            for page, keys in slice_pages(self._client, plan, self._last, None):
                self._records.update({str(key): record for key, record in zip(keys, page.records, strict=True)})
                self._last = max([self._last, *keys])

    def agrees_with(self, records: Sequence[Mapping[str, Any]]) -> bool:
        """Tell whether rows that came with the relation loaded hold what the list holds; rows without any tell nothing."""
        container = self._candidate.relation.container_key
        return any(record.get(container) for record in records) and all(
            (record.get(container) or None) == self._of(record) for record in records
        )

    def attach(self, records: Sequence[Record]) -> None:
        """Put the related records into rows that came without."""
        field, container = self._candidate.field, self._candidate.relation.container_key
        newest = max((_number(record.get(field)) for record in records), default=0)
        if newest > max(self._last, self._asked):
            # Born since, or gone: asked for once.
            self.load()
            self._asked = max(self._asked, newest)
        for record in records:
            found = self._of(record)
            if found is not None:
                record[container] = found

    def _of(self, record: Mapping[str, Any]) -> Record | None:
        return self._records.get(str(record.get(self._candidate.field)))


def _number(value: Any) -> int:
    text = str(value)
    return int(text) if text.isdecimal() else 0


def cheapest(
    client: RSeriesClient, plan: Plan, sample: Sequence[Mapping[str, Any]], pages_left: float
) -> tuple[Plan, list[Table]]:
    """Return the plan without the relations that are cheaper from their own lists, and these lists.

    :param sample: rows that came with all relations loaded.
    :param pages_left: of the read.
    :raises LightspeedError: a list cannot be read; the plan as it was still holds.
    """
    tables = []
    for candidate in candidates(plan):
        saved = candidate.relation.cost * pages_left
        if saved < BASE_COST + WORTH_CHANGING:
            continue
        last = last_key(client, Plan(candidate.target, {}, key=candidate.target.primary_key))
        price = ((last or 0) / PAGE_SIZE + 1) * BASE_COST
        if price > MOST_PAGES * BASE_COST or saved < price + WORTH_CHANGING:
            continue
        table = Table(client, candidate)
        table.load()
        if table.agrees_with(sample):
            tables.append(table)
    names = {table.name for table in tables}
    return replace(plan, relations=tuple(name for name in plan.relations if name not in names)), tables
