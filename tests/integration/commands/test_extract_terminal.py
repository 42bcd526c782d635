"""The real command in a process of its own, with a pseudo-terminal for its standard error."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.terminal import Terminal

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def shop() -> Iterator[SimulatorProcess]:
    """A shop whose sales fill enough pages for an estimate."""
    with SimulatorProcess(sales=1_500, items=20, customers=10, days=20, no_limits=True, token_life=864_000) as running:
        running.advance(600)
        yield running


@pytest.fixture
def connected(shop: SimulatorProcess, connection: Callable[..., str]) -> str:
    """Store a connection to the shop and return its refresh token."""
    grant = shop.grant()
    token = str(grant["refresh_token"])
    extra = {"auth_url": shop.base_url, "refresh_token": token}
    connection(login=shop.client_id, password=shop.client_secret, host=shop.base_url, extra=extra)
    return token


def test_bar_moves_on_the_terminal_and_the_summary_stays_readable(
    shop: SimulatorProcess, connected: str, tmp_path: Path
) -> None:
    """Bar, facts and an estimate on standard error; JSON alone on standard output; all rows in Parquet; no secret."""
    from airflow_provider_lightspeed.tokens.store import peek

    # The bar is drawn ten times a second: pages that come sooner would show no estimate.
    shop.faults({"action": "slow", "path": "/Sale", "seconds": 0.2, "count": None})
    terminal = Terminal("extract", "Sale", "--to", str(tmp_path), "-o", "json")
    status, out = terminal.finish()
    shop.clear_faults()
    assert status == 0, terminal.screen[-3000:]
    assert "━" in terminal.screen
    assert re.search(r"~\d+ %.* ETA.* ~0:\d\d:\d\d", terminal.screen)
    assert re.search(r"[\d,]+ rows, \d+ requests, [\d,]+ rows/s, bucket \d+/\d+, [\d.]+ drips/s", terminal.screen)
    summary = json.loads(out)
    document = json.loads(Path(summary["manifest"]).read_bytes())
    table = pq.read_table([tmp_path / "Sale" / file["path"] for file in document["files"]])
    truth = {int(sale["saleID"]) for sale in shop.truth("Sale")}
    assert set(table["saleID"].to_pylist()) == truth
    assert summary["rows"] == table.num_rows == len(truth)
    token = peek("lightspeed_default").ledger.token
    assert token is not None
    secrets = (connected, token.refresh_token.reveal(), token.access_token.reveal(), shop.client_secret)
    assert not [secret for secret in secrets if secret in terminal.screen + out]


def test_ctrl_c_ends_cleanly_and_publishes_nothing(shop: SimulatorProcess, connected: str, tmp_path: Path) -> None:
    """Exit status 130, one word and no traceback; not a file is left, staged ones included."""
    shop.faults({"action": "hang", "path": "Sale.json", "nth": 5, "count": None, "seconds": 60})
    try:
        terminal = Terminal("extract", "Sale", "--to", str(tmp_path))
        terminal.read_until("400 rows")
        terminal.process.send_signal(signal.SIGINT)
        status, out = terminal.finish()
    finally:
        shop.clear_faults()
    assert (status, out) == (130, "")
    assert terminal.screen.rstrip().endswith("interrupted")
    assert "Traceback" not in terminal.screen
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
