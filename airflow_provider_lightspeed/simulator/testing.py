"""The simulator as a subprocess, for tests and benchmarks. Needs only requests and the standard library."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import requests

_MODULE = "airflow_provider_lightspeed.simulator"


class SimulatorProcess:
    """A running simulator on a free loopback port.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`. Options are those of the command line with
    underscores: ``SimulatorProcess(sales=500, no_limits=True, rotation="immediate")``. It also ends when the process
    that started it ends.

    :param python: interpreter; default the running one.
    :param options: command line options; True for a bare flag, False and None leave an option out.
    :ivar base_url: origin of both the API host and the OAuth host.
    :ivar is_limited: whether the rate limits are enforced.
    """

    base_url: str
    client_id: str
    client_secret: str
    account_id: str

    def __init__(self, *, python: str = sys.executable, **options: str | float | bool | None) -> None:
        self._command = [python, "-m", _MODULE, *_arguments({"port": 0} | options), "--until-stdin-closes"]
        self.is_limited = not options.get("no_limits")
        self._process: subprocess.Popen[str] | None = None
        self._http = requests.Session()
        self._http.trust_env = False  # a proxy has no business on loopback
        self.facts: dict[str, Any] = {}

    def start(self) -> Self:
        """Start the process and return once it answers requests.

        :raises RuntimeError: if it ends instead; its own words are on stderr.
        """
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            msg = f"the simulator ended with status {self._process.wait()}: {' '.join(self._command)}"
            self.stop()
            raise RuntimeError(msg)
        self.facts = json.loads(line)
        self.base_url = self.facts["base_url"]
        self.client_id = self.facts["client_id"]
        self.client_secret = self.facts["client_secret"]
        self.account_id = self.facts["account_id"]
        return self

    def stop(self) -> None:
        """End the process; calling it twice does no harm."""
        self._http.close()
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def connection(self, **extra: str) -> dict[str, str]:
        """Return the fields of an Airflow connection to this account, ``extra`` as the JSON text that Airflow wants.

        :param extra: keys of the extra besides ``auth_url``, such as ``refresh_token``.
        """
        return {
            "login": self.client_id,
            "password": self.client_secret,
            "host": self.base_url,
            "extra": json.dumps({"auth_url": self.base_url, **extra}),
        }

    # -- what tests do to it ----------------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """Call an admin path below ``/_sim/`` and return its JSON.

        :raises ValueError: when the simulator refuses; with its reason.
        """
        reply = self._http.request(method, f"{self.base_url}/_sim/{path}", params=query, json=body, timeout=60)
        if reply.status_code != 200:
            msg = f"{method} /_sim/{path}: {reply.status_code} {reply.text}"
            raise ValueError(msg)
        return reply.json()

    def grant(self, **options: str) -> dict[str, Any]:
        """Create a grant (``scope``, ``account_id``, ``employee_id``) and return it with its tokens."""
        created: dict[str, Any] = self.call("POST", "grants", options)
        return created

    def grants(self) -> list[dict[str, Any]]:
        """Return all grants with the SHA-256 fingerprints of their live tokens."""
        listed: list[dict[str, Any]] = self.call("GET", "grants")
        return listed

    def revoke(self, grant_id: str | None = None) -> None:
        """End one grant, or all of them."""
        self.call("POST", "grants/revoke", {"grant_id": grant_id} if grant_id else {})

    def audit(self, kind: str | None = None) -> dict[str, Any]:
        """Return ``counters`` and ``requests`` (of one kind)."""
        report: dict[str, Any] = self.call("GET", "audit", **({"kind": kind} if kind else {}))
        return report

    def counters(self) -> dict[str, float]:
        """Return the audit's counters; those that never counted are missing."""
        counters: dict[str, float] = self.call("GET", "audit", counters="1")["counters"]
        return counters

    def clear_audit(self) -> None:
        """Start counting anew."""
        self.call("DELETE", "audit")

    def faults(self, *rules: Mapping[str, Any]) -> None:
        """Put fault rules in force, see :class:`~airflow_provider_lightspeed.simulator.faults.Fault`."""
        self.call("POST", "faults", [dict(rule) for rule in rules])

    def clear_faults(self) -> None:
        """Drop all fault rules."""
        self.call("DELETE", "faults")

    def live(self, switches: str) -> dict[str, str]:
        """Replace the behaviours of the live API that are on, such as ``"all,-A12"`` or ``"none"``; return them."""
        values: dict[str, str] = self.call("POST", "live", {"live": switches})
        return values

    def advance(self, seconds: float) -> float:
        """Move the simulator's clock forward; return its time in epoch seconds."""
        return float(self.call("POST", "clock", {"advance": seconds})["now"])

    def fill_bucket(self, drips: float) -> dict[str, float]:
        """Play a neighbour that spends drips; return ``level``, ``size``, ``drip``."""
        bucket: dict[str, float] = self.call("POST", "bucket", {"add": drips})
        return bucket

    def client(self, **change: str | bool) -> dict[str, str]:
        """Change the client (``regenerate_secret=True``, ``redirect_uri=...``) and return it."""
        client: dict[str, str] = self.call("POST", "clients", change)
        if client["client_id"] == self.client_id:
            self.client_secret = client["client_secret"]
        return client

    def truth(self, resource: str) -> list[dict[str, Any]]:
        """Return all rows of a resource in canonical form."""
        rows: list[dict[str, Any]] = self.call("GET", f"truth/{resource}")
        return rows

    def mutate(self, action: str, **arguments: Any) -> Any:
        """Change the world, see :class:`~airflow_provider_lightspeed.simulator.deeds.Deeds`."""
        return self.call("POST", "mutate", {"action": action, **arguments})

    def changes(self, after: int = 0) -> list[dict[str, Any]]:
        """Return what was changed since the change of that number: whole rows, and when they show."""
        changes: list[dict[str, Any]] = self.call("GET", "changes", after=str(after))
        return changes


def _arguments(options: Mapping[str, str | float | bool | None]) -> list[str]:
    arguments: list[str] = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        arguments.append(f"--{name.replace('_', '-')}")
        if value is not True:
            arguments.append(str(value))
    return arguments
