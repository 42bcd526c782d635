"""How the parts of a soak run: one after another, or side by side."""

from __future__ import annotations

import importlib.metadata
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

AIRFLOW: Final = importlib.metadata.version("apache-airflow")
Report = dict[str, Any]
#: A part by its name, which is unique: its connection has the same name.
Parts = Mapping[str, Callable[[], Report]]


def run_parts(parts: Parts, *, side_by_side: bool) -> Report:
    """Run all parts, print a line at the end of each, and return what each reports.

    A part that fails costs the others nothing.
    """
    with ThreadPoolExecutor(len(parts) if side_by_side else 1) as pool:
        running = {name: pool.submit(_run_part, name, run) for name, run in parts.items()}
        return {name: future.result() for name, future in running.items()}


def _run_part(name: str, run: Callable[[], Report]) -> Report:
    began = time.monotonic()
    try:
        report = run()
    except Exception as error:  # noqa: BLE001 - the other figures are not lost
        traceback.print_exc()
        report = {"ok": False, "error": f"{type(error).__name__}: {error}"[:300]}
    took = round(time.monotonic() - began)
    is_ok = next(failures(report), None) is None
    print(f"Airflow {AIRFLOW}: {took:4d} s  {'ok' if is_ok else 'not ok'}: {name}", file=sys.stderr, flush=True)
    return report | {"took_s": took}


def failures(report: Any, path: str = "") -> Iterator[str]:
    """Yield where the report says that something is not ok."""
    if isinstance(report, dict):
        if report.get("ok") is False:
            yield path
        for name, part in report.items():
            yield from failures(part, f"{path} / {name}".strip(" /"))


def conn_id_of(name: str) -> str:
    """Return the ID of a part's connection."""
    return "".join(each if each.isalnum() else "_" for each in name)
