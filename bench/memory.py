"""Peak memory of a very long read, and whether it grows with the rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess

ROWS: Final = 5_000_000
SHORT: Final = 300_000
#: Samples of the resident memory per second.
SAMPLES: Final = 4


def memory(*, short: bool) -> dict[str, Any]:
    """Read millions of sales in a process of its own; peak and growth of its memory.

    :param short: 300,000 rows instead of 5,000,000.
    """
    rows = SHORT if short else ROWS
    with tempfile.TemporaryDirectory() as folder, _served(rows) as url:
        command = [sys.executable, "-m", "bench.memory", url, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def _served(rows: int) -> Iterator[str]:
    with SimulatorProcess(sales=120, items=50, customers=50, days=20, no_limits=True, grant=True) as simulator:
        import requests

        answer = requests.get(
            f"{simulator.base_url}/API/V3/Account/{simulator.account_id}/Sale.json?archived=true&limit=100",
            headers={"Authorization": f"Bearer {simulator.facts['access_token']}"},
            timeout=60,
        )
        page = json.dumps(answer.json()["Sale"])
    server = subprocess.Popen(
        [sys.executable, "-m", "bench.replay", str(rows)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        server.stdin.write(page + "\n")
        server.stdin.flush()
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.stdin.close()
        server.wait(10)


def _resident() -> float:
    """Return this process's resident memory in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _read(url: str, folder: str) -> dict[str, Any]:
    from airflow_provider_lightspeed.extract.plan import Job
    from airflow_provider_lightspeed.extract.run import extract
    from airflow_provider_lightspeed.extract.window import RunFacts
    from airflow_provider_lightspeed.lake.storage import Storage
    from bench.halves import client_of

    samples: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(1 / SAMPLES):
            samples.append(_resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.monotonic()
    client = client_of(url, "x", "1")
    summary = extract(client, Storage.at(folder), Job.of("Sale", mode="full"), RunFacts(), run_key="b", attempt="1")
    seconds = time.monotonic() - began
    over.set()
    watcher.join()
    quarter = max(1, len(samples) // 4)
    second, last = samples[quarter : 2 * quarter], samples[-quarter:]
    return {
        "rows": summary.rows,
        "wall_s": round(seconds, 1),
        "peak_mib": round(max(samples)),
        # The first quarter fills the pools; from then on a flat slope is a ratio of one.
        "last_quarter_to_second": round(max(last) / max(second), 2),
    }


if __name__ == "__main__":
    print(json.dumps(_read(sys.argv[1], sys.argv[2])))
