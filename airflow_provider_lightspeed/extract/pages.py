"""The pages of a plan: one list or a slice of it, or one list per parent."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from airflow_provider_lightspeed.client.query import PAGE_SIZE
from airflow_provider_lightspeed.client.rest import Page, RSeriesClient
from airflow_provider_lightspeed.exceptions import ProtocolViolation
from airflow_provider_lightspeed.extract.checks import not_applied
from airflow_provider_lightspeed.extract.lists import key_range, list_pages
from airflow_provider_lightspeed.extract.merging import KeyedPage, merged
from airflow_provider_lightspeed.extract.plan import Plan
from airflow_provider_lightspeed.resources.base import Resource, Strategy
from airflow_provider_lightspeed.resources.catalog import resource as resource_named


def read_pages(client: RSeriesClient, plan: Plan) -> Iterator[Page]:
    """Yield the pages of a plan, one after the other, through the parents of a nested path if it has one."""
    if plan.key is not None:
        for page, _ in slice_pages(client, plan, plan.floor, None):
            yield page
    else:
        for _, page in path_pages(client, plan):
            yield page
    plan.loading.settle(plan.resource, plan.child)


def path_pages(client: RSeriesClient, plan: Plan, *, skip: Collection[str] = ()) -> Iterator[tuple[str, Page]]:
    """Yield the pages of a plan, each with its path: many, if the list lies below parents.

    :param skip: paths that have been read already.
    """
    limit = None if plan.resource.strategy is Strategy.PERIOD else PAGE_SIZE
    for path in _paths(client, plan.resource):
        if path not in skip:
            for page in _one_by_one(client, plan, path, limit):
                yield path, page


def _one_by_one(client: RSeriesClient, plan: Plan, path: str, limit: int | None) -> Iterator[Page]:
    """Yield the pages of all lists of a path, one list after the other, each record once."""
    *earlier, last = plan.variants
    seen: set[object] = set()
    key = plan.resource.primary_key or ""
    for variant in earlier:
        for page in list_pages(client, plan, path, variant, limit=limit):
            seen.update(record.get(key) for record in page.records)
            # Another list follows the last page of this one.
            yield replace(page, next_url=page.next_url or page.url)
    for page in list_pages(client, plan, path, last, limit=limit):
        yield (
            replace(page, records=[record for record in page.records if record.get(key) not in seen]) if seen else page
        )


def slice_pages(client: RSeriesClient, plan: Plan, after: int, upto: int | None) -> Iterator[KeyedPage]:
    """Yield the pages of the rows whose key lies above ``after``, up to ``upto``, with their keys.

    :raises ProtocolViolation: a row lies outside or out of order: the server did not do what was asked, and what else
        it left undone is unknown.
    """
    lists = [_sorted_pages(client, plan, variant, after, upto) for variant in plan.variants]
    yield from lists[0] if len(lists) == 1 else merged(lists)


def _sorted_pages(
    client: RSeriesClient, plan: Plan, variant: Mapping[str, str], after: int, upto: int | None
) -> Iterator[KeyedPage]:
    """Yield the pages of one list with their keys, which have been checked."""
    assert plan.key is not None
    condition = key_range(after, upto)
    before = after
    for page in list_pages(client, plan, plan.resource.path, variant, limit=PAGE_SIZE, after=after, upto=upto):
        keys = [_key(plan, record.get(plan.key)) for record in page.records]
        for key in keys:
            if key <= before or (upto is not None and key > upto):
                order = "" if key <= after or key > (upto or key) else " in ascending order"
                asked = f"{str(condition or 'all')!r}{order}"
                raise not_applied(plan.resource.name, plan.key, asked, f"{plan.key} {key} after {before}", key)
            before = key
        yield page, keys


def last_key(client: RSeriesClient, plan: Plan) -> int | None:
    """Return the greatest primary key of a plan's list, at the price of one page without relations; ``None``: it is empty.

    :raises LightspeedError: the request failed.
    """
    assert plan.key is not None
    # Relations are loaded only where a filter reaches into one; then they have to be.
    reaches = any("." in name or name == "or" for name in plan.filters)
    bare = replace(plan, relations=plan.relations if reaches else (), params={}, child=None)
    pages = [
        next(list_pages(client, bare, plan.resource.path, variant, sort=f"-{plan.key}", limit=1))
        for variant in plan.variants
    ]
    return max((_key(plan, page.records[0].get(plan.key)) for page in pages if page.records), default=None)


def count_records(client: RSeriesClient, plan: Plan) -> int:
    """Return how many records a plan has: by a count, for 10 units, or by reading lists that may share records.

    :raises LightspeedError: a request failed.
    """
    if len(plan.variants) == 1:
        return client.count(plan.resource.path, filters=plan.filters, archived=plan.archived)
    return sum(len(page.records) for page in read_pages(client, replace(plan, relations=())))


def _key(plan: Plan, value: object) -> int:
    text = str(value)
    if not text.isdecimal():
        msg = f"{plan.resource.name}: a record has {value!r} where its primary key {plan.key} belongs"
        raise ProtocolViolation(msg, resource=plan.resource.name, field=plan.key, found=value)
    return int(text)


def _paths(client: RSeriesClient, resource: Resource) -> Iterator[str]:
    """Fill the placeholders of a nested path with the keys of all parents, each parent list read once."""
    paths: list[dict[str, str]] = [{}]
    if not resource.parents:
        yield resource.path
        return
    for parent in resource.parents:
        owner = resource_named(parent.resource)
        keys = [
            {**record, parent.placeholder: str(record[parent.field])}
            for page in read_pages(client, Plan(owner, {}))
            for record in page.records
            if record.get(parent.field)
        ]
        shared = [name for name in paths[0] if keys and name in keys[0]] if paths else []
        paths = [
            {**path, parent.placeholder: key[parent.placeholder]}
            for path in paths
            for key in keys
            if all(str(key[name]) == path[name] for name in shared)
        ]
    for path in paths:
        yield resource.path.format(**path)
