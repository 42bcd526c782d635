"""Small pieces of MyST Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a bar or a line break inside a cell does not end it."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def code(text: object) -> str:
    """Return the text as code."""
    return f"`{text}`"


def prose(text: str) -> str:
    """Return reStructuredText's double backquotes as Markdown's single ones."""
    return text.replace("``", "`")


def toctree(names: Iterable[str], *, options: str = ":maxdepth: 1") -> str:
    """Return a list of pages."""
    return "\n".join(["```{toctree}", options, "", *names, "```", ""])
