"""The extract beside the tools a user would pick instead: one simulator, one list, a fresh process for each."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, Final, NamedTuple

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from bench.halves import measured

SALES: Final = 50_000
ROUNDS: Final = 3
SHORT: Final = 20_000
SHORT_ROUNDS: Final = 2


class Contestant(NamedTuple):
    """Who reads the list.

    :ivar half: its name in :mod:`bench.halves`, or its module.
    :ivar environment: folder of its environment below the repository's root; empty for the running one.
    :ivar writes: what is there when it is done.
    """

    half: str
    environment: str
    writes: str


CONTESTANTS: Final = {
    "floor": Contestant("floor", "", "nothing"),
    "ours": Contestant("extract", "", "typed Parquet, lines nested"),
    "pandas": Contestant("bench.rivals.with_pandas", "", "Parquet of strings, lines beside"),
    "dlt": Contestant("bench.rivals.with_dlt", ".venv-rivals-dlt", "Parquet of strings and times, lines beside"),
    "singer": Contestant("bench.rivals.with_singer", ".venv-rivals-singer", "JSON messages"),
    "airbyte": Contestant("bench.rivals.with_airbyte", ".venv-rivals-airbyte", "JSON messages"),
}
RIVALS: Final = ("pandas", "dlt", "singer", "airbyte")


def compare(*, short: bool) -> dict[str, Any]:
    """Measure all contestants.

    Each reads a tenth of the list first and then the whole list: what a run costs before its first row (imports most of
    all) is in both, so the difference tells the price of the rows alone. They take turns for a few rounds and the least
    CPU time counts, since a machine that is busy with other things makes the same work take longer.

    :param short: 20,000 sales in two rounds instead of 50,000 in three; some contestants are slow.
    :returns: figures of each contestant, and how many times as many rows per CPU second the extract reads.
    :raises RuntimeError: if an environment is missing, a contestant fails or has not read every sale and line.
    """
    sales, rounds = (SHORT, SHORT_ROUNDS) if short else (SALES, ROUNDS)
    pythons = {name: python_of(contestant) for name, contestant in CONTESTANTS.items()}
    runs: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {name: [] for name in CONTESTANTS}
    with SimulatorProcess(sales=sales, items=2000, customers=2000, days=365, no_limits=True, grant=True) as simulator:
        simulator.advance(600)
        whole = dict(simulator.facts)
        tenth = {**whole, "filters": {"saleID": f"<=,{sales // 10}"}}
        for name, contestant in list(CONTESTANTS.items()) * rounds:
            with tempfile.TemporaryDirectory() as folder:
                small, large = (
                    measured(contestant.half, facts, f"{folder}/{part}", pythons[name])
                    for part, facts in (("tenth", tenth), ("whole", whole))
                )
            runs[name].append((small, large))
    for i in range(rounds):
        check({name: those[i][1] for name, those in runs.items()}, sales)
    found = {name: figures(CONTESTANTS[name], those) for name, those in runs.items()}
    return {"sales": sales, "contestants": found, "ratios": ratios(found)}


def python_of(contestant: Contestant) -> str:
    """Return the interpreter of a contestant.

    :raises RuntimeError: if its environment is missing.
    """
    if not contestant.environment:
        return sys.executable
    python = Path(contestant.environment, "bin", "python")
    if not python.exists():
        msg = f"{contestant.environment} is missing: `make {contestant.environment}/.ready`, or `make bench`, makes it"
        raise RuntimeError(msg)
    return str(python)


def figures(contestant: Contestant, runs: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """Return the figures of one contestant.

    :param runs: of each round the run over a tenth and the run over everything.
    :returns: those of the whole run that took the least CPU time, and rows per CPU second: of that run, and of what it
        took beyond the least for a tenth. ``cpu_s_of_rounds`` tells how much the machine's other work blurs them.
    """
    small, whole = (min(those, key=lambda run: float(run["cpu_s"])) for those in zip(*runs, strict=True))
    return {
        "writes": contestant.writes,
        **whole,
        "cpu_s_of_rounds": [large["cpu_s"] for _, large in runs],
        "cpu_s_of_a_tenth": small["cpu_s"],
        "peak_mib_of_a_tenth": small["peak_mib"],
        "rows_per_cpu_second": round(whole["rows"] / whole["cpu_s"]),
        "rows_per_added_cpu_second": round((whole["rows"] - small["rows"]) / (whole["cpu_s"] - small["cpu_s"])),
    }


def check(found: dict[str, dict[str, Any]], sales: int) -> None:
    """See that everyone read everything in a round.

    :raises RuntimeError: if someone has not every sale, or not as many lines as the others.
    """
    counts = {name: (those["rows"], those.get("lines")) for name, those in found.items()}
    expected = (sales, found["ours"]["lines"])
    wrong = {name: count for name, count in counts.items() if name != "floor" and count != expected}
    if wrong or counts["floor"][0] != sales:
        msg = f"sales and lines read should be {expected}, but are {counts}"
        raise RuntimeError(msg)


def ratios(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return for both rates how many times that of others ours is."""
    result: dict[str, dict[str, Any]] = {}
    for rate in ("rows_per_cpu_second", "rows_per_added_cpu_second"):
        of = {name: those[rate] for name, those in found.items()}
        fastest, best = max((of[name], name) for name in RIVALS)
        result[rate] = {
            "ours_to_floor": round(of["ours"] / of["floor"], 2),
            "ours_to_best_rival": round(of["ours"] / fastest, 2),
            "best_rival": best,
            "ours_to_dlt": round(of["ours"] / of["dlt"], 2),
        }
    return result
