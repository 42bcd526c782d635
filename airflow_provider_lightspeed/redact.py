"""Secrets that do not print, and a scrubber for text that may hold one."""

from __future__ import annotations

import hashlib
import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any, Final, NoReturn, ParamSpec, TypeVar

MASK: Final = "***"
#: Begins the note of an exception whose frames were cut off.
_NOTE: Final = "Raised at, outermost first:"
#: Frames of a traceback that the description of a fault names.
_FRAMES: Final = 6

P = ParamSpec("P")
R = TypeVar("R")

_JWT = re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+")
_PAIR = re.compile(
    r"""(?ix)
    (["']?\b(?:access_token|refresh_token|client_secret|code|code_verifier|state|password|authorization)\b["']?
     \s*[:=]\s*["']?)
    ([^"'&\s,}]+)
    """
)


class Secret:
    """A piece of text that shows itself only when asked by name.

    ``str``, ``repr``, ``format`` and tracebacks show ``***``; pickling and JSON refuse. Equality and hash work on
    the value, so that two tokens can be compared without revealing them.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text itself. Every call is a place to review."""
        return self._value

    def fingerprint(self) -> str:
        """Return the SHA-256 of the text in hex: names a token without being one."""
        return hashlib.sha256(self._value.encode()).hexdigest()

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __reduce__(self) -> NoReturn:
        msg = "a Secret cannot be pickled: pass the connection id instead and read the token where it is needed"
        raise TypeError(msg)


def scrub(text: str, secrets: Iterable[Secret] = ()) -> str:
    """Return ``text`` with the given secrets, JWTs, authorization headers and ``token=...`` pairs replaced by ``***``."""
    for secret in secrets:
        if secret:
            text = text.replace(secret.reveal(), MASK)
    text = _JWT.sub(MASK, text)
    text = _BEARER.sub(lambda match: f"{match[1]} {MASK}", text)
    return _PAIR.sub(lambda match: f"{match[1]}{MASK}", text)


def describe_fault(error: BaseException) -> str:
    """Return the type of an unexpected error and where it was raised, without its text: that may quote a secret.

    :return: such as ``TypeError (tokens/home.py:41 settings_of < plugin/routes.py:60 look)``, innermost first.
    """
    places = _sealed_places(error)[::-1] + _places(error)[::-1]
    shown = " < ".join(places[:_FRAMES])
    return f"{type(error).__name__} ({shown})" if shown else type(error).__name__


def _places(error: BaseException) -> list[str]:
    """Return where an exception came through, outermost first; the lines themselves may quote a secret."""
    stack = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), lookup_lines=False)
    return [
        f"{'/'.join(each.filename.split('/')[-2:])}:{each.lineno} {each.name}"
        for each in stack
        if each.filename != __file__
    ]


def _sealed_places(error: BaseException) -> list[str]:
    """Return where it came through before its frames were cut off."""
    notes = [note for note in getattr(error, "__notes__", ()) if note.startswith(_NOTE)]
    return [line.strip() for note in reversed(notes) for line in note.splitlines()[1:]]


def excerpt(body: bytes | str, limit: int = 300) -> str:
    """Return the scrubbed start of a reply's body for an error message, at most ``limit`` characters."""
    text: Any = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    text = " ".join(scrub(text).split())
    return text if len(text) <= limit else f"{text[:limit]}..."


def sealed(function: Callable[P, R]) -> Callable[P, R]:
    """Let no frame of ``function`` leave it in an exception: their local variables hold secrets.

    Error reporters send the locals of all frames, those of ``http.client`` with a request's bytes included. What is cut
    off stays as text, in a note of the exception: files, lines and functions.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - it is raised again
            del args, kwargs
            raise without_frames(error)  # noqa: B904 - it is the same exception

    return call


def without_frames(error: BaseException) -> BaseException:
    """Return the exception without its frames and those of the exceptions that led to it."""
    for link in _chain(error):
        places = _places(link)
        if len(places) > 1:  # more than the sealed function itself
            link.add_note("\n  ".join((_NOTE, *places)))
        link.__traceback__ = None
    return error


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those that led to it, each once."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
