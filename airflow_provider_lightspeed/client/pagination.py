"""Cursor paging: follows the server's own ``next`` URLs, and refuses those that lead in a circle or away."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from airflow_provider_lightspeed.exceptions import ProtocolViolation

#: Lists that the documentation shows without ``@attributes``: only of these is an empty object the end.
BARE: Final = frozenset({"CurrencyRate", "Option", "Locale"})


#: Control characters, which URL readers drop, and halves of surrogate pairs, which cannot be sent.
_UNSENDABLE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
#: Characters of a link that an error shows.
_LONGEST_SHOWN: Final = 300


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

        :raises ProtocolViolation: the link is no URL, was followed before, has no cursor, or leaves scheme, host, port or
            account (D2 in docs/live.md).
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
        try:
            parts, origin = urlsplit(link), _origin(link)
        except ValueError as error:  # brackets without an address in them, a port that is none
            msg = f"the next page's link is not a URL ({error}); nothing was sent there"
            raise ProtocolViolation(msg, found="not a URL") from None
        inside = parts.path.startswith(self._prefix) and _is_plain(parts.path) and not _UNSENDABLE.search(link)
        if origin != self._origin or not inside or parts.username is not None:
            found = f"{parts.scheme}://{parts.hostname}{parts.path}"[:_LONGEST_SHOWN]
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

        :raises ProtocolViolation: an earlier page began with the same record: the server began its walk anew; or the
            record is nested too deeply to be compared.
        """
        if not records:
            return
        number = len(self._pages) + 1
        try:
            first = repr(records[0])
        except RecursionError:
            raise ProtocolViolation(f"{path}: a record of page {number} is nested too deeply", found=number) from None
        earlier = self._pages.setdefault(first, number)
        if earlier != number:
            msg = f"{path}: page {number} begins with the record that page {earlier} began with: the walk began anew"
            raise ProtocolViolation(msg, found=number)


def _is_plain(path: str) -> bool:
    """Tell whether every reader of a path finds the same place: no dot segment, not even an encoded one, no backslash."""
    plain = unquote(path)
    while plain != path:
        path, plain = plain, unquote(plain)
    return "\\" not in plain and not {".", ".."} & set(plain.split("/"))


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
        msg = f"the answer has no {envelope!r} but {', '.join(sorted(strangers))[:_LONGEST_SHOWN] or 'nothing'}"
        raise ProtocolViolation(msg, envelope=envelope)
    raise ProtocolViolation(f"{envelope!r} holds {type(found).__name__} where records belong", envelope=envelope)
