"""What to do with a reply: one table, read from top to bottom, and the back-off between tries. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from airflow_provider_lightspeed.client.decoding import Undecodable, decode, kind_of
from airflow_provider_lightspeed.client.transport import Reply
from airflow_provider_lightspeed.exceptions import (
    AccessDenied,
    LightspeedError,
    LightspeedRateError,
    RequestRefused,
    ServerFault,
    Unreachable,
)
from airflow_provider_lightspeed.redact import excerpt, scrub

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
    :param is_transient: for ``RETRY``: the fault is worth all tries even if it looks the same each time.
    :param offset: the byte of the body at which decoding failed.
    :param said: the server's own words, whole but without secrets.
    """

    action: Action
    body: dict[str, Any] | None = None
    error: type[LightspeedError] = ServerFault
    reason: str = ""
    is_transient: bool = False
    offset: int | None = None
    said: str = ""


@dataclass(frozen=True, slots=True)
class _Row:
    when: Callable[[int, Any], bool]
    action: Action
    error: type[LightspeedError] = ServerFault
    reason: str = ""
    is_transient: bool = False


#: Statuses of gateways and load balancers, Cloudflare's among them: the API itself was not reached, or not in time.
GATEWAY: Final = frozenset({502, 503, 504, 520, 521, 522, 523, 524, 530})
#: Words of a dead token, under 401 and 403 alike (A1 in docs/live.md).
_DEAD_TOKEN: Final = re.compile(r"\b(revoked|expired)\b|could not be verified", re.IGNORECASE)
#: Where a body says what is wrong: the API's shape, then the OAuth server's.
_WORDS: Final = ("message", "error_description", "hint")


def _said(body: Any) -> str:
    return " ".join(str(body[key]) for key in _WORDS if body.get(key)) if isinstance(body, dict) else ""


def _says_later(status: int, body: Any) -> bool:
    return status == 400 and "try again later" in _said(body).lower()


def _is_dead_token(status: int, body: Any) -> bool:
    return status == 401 or (status == 403 and _DEAD_TOKEN.search(_said(body)) is not None)


#: Status and decoded body (``None`` when it is not JSON) decide; the first row that fits wins. Sources: docs
#: introduction/errors, introduction/rate-limiting, authentication/refresh-token; A1, A2 and A12 in docs/live.md; gateways
#: answer with HTML pages (seen by other clients).
_TABLE: Final = (
    _Row(lambda status, body: status == 200 and isinstance(body, dict), Action.DELIVER),
    _Row(lambda status, _: status == 200, Action.RETRY),
    _Row(lambda status, _: status == 429, Action.WAIT, LightspeedRateError, "rate limited"),
    _Row(_is_dead_token, Action.REFRESH, AccessDenied, "the access token was refused"),
    _Row(
        lambda status, _: status == 403, Action.FAIL, AccessDenied, "the scope or the employee's rights do not cover it"
    ),
    _Row(_says_later, Action.RETRY, ServerFault, "asked to try again later", is_transient=True),
    _Row(lambda status, _: status in (408, 425), Action.RETRY, ServerFault, "asked to try again", is_transient=True),
    _Row(lambda status, _: 400 <= status < 500, Action.FAIL, RequestRefused, "refused"),
    _Row(lambda status, _: status in GATEWAY, Action.RETRY, ServerFault, "a gateway's fault", is_transient=True),
    _Row(lambda status, _: status >= 500, Action.RETRY, ServerFault, "a fault of the server"),
    _Row(lambda status, _: 300 <= status < 400, Action.FAIL, RequestRefused, "a redirect, which is never followed"),
    _Row(lambda _status, _body: True, Action.RETRY, ServerFault, "an answer without the data asked for"),
)


def decide(reply: Reply | Unreachable) -> Decision:
    """Return the table's verdict on a reply, or on its absence."""
    if isinstance(reply, Unreachable):
        return Decision(Action.RETRY, error=Unreachable, reason=reply.message, is_transient=True)
    body, problem = None, None
    try:
        body = decode(reply.body)
    except Undecodable as error:
        problem = error
    row = next(row for row in _TABLE if row.when(reply.status, body))
    if row.action is Action.DELIVER:
        return Decision(row.action, body)
    offset = problem.offset if problem and reply.status == 200 else None
    return Decision(
        row.action, None, row.error, _reason(row, reply, body, problem), row.is_transient, offset, scrub(_said(body))
    )


def _reason(row: _Row, reply: Reply, body: Any, problem: Undecodable | None) -> str:
    if reply.status == 200:
        return f"200: {problem.reason if problem else f'the body is {kind_of(body)} where an object belongs'}"
    said = _said(body) or ("" if isinstance(body, dict) else excerpt(reply.body, 120))
    return f"{reply.status}: {row.reason}" + (f" ({excerpt(said)})" if said else "")


def backoff(attempt: int, random: Callable[[], float], *, asked: float | None = None) -> float:
    """Return the seconds before try ``attempt + 1``: exponential with full jitter, never less than the server asked.

    :param attempt: tries so far, from 1.
    :param random: returns a number in [0, 1).
    """
    ceiling = min(BACKOFF_CAP, BACKOFF_BASE * float(2**attempt))
    return max(asked or 0.0, ceiling * (0.5 + random() / 2))
