"""Merges lists that are one resource together into one, in the order of their keys. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_lightspeed.client.rest import Page

#: A page with the primary keys of its records.
KeyedPage = tuple[Page, list[int]]


@dataclass(slots=True)
class _List:
    """One list and what was read of it.

    :param waiting: records by key that are not handed on yet.
    :param is_done: no page follows.
    """

    pages: Iterator[KeyedPage]
    waiting: dict[int, dict[str, Any]] = field(default_factory=dict)
    is_done: bool = False

    def read(self) -> Iterator[Page]:
        """Read on until something is waiting; yield the pages that it took."""
        while not self.waiting and not self.is_done:
            found = next(self.pages, None)
            if found is None:
                self.is_done = True
                return
            page, keys = found
            self.waiting = dict(zip(keys, page.records, strict=True))
            self.is_done = page.next_url is None
            yield page


def merged(lists: Sequence[Iterator[KeyedPage]]) -> Iterator[KeyedPage]:
    """Yield the records of several lists in ascending order of their keys; one that several lists have comes once.

    :param lists: pages of each, in ascending order of the keys.
    """
    sources = [_List(pages) for pages in lists]
    index = 0
    while True:
        read = [page for source in sources for page in source.read()]
        # No list can still bring a key below the least of these.
        open_ends = [max(source.waiting) for source in sources if not source.is_done]
        waiting = {key: record for source in reversed(sources) for key, record in source.waiting.items()}
        keys = sorted(key for key in waiting if all(key <= end for end in open_ends))
        for source in sources:
            source.waiting = {key: record for key, record in source.waiting.items() if keys and key > keys[-1]}
        is_last = all(source.is_done and not source.waiting for source in sources)
        page = replace(
            read[0],
            index=index,
            records=[waiting[key] for key in keys],
            next_url=None if is_last else read[0].next_url or read[0].url,
            cost=sum(page.cost for page in read),
            seconds=sum(page.seconds for page in read),
        )
        yield page, keys
        if is_last:
            return
        index += 1
