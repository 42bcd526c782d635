"""Cursor paging: follows the server's own ``next`` URLs, and refuses those that lead in a circle or away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from airflow_provider_lightspeed.exceptions import ProtocolViolation

#: Lists that the documentation shows without ``@attributes``: only of these is an empty object the end.
BARE: Final = frozenset({"CurrencyRate", "Option", "Locale"})


class Cursor:
    """The place in one chain of pages (docs: introduction/pagination).

    :param first_url: the first page's URL, built by us.
    :param prefix: the path that every ``next`` must stay below, such as ``/API/V3/Account/1/``: a link elsewhere
        would carry the token away.
    """

    def __init__(self, first_url: str, *, prefix: str) -> None:
        self.url: str | None = first_url
        self._prefix = prefix
        self._origin = _origin(first_url)
        self._seen = {first_url}

    def advance(self, body: Mapping[str, Any]) -> str | None:
        """Move to the page after the one in ``body``; ``None`` at the end. A missing ``next`` is the end.

        :raises ProtocolViolation: the link was followed before, has no cursor, or leaves scheme, host, port or account
            (D2 in docs/live.md).
        """
        attributes = body.get("@attributes")
        link = attributes.get("next") if isinstance(attributes, Mapping) else None
        if not link:
            self.url = None
            return None
        if not isinstance(link, str):
            raise ProtocolViolation(
                f"@attributes.next is not a URL but {type(link).__name__}", found=type(link).__name__
            )
        parts = urlsplit(link)
        inside = parts.path.startswith(self._prefix) and ".." not in parts.path.split("/")
        if _origin(link) != self._origin or not inside or parts.username is not None:
            found = f"{parts.scheme}://{parts.hostname}{parts.path}"
            msg = f"the next page's link leads to {found}, outside the account's own API; nothing was sent there"
            raise ProtocolViolation(msg, found=found)
        if link in self._seen:
            msg = f"the next page's link of {parts.path} was followed before: the cursor runs in a circle"
            raise ProtocolViolation(msg, found=parts.path)
        if not parse_qs(parts.query).get("after"):
            msg = f"the next page's link of {parts.path} has no 'after': it would lead back to the first page"
            raise ProtocolViolation(msg, found=parts.path)
        self._seen.add(link)
        self.url = link
        return link


class Beginnings:
    """The first records of one list's pages: no two pages begin with the same record (D1 in docs/live.md)."""

    def __init__(self) -> None:
        self._pages: dict[str, int] = {}

    def check(self, path: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Take the next page's records.

        :raises ProtocolViolation: an earlier page began with the same record: the server began its walk anew.
        """
        if not records:
            return
        number, first = len(self._pages) + 1, repr(records[0])
        earlier = self._pages.setdefault(first, number)
        if earlier != number:
            msg = f"{path}: page {number} begins with the record that page {earlier} began with: the walk began anew"
            raise ProtocolViolation(msg, found=number)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    default = {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or default


def records_of(body: Mapping[str, Any], envelope: str) -> list[dict[str, Any]]:
    """Return the page's records: one comes as an object, none as ``""`` or no key at all.

    :raises ProtocolViolation: the envelope holds something else, or an answer has neither it nor ``@attributes``.
    """
    found = body.get(envelope)
    if isinstance(found, list):
        if all(isinstance(record, dict) for record in found):
            return found
    elif isinstance(found, dict):
        return [found]
    elif found is None or found == "":
        strangers = [key for key in body if key not in ("@attributes", envelope)]
        attributes = body.get("@attributes")
        if not strangers and (isinstance(attributes, Mapping) or envelope in BARE or found == ""):
            return []
        msg = f"the answer has no {envelope!r} but {', '.join(sorted(strangers)) or 'nothing'}"
        raise ProtocolViolation(msg, envelope=envelope)
    raise ProtocolViolation(f"{envelope!r} holds {type(found).__name__} where records belong", envelope=envelope)
