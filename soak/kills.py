"""Processes that refresh, killed at random with ``kill -9``: afterwards the grant must still work.

Each process does what an API server, a 2.11 task and the CLI do: reads the ledger, refreshes what is stale through the
locked refresh, and uses the token. One parent per run imports Airflow once and forks them, so that hundreds of kills
take minutes.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from soak.load import SHOP
from soak.report import Size, percentile
from tools.deployment import deployed

#: Rotation profiles of the server, and whether a lost answer can be repeated under them.
PROFILES: Final[dict[str, tuple[dict[str, str], bool]]] = {
    "siblings live": ({"rotation": "deferred", "siblings": "live"}, True),
    "siblings die": ({"rotation": "deferred", "siblings": "die"}, True),
    "only the last issued lives": ({"rotation": "deferred", "siblings": "last"}, True),
    "reuse kills the family": ({"rotation": "deferred", "siblings": "reuse-kills"}, True),
    "immediate": ({"rotation": "immediate", "siblings": "live"}, False),
    "immediate, reuse kills the family": ({"rotation": "immediate", "siblings": "reuse-kills"}, False),
}
PROCESSES: Final = 6
CONN: Final = "lightspeed_default"


def kills(size: Size, folder: Path) -> dict[str, Any]:
    """Kill processes under each profile; where a profile makes it possible, no grant may be lost."""
    report: dict[str, Any] = {}
    with deployed(size.databases[-1], folder) as deployment:
        for name, (options, possible) in PROFILES.items():
            with SimulatorProcess(
                **SHOP, token_life=1, latency_ms=5, refreshes_per_minute=1_000_000, **options
            ) as simulator:
                simulator.faults({"action": "slow", "path": "/oauth/token", "seconds": 0.02, "count": None})
                deployment.connect(simulator)
                done = subprocess.run(
                    [sys.executable, "-m", "soak.kills", str(size.kills), simulator.base_url],
                    env=deployment.environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, done.stderr[-3000:]
                found = json.loads(done.stdout.splitlines()[-1])
                found["refreshes"] = int(simulator.counters().get("refreshes", 0))
                report[name] = found | {"ok": found["lost_grants"] == 0 if possible else True}
            deployment.forget()
    return report


def _child(report: int) -> None:
    """Refresh and use the token for ever; write a line per refresh with the window's width, or that the grant is lost."""
    from airflow import settings

    from airflow_provider_lightspeed.client.transport import Request, RequestsTransport
    from airflow_provider_lightspeed.exceptions import LightspeedError
    from airflow_provider_lightspeed.tokens.refresh import Refresher, default_exchange
    from airflow_provider_lightspeed.tokens.source import DatabaseDesk, LedgerTokenSource

    settings.engine.dispose(close=False)  # the parent's connections are the parent's
    exchange, api, answered = default_exchange(), RequestsTransport(), [0.0]

    def timed(request: Any) -> Any:
        reply = exchange(request)
        answered[0] = time.monotonic()
        return reply

    desk = DatabaseDesk(CONN, refresher=Refresher(timed, attempts_per_minute=1_000_000))
    host = desk.look().settings.host
    while True:
        try:
            answered[0] = 0.0
            token = LedgerTokenSource(desk, mask=lambda _: None, patience=30).token()
            if answered[0]:
                os.write(report, f"{time.monotonic() - answered[0]:.6f}\n".encode())
            headers = {"Authorization": f"Bearer {token.access_token.reveal()}"}
            api.send(Request("GET", f"{host}/API/V3/Account.json", headers))
        except LightspeedError as error:
            os.write(report, f"{type(error).__name__}\n".encode())
            time.sleep(0.2)


def _fork(report: int) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            _child(report)
        finally:
            os._exit(1)
    return pid


def _reseed(base_url: str) -> None:
    """A person reconnects: a new grant's refresh token goes into the connection."""
    import requests
    from airflow.models.connection import Connection

    from airflow_provider_lightspeed.compat import new_session

    seed = requests.post(f"{base_url}/_sim/grants", json={}, timeout=30).json()["refresh_token"]
    session = new_session()
    row = session.query(Connection).filter(Connection.conn_id == CONN).one()
    row.set_extra(json.dumps({**json.loads(row.extra), "refresh_token": seed}))
    session.commit()
    session.close()


def main(count: int, base_url: str) -> None:
    """Kill so many processes at random moments, then see whether a fresh one gets a token; print the figures."""
    import airflow_provider_lightspeed.tokens.refresh  # noqa: F401 - imported once, before the forks

    chance = random.Random(count)  # noqa: S311 - when to kill is no secret
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    running = [_fork(writing) for _ in range(PROCESSES)]
    windows: list[float] = []
    lost, text = 0, ""
    for _ in range(count):
        time.sleep(chance.uniform(0.02, 0.25))
        victim = running.pop(chance.randrange(len(running)))
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        with contextlib.suppress(BlockingIOError):
            text += os.read(reading, 65536).decode()
        *lines, text = text.split("\n")
        windows += [float(line) for line in lines if line[0].isdigit()]
        if "ReconnectRequired" in lines:
            lost += 1
            _reseed(base_url)
            time.sleep(1.0)  # until everybody has seen it
            while True:
                try:
                    os.read(reading, 65536)
                except BlockingIOError:
                    break
            text = ""
        running.append(_fork(writing))
    for pid in running:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    print(json.dumps({"kills": count, "lost_grants": lost + (not _works()), **_widths(windows)}))


def _works() -> bool:
    from airflow import settings

    from airflow_provider_lightspeed.exceptions import LightspeedError
    from airflow_provider_lightspeed.tokens.refresh import Refresher
    from airflow_provider_lightspeed.tokens.source import DatabaseDesk, LedgerTokenSource

    settings.engine.dispose()
    time.sleep(1.1)  # the token is stale: it takes a grant
    desk = DatabaseDesk(CONN, refresher=Refresher(attempts_per_minute=1_000_000))
    try:
        LedgerTokenSource(desk, mask=lambda _: None, patience=60).token()
    except LightspeedError:
        return False
    return True


def _widths(windows: list[float]) -> dict[str, Any]:
    if not windows:
        return {"answered": 0}
    return {
        "answered": len(windows),
        "window_ms_median": round(percentile(windows, 0.5) * 1000, 1),
        "window_ms_p99": round(percentile(windows, 0.99) * 1000, 1),
    }


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
