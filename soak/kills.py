"""Processes that refresh, killed at random with ``kill -9``: afterwards the grant must still work.

Each process does what an API server, a 2.11 task and the CLI do: reads the ledger, refreshes what is stale through the
locked refresh, and uses the token. They are forked from a process that has imported Airflow, so that hundreds of kills
take minutes.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from soak.load import SHOP
from soak.parts import Parts, Report, conn_id_of, run_parts
from soak.report import Size, percentile
from tools.deployment import Deployment, deployed

#: Rotation profiles of the server, and whether a lost answer can be repeated under them.
PROFILES: Final[dict[str, tuple[dict[str, str], bool]]] = {
    "siblings live": ({"rotation": "deferred", "siblings": "live"}, True),
    "siblings die": ({"rotation": "deferred", "siblings": "die"}, True),
    "only the last issued lives": ({"rotation": "deferred", "siblings": "last"}, True),
    "reuse kills the family": ({"rotation": "deferred", "siblings": "reuse-kills"}, True),
    "immediate": ({"rotation": "immediate", "siblings": "live"}, False),
    "immediate, reuse kills the family": ({"rotation": "immediate", "siblings": "reuse-kills"}, False),
}


def kills(size: Size, folder: Path) -> Report:
    """Kill processes under each profile; where a profile makes it possible, no grant may be lost."""
    with deployed(size.databases[-1], folder) as deployment:
        return run_parts(kill_parts(size, deployment), side_by_side=False)


def kill_parts(size: Size, deployment: Deployment) -> Parts:
    """Return the kills of each profile."""
    return {name: partial(_kills, name, size, deployment) for name in PROFILES}


def _kills(name: str, size: Size, deployment: Deployment) -> Report:
    options, possible = PROFILES[name]
    with SimulatorProcess(**SHOP, token_life=1, latency_ms=5, refreshes_per_minute=1_000_000, **options) as simulator:
        simulator.faults({"action": "slow", "path": "/oauth/token", "seconds": 0.02, "count": None})
        deployment.connect(simulator, conn_id_of(name))
        count, processes = str(size.kills), str(size.refreshers)
        printed = deployment.run("-m", "soak.kills", conn_id_of(name), simulator.base_url, count, processes)
        found: Report = json.loads(printed.splitlines()[-1])
        found["refreshes"] = int(simulator.counters().get("refreshes", 0))
    return found | {"ok": found["lost_grants"] == 0 if possible else True}


def _source(conn_id: str, exchange: Any = None) -> Any:
    from airflow_provider_lightspeed.tokens.refresh import Refresher
    from airflow_provider_lightspeed.tokens.source import DatabaseDesk, LedgerTokenSource

    desk = DatabaseDesk(conn_id, refresher=Refresher(exchange, attempts_per_minute=1_000_000))
    return LedgerTokenSource(desk, mask=lambda _: None, patience=60)


def _child(report: int, conn_id: str, host: str) -> None:
    """Refresh and use the token for ever; report each grant sent, each window's width, and that the grant is lost."""
    from airflow_provider_lightspeed.client.transport import Request, RequestsTransport
    from airflow_provider_lightspeed.exceptions import LightspeedError
    from airflow_provider_lightspeed.tokens.refresh import default_exchange

    _drop_connections(close=False)  # the parent's connections are the parent's
    exchange, api, answered = default_exchange(), RequestsTransport(), [0.0]

    def watched(request: Any) -> Any:
        os.write(report, f"sent {os.getpid()}\n".encode())
        reply = exchange(request)
        answered[0] = time.monotonic()
        return reply

    while True:
        try:
            answered[0] = 0.0
            token = _source(conn_id, watched).token()
            if answered[0]:
                os.write(report, f"window {time.monotonic() - answered[0]:.6f}\n".encode())
            headers = {"Authorization": f"Bearer {token.access_token.reveal()}"}
            api.send(Request("GET", f"{host}/API/V3/Account.json", headers))
        except LightspeedError as error:
            os.write(report, f"error {type(error).__name__}\n".encode())
            time.sleep(0.2)


def _drop_connections(*, close: bool) -> None:
    from airflow import settings

    assert settings.engine is not None
    settings.engine.dispose(close=close)


def _fork(report: int, conn_id: str, host: str) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            _child(report, conn_id, host)
        finally:
            os._exit(1)
    return pid


class _Reports:
    """What the children say, read line by line."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        self._text = ""
        self.windows: list[float] = []

    def next(self) -> tuple[str, str]:
        """Return the next report's kind and value; ``("", "")`` if nobody says anything for a while."""
        while "\n" not in self._text:
            if not select.select([self._reading], [], [], 10.0)[0]:
                return "", ""
            self._text += os.read(self._reading, 65536).decode()
        line, self._text = self._text.split("\n", 1)
        kind, _, value = line.partition(" ")
        if kind == "window":
            self.windows.append(float(value))
        return kind, value


def _reseed(conn_id: str, base_url: str) -> None:
    """A person reconnects: a new grant's refresh token goes into the connection."""
    import requests
    from airflow.models.connection import Connection

    from airflow_provider_lightspeed.compat import new_session

    seed = requests.post(f"{base_url}/_sim/grants", json={}, timeout=30).json()["refresh_token"]
    session = new_session()
    row = session.query(Connection).filter(Connection.conn_id == conn_id).one()
    row.set_extra(json.dumps({**json.loads(row.extra), "refresh_token": seed}))
    session.commit()
    session.close()


def main(conn_id: str, base_url: str, count: int, processes: int) -> None:
    """Kill ``count`` processes while they refresh, then see whether a fresh one gets a token; print the figures."""
    _source(conn_id).token()  # everything is imported once, before the forks
    _drop_connections(close=True)
    chance = random.Random(count)  # noqa: S311 - when to kill is no secret
    reports = _Reports()
    running = [_fork(reports.writing, conn_id, base_url) for _ in range(processes)]
    killed = lost = 0
    while killed < count:
        kind, value = reports.next()
        if kind == "error" and value == "ReconnectRequired":
            lost += 1
            _reseed(conn_id, base_url)
            while reports.next()[0] != "window":  # until the new grant is in use
                pass
        if kind != "sent" or int(value) not in running:
            continue
        time.sleep(chance.uniform(0.0, 0.08))
        victim = int(value)
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        killed += 1
        running[running.index(victim)] = _fork(reports.writing, conn_id, base_url)
    for pid in running:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    print(json.dumps({"kills": count, "lost_grants": lost + (not _works(conn_id)), **_widths(reports.windows)}))


def _works(conn_id: str) -> bool:
    from airflow_provider_lightspeed.exceptions import LightspeedError

    time.sleep(1.1)  # the token is stale: it takes a grant
    try:
        _source(conn_id).token()
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
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
