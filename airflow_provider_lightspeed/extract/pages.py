"""The pages of a plan: one list, or one list per parent."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_lightspeed.client.query import PAGE_SIZE
from airflow_provider_lightspeed.client.rest import Page, RSeriesClient
from airflow_provider_lightspeed.extract.plan import Plan
from airflow_provider_lightspeed.resources.base import Resource, Strategy
from airflow_provider_lightspeed.resources.catalog import resource as resource_named


def read_pages(client: RSeriesClient, plan: Plan) -> Iterator[Page]:
    """Yield the pages of a plan, through the parents of a nested path if it has one."""
    limit = None if plan.resource.strategy is Strategy.PERIOD else PAGE_SIZE
    for path in _paths(client, plan.resource):
        yield from _list(client, plan, path, limit=limit)


def last_key(client: RSeriesClient, plan: Plan) -> int | None:
    """Return the greatest primary key of a plan's list, at the price of one page; ``None`` if nobody can tell.

    :raises LightspeedError: the request failed.
    """
    resource, key = plan.resource, plan.resource.primary_key
    if resource.parents or key is None or key not in resource.sortable:
        return None
    page = next(_list(client, plan, resource.path, sort=f"-{key}", limit=1))
    found = str(page.records[0].get(key, "")) if page.records else ""
    return int(found) if found.isdecimal() else None


def _list(
    client: RSeriesClient, plan: Plan, path: str, *, limit: int | None, sort: str | None = None
) -> Iterator[Page]:
    resource = plan.resource
    return client.pages(
        path,
        envelope=resource.envelope,
        filters=plan.filters,
        relations=plan.relations,
        relations_cost=resource.relations_cost(plan.relations),
        sort=sort,
        archived=plan.archived,
        params=plan.params,
        limit=limit,
        base_path=resource.base_path,
    )


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
