"""Every error this package raises, sorted by what the caller should do.

.. code-block:: text

    LightspeedError
    ├── LightspeedAuthError              nothing works until credentials change: a person is needed
    │   ├── MissingCredentials           the connection lacks a field
    │   ├── InvalidClient                client ID or secret refused (401 ``invalid_client``)
    │   ├── ReconnectRequired            the grant is dead (``invalid_grant``, revoked, wrong account)
    │   └── AccessDenied                 403: scope or employee rights are missing
    │       └── ResourceUnavailable      the same, and the job asks to skip such a resource
    ├── LightspeedRateError              429 for longer than we are willing to wait
    ├── LightspeedRetriableError         try the whole task again later
    │   ├── Unreachable                  no usable reply: DNS, refused, reset, time-out
    │   ├── ServerFault                  5xx, HTML instead of JSON, truncated body, after all retries
    │   └── RefreshPending               another process refreshes, and took too long
    ├── LightspeedFatalError             the request is wrong: change the code or the arguments
    │   ├── InvalidArgument              a bad argument or connection field; names it and what is allowed
    │   └── RequestRefused               4xx that repeating cannot mend (400, 404, 405, 409, 422)
    └── LightspeedDataError              what came back cannot be trusted or stored
        ├── ProtocolViolation            cursor loop, foreign host, ignored filter, no envelope
        ├── ConversionError              a record does not fit Arrow and could not be kept in ``_extra``
        ├── RelationUnavailable          a relation is refused, or no record has it, and cannot be done without
        ├── RowsMissed                   ``verify=True`` has found records in the account that were not read
        ├── SchemaDrift                  the fields are not the catalog's, and ``schema_drift="freeze"`` forbids that
        ├── SweepAborted                 more records are missing than is plausible; no tombstones were written
        └── StorageError                 the dataset's path cannot be read or written
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "AccessDenied",
    "ConversionError",
    "InvalidArgument",
    "InvalidClient",
    "LightspeedAuthError",
    "LightspeedDataError",
    "LightspeedError",
    "LightspeedFatalError",
    "LightspeedRateError",
    "LightspeedRetriableError",
    "MissingCredentials",
    "ProtocolViolation",
    "ReconnectRequired",
    "RefreshPending",
    "RelationUnavailable",
    "RequestRefused",
    "ResourceUnavailable",
    "RowsMissed",
    "SchemaDrift",
    "ServerFault",
    "StorageError",
    "SweepAborted",
    "Unreachable",
]


class LightspeedError(Exception):
    """Root of all errors of this package.

    :param message: what happened and what to do, free of secrets.
    :param fields: facts for programs (``status``, ``resource``, ``retry_after`` ...); kept as attributes and
        through pickling. Nobody has to parse the text.
    """

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["fields"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.fields)


def _rebuild(kind: type[LightspeedError], message: str, fields: dict[str, Any]) -> LightspeedError:
    return kind(message, **fields)


class LightspeedAuthError(LightspeedError):
    """Nothing works until a person changes the credentials or the grant."""


class MissingCredentials(LightspeedAuthError):
    """The connection lacks a field that is needed."""


class InvalidClient(LightspeedAuthError):
    """Client ID or client secret was refused (401 ``invalid_client``)."""


class ReconnectRequired(LightspeedAuthError):
    """The grant is dead: expired, revoked, or given for another client."""


class AccessDenied(LightspeedAuthError):
    """403: the scope, or the rights of the employee who consented, do not cover the request."""


class ResourceUnavailable(AccessDenied):
    """The account may not read the resource, never could, and the job asks to skip it. Attribute: ``resource``."""


class LightspeedRateError(LightspeedError):
    """Rate limited for longer than allowed to wait; ``retry_after`` holds seconds."""


class LightspeedRetriableError(LightspeedError):
    """The same task may succeed later."""


class Unreachable(LightspeedRetriableError):
    """No usable reply: name resolution, refused or reset connection, time-out."""


class ServerFault(LightspeedRetriableError):
    """The server failed (5xx, HTML page, truncated body) on every try."""


class RefreshPending(LightspeedRetriableError):
    """Another process is refreshing the token and has not finished in time."""


class LightspeedFatalError(LightspeedError):
    """Repeating the same request cannot help."""


class InvalidArgument(LightspeedFatalError, ValueError):
    """An argument or a connection field is wrong. Attributes: ``field``, ``found``, ``allowed``."""


class RequestRefused(LightspeedFatalError):
    """The API refused the request for good. Attributes: ``status``, ``url``."""


class LightspeedDataError(LightspeedError):
    """What came back cannot be trusted, or cannot be stored."""


class ProtocolViolation(LightspeedDataError):
    """The server broke a rule that reading relies on: cursor loop, foreign host, ignored filter."""


class ConversionError(LightspeedDataError):
    """A record cannot be expressed in Arrow."""


class RelationUnavailable(LightspeedDataError):
    """A relation is refused, or no record shows it, and cannot be done without. Attributes: ``resource``, ``relations``."""


class SchemaDrift(LightspeedDataError):
    """Fields came, went or changed their type. Attributes: ``resource``, ``unknown``, ``changed``, ``vanished``."""


class RowsMissed(LightspeedDataError):
    """Records of the account were not read. Attributes: ``resource``, ``keys``, ``counted``, ``read``."""


class SweepAborted(LightspeedDataError):
    """More records are missing than is plausible. Attributes: ``resource``, ``missing``, ``known``."""


class StorageError(LightspeedDataError):
    """The dataset's path cannot be read or written. Attribute: ``path``."""


def unknown(
    field: str, found: object, allowed: Iterable[str], *, what: str | None = None, hint: str = ""
) -> InvalidArgument:
    """Return the error for a name that is not in a closed list, with the nearest names first.

    :param field: the argument or connection field, as the user writes it.
    :param found: what stood there.
    :param allowed: the names that would do.
    :param what: the noun for the message; default ``field``.
    :param hint: what to do besides, one sentence.
    """
    names = sorted(allowed)
    lowered = {name.lower(): name for name in names}
    near = [lowered[name] for name in difflib.get_close_matches(str(found).lower(), lowered, n=3, cutoff=0.55)]
    if near:
        advice = f"Did you mean {' or '.join(repr(name) for name in near)}?"
    elif len(names) <= 40:
        advice = f"Allowed: {', '.join(names) or 'none'}."
    else:
        advice = f"Allowed: {', '.join(names[:40])} and {len(names) - 40} more."
    message = f"{field}: {found!r} is not a known {what or field}. {advice}{' ' + hint if hint else ''}"
    return InvalidArgument(message, field=field, found=found, allowed=names, near=near)
