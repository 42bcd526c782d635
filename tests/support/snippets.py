"""The fenced blocks of the docs: found, told apart, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
#: Everything that a reader may copy from. Pages below ``docs/generated`` are made from what these tests call.
PAGES: Final = tuple(
    sorted(
        path
        for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
        if "generated" not in path.relative_to(ROOT).parts
    )
)
_FENCE: Final = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>[a-z0-9_+-]*)[^\n]*\n(?P<text>.*?)^ *(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)
#: Stands on the line before a block that no test runs, and tells why.
_NOT_RUN: Final = re.compile(r"<!-- not run:\s*(?P<reason>.*?)\s*-->\s*\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    :param line: of the first line inside it.
    :param not_run: why no test runs it; ``None``: one does.
    """

    page: str
    line: int
    language: str
    text: str
    not_run: str | None = None

    def __str__(self) -> str:
        """Return where it stands."""
        return f"{self.page}:{self.line}"


def blocks_of(page: str, text: str) -> Iterator[Block]:
    """Yield the blocks of a page."""
    for found in _FENCE.finditer(text):
        mark = _NOT_RUN.search(text[: found.start()])
        inside = re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE)
        line = text.count("\n", 0, found.start("text")) + 1
        yield Block(page, line, found["language"], inside, mark["reason"] if mark else None)


def blocks(*languages: str) -> list[Block]:
    """Return the blocks of all pages that are in one of the languages, those that are not run included."""
    found = (block for page in PAGES for block in blocks_of(str(page.relative_to(ROOT)), page.read_text()))
    return [block for block in found if block.language in languages]


def commands_of(block: Block) -> list[str]:
    """Return the commands of a shell block, one a line: in a ``console`` block what follows the prompt, else everything."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def words_of(command: str) -> list[list[str]]:
    """Return the words of each program that a command runs, without comments and redirections."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    programs: list[list[str]] = [[]]
    words = iter(lexer)
    for word in words:
        if set(word) <= set("|&;()"):
            programs.append([])
        elif set(word) <= set("<>&"):
            next(words, None)
        else:
            programs[-1].append(word)
    return [program for program in programs if program]
