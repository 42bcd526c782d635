"""What a whole extract writes at DEBUG, with ``http.client`` talking: no secret, whoever writes it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.frames import Known
from tests.support.token_steps import ledger

pytestmark = [pytest.mark.process, pytest.mark.timeout(400)]

DAG = """
import http.client
from datetime import datetime

from airflow_provider_lightspeed.compat import AIRFLOW_V_3_0_PLUS
from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator

if AIRFLOW_V_3_0_PLUS:
    from airflow.sdk import DAG
else:
    from airflow import DAG

http.client.HTTPConnection.debuglevel = 1
with DAG("talkative", schedule=None, start_date=datetime(2026, 1, 1)):
    LightspeedToParquetOperator(task_id="extract", resource="Item", path={path!r})
"""


def test_dags_test_at_debug_prints_no_secret(
    connection: Callable[..., str], simulator: SimulatorProcess, tmp_path: Path, stored: Callable[[str], dict[str, str]]
) -> None:
    """Task and supervisor are one process there, and Airflow's line about what a task sends has what is to be masked."""
    connection()
    seed = stored("lightspeed_default")["refresh_token"]
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "talkative.py").write_text(DAG.format(path=str(tmp_path / "lake")))
    settings = {
        "CORE__DAGS_FOLDER": str(tmp_path / "dags"),
        "CORE__LOAD_EXAMPLES": "False",
        "LOGGING__LOGGING_LEVEL": "DEBUG",
    }
    ours = {f"AIRFLOW__{name}": value for name, value in settings.items()}
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "dags", "test", "talkative"],
        env={**os.environ, **ours},
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-3000:]
    assert list(tmp_path.glob("lake/Item/*.parquet"))
    assert "token refreshed, generation 1" in output
    assert "DEBUG" in output.upper()
    token = ledger().token
    assert token is not None
    known = Known(
        secret=simulator.client_secret,
        seed=seed,
        access=token.access_token.reveal(),
        refresh=token.refresh_token.reveal(),
    )
    assert known.found_in(output) == []
    assert "Authorization" not in output
