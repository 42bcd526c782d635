"""Incremental extracts of a busy shop merge to the truth, whatever happens to the shop, the runs and the clocks.

``python -m soak --only week`` runs whole weeks of many seeds.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.busy_week.timeline import Timeline
from tests.support.busy_week.week import LIVE, START, Plan, Report, Week
from tests.support.busy_week.wire import OverHttp

DAY = Plan(days=1.0)


def assert_true(report: Report) -> None:
    """All views were the truth, and there was something to go wrong."""
    assert report.accounts == [], "\n".join(report.accounts[:5])
    assert report.ended["published"] > 50
    assert report.ended["Killed"] > 5
    assert report.checks > 50


@pytest.mark.parametrize(
    ("seed", "live"),
    [
        (1, "none"),
        pytest.param(2, LIVE, marks=pytest.mark.slow),
        pytest.param(3, "none", marks=pytest.mark.slow),
        pytest.param(5, LIVE, marks=pytest.mark.slow),
    ],
)
def test_every_view_of_a_day_is_the_truth(seed: int, live: str) -> None:
    """Checked after each of some hundred runs, failures, kills and second tries."""
    assert_true(Week(seed, Storage.at(f"memory://day-{seed}"), replace(DAY, live=live)).run())


def test_every_view_of_half_a_day_over_http_and_on_disk_is_the_truth(tmp_path: Path) -> None:
    """The same with what a real extract has between itself and the shop, which behaves as the live API does."""
    plan = Plan(days=0.5, pace=120.0, live=LIVE, resources=("SalePayment", "Sale", "Item", "CreditAccount"))
    with SimulatorProcess(
        sales=plan.sales,
        items=plan.items,
        customers=plan.customers,
        registers=2,
        now=START.isoformat(),
        no_limits=True,
        grant=True,
        token_life=10_000_000,
        live=plan.live,
    ) as process:

        def simulation(timeline: Timeline) -> OverHttp:
            return OverHttp(timeline, process)

        report = Week(4, Storage.at(str(tmp_path)), plan, simulation).run()
    assert report.accounts == [], "\n".join(report.accounts[:5])
    assert report.ended["published"] > 10
