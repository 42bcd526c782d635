"""Busy weeks: incremental extracts merge to the truth, whatever happens to the shop, the runs and the clocks.

``python -m soak.week --seed 7 --days 2`` runs one and prints the account of every record that is wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from airflow_provider_lightspeed.lake.storage import Storage
from soak.report import Size
from tests.support.busy_week.shop import RESOURCES
from tests.support.busy_week.week import LIVE, Plan, Report, Week

#: Accounts that are printed of each rule and seed.
MOST_ACCOUNTS = 2
#: Weeks at a time; each is one process that computes all the time.
PROCESSES = 2


def weeks(size: Size, folder: Path) -> dict[str, Any]:
    """Run a week of each seed, half of them as the live API behaves."""
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        reports = list(pool.map(partial(_half_live, size.week_days, folder), range(1, size.weeks + 1)))
    ended, broken = Counter[str](), Counter[str]()
    for report in reports:
        ended.update(report.ended)
        broken.update(f"{each.rule.name} {each.name}" for each in report.violations)
        tell(report, sys.stderr)
    return {
        "weeks": size.weeks,
        "days": size.week_days,
        "deeds": sum(report.deeds for report in reports),
        "tries": dict(ended),
        "checks": sum(report.checks for report in reports),
        "slowest_s": round(max(report.seconds for report in reports)),
        "broken": dict(broken),
        "ok": not broken and ended["published"] > 0,
    }


def _half_live(days: float, folder: Path, seed: int) -> Report:
    """Run two weeks in four as the live API behaves: one on a disk, one in memory."""
    return _week(Plan(days=days, live=LIVE if seed % 4 in (2, 3) else "none"), folder, seed)


def _week(plan: Plan, folder: Path, seed: int) -> Report:
    """Run one, every other on a disk; the rest in memory, which takes files as object stores do."""
    place = str(folder / str(seed)) if seed % 2 == 0 else f"memory://week-{seed}"
    return Week(seed, Storage.at(place), plan).run()


def tell(report: Report, out: Any, most: int = MOST_ACCOUNTS) -> None:
    """Print the first accounts of each rule that was broken."""
    told = Counter[str]()
    for violation, account in zip(report.violations, report.accounts, strict=True):
        told[violation.rule] += 1
        if told[violation.rule] <= most:
            print(account, file=out, flush=True)


def main() -> int:
    """Run weeks and tell what is wrong."""
    whole = Plan()
    parser = argparse.ArgumentParser(prog="python -m soak.week", description=__doc__)
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--days", type=float, default=whole.days)
    parser.add_argument("--only", action="append", choices=RESOURCES, help="extract this resource; may be repeated")
    parser.add_argument("--without", action="append", default=[], choices=["clears", "fulls", "sweeps", "zombies"])
    parser.add_argument(
        "--live", nargs="?", const=LIVE, default=whole.live, metavar="SWITCHES", help=f"live behaviours; alone: {LIVE}"
    )
    parser.add_argument("--most", type=int, default=MOST_ACCOUNTS, help="accounts of each rule")
    arguments = parser.parse_args()
    plan = Plan(
        days=arguments.days,
        resources=tuple(arguments.only or RESOURCES),
        live=arguments.live,
        **dict.fromkeys(arguments.without, False),
    )
    broken = 0
    for seed in arguments.seed or [1]:
        with tempfile.TemporaryDirectory(prefix="week-") as folder:
            report = _week(plan, Path(folder), seed)
        counts = dict(Counter(f"{each.rule.name} {each.name}" for each in report.violations))
        print(
            f"seed {seed}: {report.deeds} deeds, {report.checks} checks, {dict(report.ended)}, {report.seconds:.0f} s: {counts}"
        )
        tell(report, sys.stdout, arguments.most)
        broken += len(report.violations)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
