"""The simulator as a process: its command line, its ready line, and the helper that tests drive it with."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from airflow_provider_lightspeed.simulator.__main__ import parser
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess

pytestmark = pytest.mark.process
SMALL: dict[str, Any] = {"sales": 20, "items": 10, "customers": 5, "days": 5}


def test_process_serves_until_it_is_stopped() -> None:
    """Ready line, admin calls, API, stop: what every integration test does."""
    with SimulatorProcess(**SMALL, registers=2, scope="employee:register") as sim:
        grant = sim.grant()
        assert grant["scope"] == "employee:register"
        bearer = {"Authorization": f"Bearer {grant['access_token']}"}
        url = f"{sim.base_url}/API/V3/Account/{sim.account_id}/Sale.json"
        assert requests.get(url, headers=bearer, timeout=10).headers["X-LS-Api-Drip-Rate"] == "1.5"
        sim.faults({"action": "status", "status": 503})
        assert requests.get(url, headers=bearer, timeout=10).status_code == 503
        assert sim.counters()["api_requests"] == 2
        assert len(sim.audit("api")["requests"]) == 2
        sim.clear_audit()
        sim.clear_faults()
        before = sim.advance(0)
        assert sim.advance(100) >= before + 100
        assert sim.fill_bucket(50)["level"] >= 50
        assert sim.client(regenerate_secret=True)["client_secret"] == sim.client_secret
        assert len(sim.truth("Sale")) == 20
        assert sim.grants()[0]["revoked"] is False
        sim.revoke(grant["grant_id"])
        assert requests.get(url, headers=bearer, timeout=10).status_code == 401
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=10)


def test_options_reach_the_process_and_grant_is_announced() -> None:
    """``--grant`` prints a pair: a script needs nothing else to start reading."""
    with SimulatorProcess(**SMALL, grant=True, client_id="app", client_secret="s", rotation="immediate") as sim:
        assert (sim.client_id, sim.client_secret) == ("app", "s")
        params = {"client_id": "app", "client_secret": "s", "grant_type": "refresh_token"}
        spend = [
            requests.post(
                f"{sim.base_url}/auth/oauth/token",
                json=params | {"refresh_token": sim.facts["refresh_token"]},
                timeout=10,
            ).status_code
            for _ in range(2)
        ]
        assert spend == [200, 400]


def test_clock_may_stand_at_a_time() -> None:
    """It moves when it is told to, and by no more; what is changed is stamped by it, and shows by it."""
    with SimulatorProcess(**SMALL, now="2024-03-04T00:00:00+00:00") as sim:
        start = datetime(2024, 3, 4, tzinfo=UTC)
        assert sim.advance(0) == start.timestamp()
        (sale,) = sim.mutate("sell", visible_from=(start + timedelta(seconds=30)).isoformat())
        assert sale not in {row["saleID"] for row in sim.truth("Sale")}
        assert sim.advance(30) == start.timestamp() + 30
        shown = {row["saleID"]: row for row in sim.truth("Sale")}[sale]
        assert shown["updateTime"] == start.isoformat()
        assert [change["row"] for change in sim.changes() if change["store"] == "Sale"] == [shown]
    with pytest.raises(SystemExit):
        parser().parse_args(["--now", "2024-03-04T00:00:00"])


def test_wrong_option_is_an_error_not_a_hang() -> None:
    """A process that ends before it is ready is reported with its command."""
    with pytest.raises(RuntimeError, match="--rotation never"):
        SimulatorProcess(rotation="never", python=sys.executable).start()


def test_admin_refusal_is_raised_with_its_reason() -> None:
    """A mistake in a test shows where it was made."""
    with SimulatorProcess(**SMALL) as sim, pytest.raises(ValueError, match="explode"):
        sim.faults({"action": "explode"})


def test_ctrl_c_ends_it_without_a_traceback() -> None:
    """It is how a person ends it."""
    command = [sys.executable, "-m", "airflow_provider_lightspeed.simulator", "--port", "0", "--sales", "5"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in errors) == (0, False)
