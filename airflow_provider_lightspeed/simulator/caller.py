"""Who asks: what a grant says of an API request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The grant behind a request.

    :param scope: of its token.
    :param employee_id: who consented.
    """

    scope: tuple[str, ...] = ("employee:all",)
    employee_id: str = "1"
