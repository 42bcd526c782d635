"""Fields that releases of this provider have given a column of their own; rows written before have them in ``_extra``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Moved = Mapping[str, Mapping[str, tuple[str, ...]]]

#: Release to resource to fields, by the API's names. The first release has moved none.
MOVED: Final[Moved] = {}


def moved_fields(resource: str, *, since: str | None = None, moved: Moved = MOVED) -> tuple[str, ...]:
    """Return the fields of a resource that have moved from ``_extra`` to a column, oldest first.

    :param since: the release that wrote the oldest rows, such as ``0.1.0``; default the first one.
    """
    after = _numbers(since) if since else ()
    releases = sorted((release for release in moved if _numbers(release) > after), key=_numbers)
    return tuple(dict.fromkeys(name for release in releases for name in moved[release].get(resource, ())))


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))
