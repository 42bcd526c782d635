"""Faults on demand: which request is to fail, and how. No I/O; randomness is an argument."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any


class Action(StrEnum):
    """What happens to a request that a rule picks."""

    STATUS = "status"
    """Answer ``status`` (default 500) with ``body``; without one, an HTML page as gateways send it."""
    HTML = "html"
    """Answer an HTML page with status 200."""
    RESET = "reset"
    """Reset the connection (TCP RST)."""
    TRUNCATE = "truncate"
    """Announce the whole body, send ``bytes`` of it (default half), close the connection."""
    HANG = "hang"
    """Keep silent for ``seconds``, then close the connection."""
    SLOW = "slow"
    """Answer normally after ``seconds``."""
    IGNORE_FILTER = "ignore_filter"
    """Answer as if the filters ``fields`` (default all) had not been sent."""
    UNAUTHORIZED = "unauthorized"
    """401 in the shape of the present OAuth server; ``status: 401`` with a body plays the old one."""
    RATE_LIMITED = "rate_limited"
    """429 without ``Retry-After``."""
    TRY_LATER = "try_later"
    """400 "Please try again later.": seen from the real API, and transient."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule.

    :param action: what happens.
    :param path: regular expression searched in the path with its query; default every path.
    :param method: HTTP method; default any.
    :param nth: first matching request that is hit, counted from 1.
    :param count: how many requests are hit in all; None for no end.
    :param probability: chance of being hit, once ``nth`` is reached.
    :param after: the request is carried out and only its answer suffers; a refresh whose answer is lost, for example.
    :param status: for ``status``; 400 to 599.
    :param body: for ``status`` and ``html``.
    :param content_type: of ``body``.
    :param headers: further headers for ``status``, such as ``Retry-After``.
    :param seconds: for ``hang`` and ``slow``.
    :param bytes: for ``truncate``.
    :param fields: for ``ignore_filter``.
    """

    action: Action
    path: str = ""
    method: str | None = None
    nth: int = 1
    count: int | None = 1
    probability: float = 1.0
    after: bool = False
    status: int = 500
    body: str | None = None
    content_type: str = "text/html; charset=UTF-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 30.0
    bytes: int | None = None
    fields: tuple[str, ...] = ()

    @classmethod
    def parse(cls, rule: Mapping[str, Any]) -> Fault:
        """Read a rule from JSON.

        :raises ValueError: on an unknown key or action, or a path that is no regular expression.
        """
        allowed = {each.name for each in fields(cls)}
        unknown = set(rule) - allowed
        if unknown or "action" not in rule:
            msg = f"a fault needs an action and knows the keys {sorted(allowed)}; found {sorted(rule)}"
            raise ValueError(msg)
        values = dict(rule) | {"action": Action(rule["action"]), "fields": tuple(rule.get("fields", ()))}
        try:
            re.compile(values.get("path", ""))
        except re.error as error:
            msg = f"path {values['path']!r} is no regular expression: {error}"
            raise ValueError(msg) from error
        return cls(**values)

    def matches(self, method: str, target: str) -> bool:
        """Tell whether the rule is about this request; ``target`` is the path with its query."""
        return (self.method is None or self.method == method) and re.search(self.path, target) is not None


@dataclass(slots=True)
class _Armed:
    fault: Fault
    seen: int = 0
    hits: int = 0


class FaultPlan:
    """The rules in force; the first that fires wins, later ones do not count the request.

    :param random: returns a number in [0, 1).
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._armed: list[_Armed] = []

    def add(self, faults: Iterable[Fault]) -> None:
        """Put further rules in force, after the present ones."""
        self._armed += [_Armed(fault) for fault in faults]

    def clear(self) -> None:
        """Drop all rules."""
        self._armed.clear()

    def pick(self, method: str, target: str) -> Fault | None:
        """Count a request and return the fault that hits it, if any."""
        for armed in self._armed:
            fault = armed.fault
            if (fault.count is not None and armed.hits >= fault.count) or not fault.matches(method, target):
                continue
            armed.seen += 1
            if armed.seen >= fault.nth and (fault.probability >= 1 or self._random() < fault.probability):
                armed.hits += 1
                return fault
        return None

    def report(self) -> list[dict[str, Any]]:
        """Return every rule's action, path, matching requests seen and hits."""
        return [
            {"action": each.fault.action, "path": each.fault.path, "seen": each.seen, "hits": each.hits}
            for each in self._armed
        ]
