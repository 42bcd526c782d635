"""The one place that asks for a list: in the account's spelling, in as few pieces as it takes, each page complete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_lightspeed.client.query import Condition, between, gt, in_
from airflow_provider_lightspeed.client.rest import Page, RSeriesClient
from airflow_provider_lightspeed.exceptions import (
    AccessDenied,
    LightspeedError,
    RelationUnavailable,
    RequestRefused,
    ServerFault,
)
from airflow_provider_lightspeed.extract.checks import ignored_filter, not_applied
from airflow_provider_lightspeed.extract.plan import Plan
from airflow_provider_lightspeed.extract.relations import Record, above, join
from airflow_provider_lightspeed.extract.slices import BEGINNING
from airflow_provider_lightspeed.resources.base import Resource


def key_range(after: int, upto: int | None) -> Condition | None:
    """Return the condition on a key for a stretch: above the first, up to the second; ``None``: all."""
    if upto is not None:
        return between(after + 1, upto)
    return gt(after) if after > BEGINNING else None


def list_pages(
    client: RSeriesClient,
    plan: Plan,
    path: str,
    variant: Mapping[str, str],
    *,
    limit: int | None,
    sort: str | None = None,
    after: int = BEGINNING,
    upto: int | None = None,
) -> Iterator[Page]:
    """Yield the pages of one list, with all relations of the plan that the account loads.

    An answer that says how to ask otherwise is heeded, and the list goes on behind the last page.

    :param after: of a list in the order of its key: rows up to this key are left out.
    :param upto: and rows above this one.
    :raises AccessDenied: names the resource, and the scope that it needs.
    :raises RelationUnavailable: a relation is refused, and the plan cannot do without it.
    """
    reader = _ListReader(client, plan, path, variant, limit, sort)
    while True:
        try:
            for page in reader.pages(after, upto):
                if reader.is_ignored(page):
                    break
                yield reader.complete(page)
                after = reader.passed(page, after)
            else:
                return
        except AccessDenied as error:
            raise _denied(client, plan.resource, error) from None
        except (RequestRefused, ServerFault) as error:
            if not reader.heed(error):
                raise _placed(error, plan.key, after) from None


class _ListReader:
    """One list, and what was asked for last."""

    def __init__(
        self,
        client: RSeriesClient,
        plan: Plan,
        path: str,
        variant: Mapping[str, str],
        limit: int | None,
        sort: str | None,
    ) -> None:
        self._client = client
        self._plan = plan
        self._path = path
        self._variant = variant
        self._usual = min(limit, plan.resource.page_size) if limit else limit
        self._sort = sort
        #: What the last request had: relations, records, relations at most.
        self._last: tuple[tuple[str, ...], int | None, int | None] = ((), None, None)
        #: Keys of the records that were handed on, of a list that cannot be gone on with behind a key.
        self._done: set[str] = set()
        self._is_begun_anew = False
        self._is_unkeyed_and_begun = False
        #: Whether a page has shown that the server applies the filters as they are spelled.
        self._is_applied = False
        #: The filters of the last request, each with the spelling that it was sent in.
        self._sent: dict[str, str] = {}
        #: The refusal that another spelling was taken for.
        self._first_refusal: LightspeedError | None = None

    def pages(self, after: int, upto: int | None) -> Iterator[Page]:
        plan = self._plan
        condition = key_range(after, upto) if plan.key else None
        filters = plan.filters if condition is None else {**plan.filters, plan.key or "": condition}
        for page in self._request(filters, plan.loading.pieces(plan.relations)[0], sort=self._sort):
            key = plan.resource.primary_key
            if self._is_begun_anew and key:
                yield replace(page, records=[each for each in page.records if str(each.get(key)) not in self._done])
            else:
                yield page

    def _request(
        self, filters: Mapping[str, Any], relations: tuple[str, ...], *, sort: str | None = None
    ) -> Iterator[Page]:
        plan, loading = self._plan, self._plan.loading
        resource, limit = plan.resource, loading.limit(self._usual)
        self._last = (relations, limit, loading.most)
        self._sent = {name: loading.spelled(name) for name in filters}
        return self._client.pages(
            self._path,
            envelope=resource.envelope,
            filters={self._sent[name]: value for name, value in filters.items()},
            relations=relations,
            relations_cost=resource.relations_cost(relations),
            sort=loading.spelled(sort) if sort else None,
            archived=plan.archived,
            params={**plan.params, **self._variant},
            limit=limit,
            base_path=resource.base_path,
            timeout=resource.timeout,
        )

    def heed(self, error: LightspeedError) -> bool:
        """Learn from an error how to ask otherwise; tell whether there is a way.

        :raises RelationUnavailable: the plan is after the very records that are refused.
        :raises RequestRefused: of two spellings of a field, neither is taken.
        """
        plan, loading = self._plan, self._plan.loading
        relations, limit, most = self._last
        if self._is_unkeyed_and_begun:
            return False  # what was handed on would come twice
        self._is_begun_anew = True
        if loading.refuse(plan.resource, relations, error):
            if plan.child in loading.refused:
                msg = (
                    f"{plan.resource.name}: the account refuses the relation {plan.child}, whose records are to be read"
                )
                raise RelationUnavailable(msg, resource=plan.resource.name, relations=[plan.child]) from None
            return True
        if loading.respell(plan.resource, self._sent, error):
            self._first_refusal = error
            return True
        if self._first_refusal is not None and isinstance(error, RequestRefused):
            raise self._first_refusal from None  # the spelling was not the fault
        return loading.shrink(relations, error, limit, most)

    def is_ignored(self, page: Page) -> bool:
        """Whether a page shows that the server ignored a filter which has another spelling to try (B6, D6)."""
        plan, name = self._plan, ignored_filter(self._plan, page.records)
        if name is None or self._is_applied or self._is_unkeyed_and_begun:
            return False
        is_anew = plan.loading.take_other_spelling(plan.resource, name, self._sent[name])
        self._is_begun_anew |= is_anew
        return is_anew

    def complete(self, page: Page) -> Page:
        """Return a page with the relations that were not asked for with it, or came only alone."""
        plan, loading = self._plan, self._plan.loading
        key = plan.resource.primary_key
        if not plan.relations or not page.records or key is None or self._sort:
            return page
        records = self._joined(page.records, key)
        for name in loading.doubtful(plan.resource, loading.wanted(plan.relations), records):
            found = self._ask([str(record[key]) for record in records], (*above(name), name))
            if loading.came_alone(plan.resource, name, list(found.values()), len(records)):
                records = self._joined(page.records, key)
        return replace(page, records=records, cost=plan.cost) if records is not page.records else page

    def passed(self, page: Page, after: int) -> int:
        """Note that a page was handed on; return the key behind which the list goes on."""
        plan, key = self._plan, self._plan.resource.primary_key
        self._is_applied |= bool(page.records)
        if plan.key is None or self._sort:
            self._is_unkeyed_and_begun = not key
            self._done.update(str(record.get(key or "")) for record in page.records)
            return after
        keys = [str(record.get(plan.key)) for record in page.records]
        return max([after, *(int(each) for each in keys if each.isdecimal())])

    def _joined(self, records: list[Record], key: str) -> list[Record]:
        while True:
            pieces = self._plan.loading.pieces(self._plan.relations)
            if len(pieces) == 1:
                return records
            try:
                return join(records, key, pieces, self._ask)
            except (RequestRefused, ServerFault) as error:
                if not self.heed(error):
                    raise

    def _ask(self, keys: Sequence[str], relations: tuple[str, ...]) -> dict[str, Record]:
        """Return records by their key, with some relations."""
        plan = self._plan
        name = plan.resource.primary_key or ""
        if not keys:
            return {}
        asked = in_(keys)
        found: dict[str, Record] = {}
        for page in self._request({**plan.filters, name: asked}, relations):
            for record in page.records:
                key = str(record.get(name))
                if key not in keys:
                    raise not_applied(plan.resource.name, name, repr(str(asked)), f"{name} {key}", key)
                found[key] = record
        return found


def _placed(error: LightspeedError, key: str | None, after: int) -> LightspeedError:
    """Return the error with the key behind which the pages were asked for, since their number counts from there."""
    if key is None or after == BEGINNING:
        return error
    return type(error)(f"{error.message}; counted from behind {key} {after}", **error.fields)


def _denied(client: RSeriesClient, resource: Resource, error: AccessDenied) -> AccessDenied:
    """Return the error with the resource and what it needs."""
    if error.fields.get("status") != 403 or not error.fields.get("is_permission"):
        return error
    granted = client.scope
    needed = [scope for scope in resource.scopes if scope.startswith("employee:")]
    if "employee:all" in granted or not needed or set(needed) & set(granted):
        advice = "the employee who connected the account lacks the right; ask for it, or reconnect as another employee"
    else:
        has = ", ".join(granted) or "scopes that the token does not name"
        advice = (
            f"it needs one of the scopes {', '.join(needed)}, and the connection has {has}; reconnect with such a scope"
        )
    msg = f"{resource.name}: {error.message}: {advice}"
    return AccessDenied(msg, **{**error.fields, "resource": resource.name, "scopes": needed})
