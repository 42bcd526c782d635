"""Shows a read while it runs, on standard error: a bar on a terminal, now and then a line elsewhere.

Standard output stays free for the result, so that a program can read it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from airflow_provider_lightspeed.extract.summary import Paced, Progress

#: Seconds between two lines where nobody watches.
LINE_SECONDS: Final = 30.0

Watch = Callable[[Progress], None]


@contextmanager
def progress_of(resource: str, *, is_quiet: bool) -> Iterator[Watch]:
    """Show what the block reports.

    :param is_quiet: show nothing; warnings appear nonetheless.
    """
    with _log(logging.WARNING if is_quiet else logging.INFO):
        if is_quiet:
            yield lambda _: None
        elif sys.stderr.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown"):
            with Bar(resource) as bar:
                yield bar
        else:
            yield Paced(lambda progress: print(line(resource, progress), file=sys.stderr), every=LINE_SECONDS)


def facts(progress: Progress) -> str:
    """Return what is known for certain."""
    return (
        f"{progress.rows:,} rows, {progress.requests:,} requests, {progress.rows_per_second:,.0f} rows/s, "
        f"bucket {progress.bucket_level:.0f}/{progress.bucket_size:.0f}, {progress.drip_rate:g} drips/s"
    )


def share(progress: Progress) -> str:
    """Return the estimated share that is done, marked as an estimate, ``-`` while unknown."""
    if progress.done is None:
        return "-"
    return f"{'~' if progress.done < 1 else ''}{int(100 * progress.done)} %"


def eta(progress: Progress) -> str:
    """Return the estimated time left, marked as an estimate, ``-`` while unknown."""
    left = progress.seconds_left
    return "-" if left is None else f"{'~' if left else ''}{timedelta(seconds=round(left))}"


def line(resource: str, progress: Progress) -> str:
    """Return all of it as one line."""
    return f"{resource}: {facts(progress)}, done {share(progress)}, ETA {eta(progress)}"


class Bar:
    """A bar with a line of facts below it, on standard error; gone when it is left. Log lines scroll above it."""

    def __init__(self, resource: str) -> None:
        self._progress = _WithFacts(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[share]:>5}", markup=False),
            TimeElapsedColumn(),
            TextColumn("ETA {task.fields[eta]:<8}", markup=False),
            console=Console(stderr=True, force_terminal=True),
            transient=True,
            redirect_stdout=False,
            expand=True,
        )
        # No total is a bar that only shows that something moves: nothing is known yet.
        self._task = self._progress.add_task(resource, total=None, share="-", eta="-", facts="")

    def __call__(self, progress: Progress) -> None:
        """Show one progress."""
        self._progress.update(
            self._task,
            total=None if progress.done is None else 1.0,
            completed=progress.done or 0.0,
            share=share(progress),
            eta=eta(progress),
            facts=facts(progress),
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


class _WithFacts(RichProgress):
    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            yield Padding(Text(task.fields["facts"], style="dim", overflow="ellipsis", no_wrap=True), (0, 0, 0, 2))


class _Stderr(logging.Handler):
    """Writes to what standard error is at that moment: a live bar puts itself in between."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


@contextmanager
def _log(level: int) -> Iterator[None]:
    """Send this package's log to standard error while the block runs: Airflow's own handlers write to standard output."""
    logger = logging.getLogger(__package__.partition(".")[0])
    handler, before = _Stderr(), (logger.level, logger.propagate)
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
