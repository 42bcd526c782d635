"""What to do with a reply: one table, read from top to bottom, and the back-off between tries. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import orjson

from airflow_provider_lightspeed.client.transport import Reply
from airflow_provider_lightspeed.exceptions import (
    AccessDenied,
    LightspeedError,
    LightspeedRateError,
    RequestRefused,
    ServerFault,
    Unreachable,
)
from airflow_provider_lightspeed.redact import excerpt

#: Seconds: the first back-off's mean, and what none exceeds.
BACKOFF_BASE: Final = 1.0
BACKOFF_CAP: Final = 60.0


class Action(Enum):
    """What follows from a reply."""

    DELIVER = "deliver"
    RETRY = "retry"
    WAIT = "wait"
    REFRESH = "refresh"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Decision:
    """A row of the table: the action, and the error that ends the request if the action is used up.

    :param body: the decoded object, for ``DELIVER``.
    """

    action: Action
    body: dict[str, Any] | None = None
    error: type[LightspeedError] = ServerFault
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Row:
    when: Callable[[int, Any], bool]
    action: Action
    error: type[LightspeedError] = ServerFault
    reason: str = ""


def _says_later(status: int, body: Any) -> bool:
    return status == 400 and isinstance(body, dict) and "try again later" in str(body.get("message", "")).lower()


#: Status and decoded body (``None`` when it is not JSON) decide; the first row that fits wins. Sources: docs
#: introduction/errors, introduction/rate-limiting, authentication/refresh-token; gateways answer with HTML pages, and
#: "Please try again later." comes with status 400 (both seen by other clients).
_TABLE: Final = (
    _Row(lambda status, body: status == 200 and isinstance(body, dict), Action.DELIVER),
    _Row(lambda status, _: status == 200, Action.RETRY, ServerFault, "a body that is cut off or not JSON"),
    _Row(lambda status, _: status == 429, Action.WAIT, LightspeedRateError, "rate limited"),
    _Row(lambda status, _: status == 401, Action.REFRESH, AccessDenied, "the access token was refused"),
    _Row(
        lambda status, _: status == 403, Action.FAIL, AccessDenied, "the scope or the employee's rights do not cover it"
    ),
    _Row(_says_later, Action.RETRY, ServerFault, "asked to try again later"),
    _Row(lambda status, _: status in (408, 425), Action.RETRY, ServerFault, "asked to try again"),
    _Row(lambda status, _: 400 <= status < 500, Action.FAIL, RequestRefused, "refused"),
    _Row(lambda status, _: status >= 500, Action.RETRY, ServerFault, "a fault of the server"),
    _Row(lambda status, _: 300 <= status < 400, Action.FAIL, RequestRefused, "a redirect, which is never followed"),
    _Row(lambda _status, _body: True, Action.RETRY, ServerFault, "an answer without the data asked for"),
)


def decide(reply: Reply | Unreachable) -> Decision:
    """Return the table's verdict on a reply, or on its absence."""
    if isinstance(reply, Unreachable):
        return Decision(Action.RETRY, error=Unreachable, reason=reply.message)
    try:
        body = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        body = None
    row = next(row for row in _TABLE if row.when(reply.status, body))
    return Decision(row.action, body if row.action is Action.DELIVER else None, row.error, _reason(row, reply, body))


def _reason(row: _Row, reply: Reply, body: Any) -> str:
    if row.action is Action.DELIVER:
        return ""
    said = ""
    if isinstance(body, dict):
        said = str(body.get("message") or body.get("hint") or body.get("error_description") or "")
    elif reply.status != 200:
        said = excerpt(reply.body, 120)
    return f"{reply.status}: {row.reason}" + (f" ({excerpt(said)})" if said else "")


def backoff(attempt: int, random: Callable[[], float], *, asked: float | None = None) -> float:
    """Return the seconds before try ``attempt + 1``: exponential with full jitter, never less than the server asked.

    :param attempt: tries so far, from 1.
    :param random: returns a number in [0, 1).
    """
    ceiling = min(BACKOFF_CAP, BACKOFF_BASE * float(2**attempt))
    return max(asked or 0.0, ceiling * (0.5 + random() / 2))
