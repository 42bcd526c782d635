"""Run the soak and print its figures as JSON; exit status 1 if one of them is not what was promised."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from soak import kills, load
from soak.report import SHORT, WHOLE, Size

Scenario = Callable[[Size, Path], dict[str, Any]]


def scenarios() -> dict[str, Scenario]:
    """Return what can be proved on the installed Airflow."""
    found: dict[str, Scenario] = {"storm": load.storms, "bad days": load.bad_days, "kills": kills.kills}
    if AIRFLOW.startswith("3."):
        from soak import week, whole

        found |= {"whole storm": whole.storms, "one API server": whole.one_api_server, "week": week.weeks}
    return found


AIRFLOW: Final = importlib.metadata.version("apache-airflow")


def failures(report: Any, path: str = "") -> Iterator[str]:
    """Yield where the report says that something is not ok."""
    if isinstance(report, dict):
        if report.get("ok") is False:
            yield path
        for name, part in report.items():
            yield from failures(part, f"{path} / {name}".strip(" /"))


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few minutes of everything")
    parser.add_argument("--only", action="append", choices=list(scenarios()), help="one scenario; may be repeated")
    arguments = parser.parse_args()
    size = SHORT if arguments.short else WHOLE
    report: dict[str, Any] = {"airflow": AIRFLOW}
    for name, run in scenarios().items():
        if arguments.only and name not in arguments.only:
            continue
        print(f"{name} ...", file=sys.stderr, flush=True)
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            try:
                report[name] = run(size, Path(folder)) | {"took_s": round(time.monotonic() - began)}
            except Exception as error:  # noqa: BLE001 - the other figures are not lost
                traceback.print_exc()
                report[name] = {"ok": False, "error": f"{type(error).__name__}: {error}"[:300]}
    print(json.dumps(report, indent=2))
    missed = list(failures(report))
    for path in missed:
        print(f"not as promised: {path}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
