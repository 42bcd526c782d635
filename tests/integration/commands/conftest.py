"""Fixtures for tests of the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.support.person import Person


@pytest.fixture
def person(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Person, list[str]]]:
    """Return a function that puts a person at standard input; what was printed so far is kept in the list."""

    def make(**options: str) -> tuple[Person, list[str]]:
        heard: list[str] = []

        def printed() -> str:
            out, err = capsys.readouterr()
            heard.extend((out, err))
            return out

        made = Person(printed, **options)
        monkeypatch.setattr(sys, "stdin", made)
        return made, heard

    return make
