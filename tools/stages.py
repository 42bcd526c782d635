"""Runs Makefile targets as stages: several at a time, a line for each, and at the end what passed and what was skipped.

python -m tools.stages --title Tests --at-a-time 2 test-unit test-system ...

Each stage's output goes to a file of its own. A stage that fails ends no other one; its last lines are printed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
LOGS: Final = ROOT / "artifacts" / "stages"
#: Lines of a failed stage's output that are printed.
TAIL: Final = 60

#: The closing line of pytest, with ``-q`` or without.
_CLOSING: Final = re.compile(r"^=* ?((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s.*$", re.MULTILINE)
_COUNT: Final = re.compile(r"(\d+) (passed|failed|skipped|errors?|xfailed|xpassed|deselected|rerun)")
#: A line of pytest's short summary: how many tests were skipped, where, and why.
_SKIPPED: Final = re.compile(r"^SKIPPED \[(\d+)\] (.*?): (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Result:
    """How a stage ended.

    :param status: the exit status of ``make``.
    :param seconds: wall time.
    :param counts: tests by outcome, empty for a stage that runs none.
    :param skipped: the reasons of skipped tests, with how many each of them concerns.
    """

    name: str
    status: int
    seconds: float
    counts: Counter[str]
    skipped: Counter[str]
    log: Path

    def line(self, width: int) -> str:
        """Return the line that tells of it."""
        outcome = "ok" if self.status == 0 else f"FAILED (status {self.status})"
        counted = ", ".join(f"{count} {what}" for what, count in self.counts.items())
        return f"  {self.name:<{width}} {self.seconds:6.0f} s  {outcome}{f': {counted}' if counted else ''}"


def run(target: str) -> Result:
    """Run ``make TARGET`` to its end."""
    log = LOGS / f"{target}.log"
    began = time.monotonic()
    with log.open("wb") as out:
        status = subprocess.run(
            ["make", "--no-print-directory", target],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    counts, skipped = read(log.read_text(errors="replace"))
    return Result(target, status, time.monotonic() - began, counts, skipped, log)


def read(output: str) -> tuple[Counter[str], Counter[str]]:
    """Return the counts of tests by outcome, and of skipped ones by reason, that a stage's output names."""
    counts, skipped = Counter[str](), Counter[str]()
    for closing in _CLOSING.finditer(output):
        for count, what in _COUNT.findall(closing[1]):
            counts[what] += int(count)
    for count, where, why in _SKIPPED.findall(output):
        skipped[f"{re.sub(r':[0-9]+$', '', where)}: {why}"] += int(count)
    counts.pop("deselected", None)  # they run in another stage
    return counts, skipped


def tail(log: Path) -> Iterator[str]:
    """Yield the last lines of a stage's output."""
    for line in log.read_text(errors="replace").splitlines()[-TAIL:]:
        yield f"    | {line}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stages and return 1 if one of them failed, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tools.stages", description=__doc__)
    parser.add_argument(
        "targets", nargs="+", metavar="TARGET", help="of the Makefile; the first ones are started first"
    )
    parser.add_argument("--at-a-time", type=int, default=2, metavar="N", help="stages that run at the same time")
    options = parser.parse_args(arguments)
    LOGS.mkdir(parents=True, exist_ok=True)
    began, width = time.monotonic(), max(map(len, options.targets))
    results, printing = list[Result](), threading.Lock()
    with ThreadPoolExecutor(options.at_a_time) as pool:
        for future in as_completed([pool.submit(run, target) for target in options.targets]):
            result = future.result()
            results.append(result)
            with printing:
                print(result.line(width), flush=True)
                if result.status:
                    print("\n".join(tail(result.log)), flush=True)
    return conclude(results, time.monotonic() - began)


def conclude(results: Sequence[Result], seconds: float) -> int:
    """Print what passed, what was skipped and why, and what failed; return the exit status."""
    counts, skipped = Counter[str](), Counter[str]()
    for result in results:
        counts += result.counts
        skipped += result.skipped
    failed = [result for result in results if result.status]
    print(f"\n{len(results)} stages in {seconds:.0f} s; their output is in {LOGS.relative_to(ROOT)}/")
    for reason, count in sorted(skipped.items()):
        print(f"  skipped {count}: {reason}")
    for result in failed:
        print(f"  failed: make {result.name}")
    broken = counts["failed"] + counts["error"] + counts["errors"] + sum(not result.counts for result in failed)
    print(f"{counts['passed']} passed, {broken} failed, {counts['skipped']} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
