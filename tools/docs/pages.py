"""Writes the generated pages into the sources of the site. A page that has not changed keeps its time, so it is not built anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tools.docs import dictionary, reference, troubleshooting


def generated() -> Iterator[tuple[str, str]]:
    """Yield every generated page: its path below ``docs/generated``, and its text."""
    yield from reference.pages()
    yield from dictionary.pages()
    yield from troubleshooting.pages()


def write(folder: Path) -> None:
    """Make the folder hold the generated pages and nothing else."""
    wanted = {folder / path: text for path, text in generated()}
    for path in (found for found in folder.rglob("*") if found.is_file() and found not in wanted):
        path.unlink()
    for path, text in wanted.items():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
