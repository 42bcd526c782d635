"""How commands print: aligned tables, times, sizes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, right: Collection[str] = ()) -> None:
    """Print a table; columns stand to the left but for those in ``right``.

    Plain text on purpose: it is read by ``grep`` and ``awk`` as much as by people, and is the same in a log.
    """
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        cells = (
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(head, line, widths, strict=True)
        )
        print("  ".join(cells).rstrip())


def instant(moment: datetime | None) -> str:
    """Return a time to the minute, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if moment else "-"


def until(moment: datetime | None, now: datetime | None = None) -> str:
    """Return how long it is until a time, in its greatest unit: ``29 days``, ``5 h``, ``23 min``."""
    if moment is None:
        return "-"
    seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    if seconds <= 0:
        return "over"
    if seconds < 3_600:
        return f"{int(seconds // 60)} min"
    if seconds < 2 * 86_400:
        return f"{int(seconds // 3_600)} h"
    return f"{int(seconds // 86_400)} days"


def size(count: int) -> str:
    """Return a number of bytes in a unit that keeps it short."""
    number, unit = float(count), "B"
    for bigger in ("KiB", "MiB", "GiB", "TiB"):
        if number < 1_024:
            break
        number, unit = number / 1_024, bigger
    return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
