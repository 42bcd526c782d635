"""What a nightly run over the resources of the example DAG costs, in units of the rate limit's bucket."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from math import ceil
from typing import Any, Final

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from bench.halves import client_of

#: As dags/example_lightspeed_daily.py has them.
RESOURCES: Final = ("Sale", "SaleLine", "SalePayment", "Item", "ItemShop", "Customer")
SALES: Final = 20_000
SHORT: Final = 2_000
DAY: Final = 86_400


def night(*, short: bool) -> dict[str, Any]:
    """Return drips by resource: of a night in which nothing changed, and of one in which 1 % did.

    ``least`` is what the pages of the changed rows cost with their relations, and one page where there is none.

    :param short: 2,000 sales instead of 20,000.
    """
    sales = SHORT if short else SALES
    shop: dict[str, Any] = {"sales": sales, "items": sales // 10, "customers": sales // 10, "days": 365}
    with (
        tempfile.TemporaryDirectory() as folder,
        SimulatorProcess(**shop, no_limits=True, grant=True, token_life=30 * DAY) as simulator,
    ):
        simulator.advance(600)
        _run(simulator, folder, "first")
        simulator.advance(DAY)
        unchanged = _run(simulator, folder, "unchanged")
        simulator.advance(DAY)
        _change(simulator, sales)
        simulator.advance(600)
        changed = _run(simulator, folder, "changed")
    return {"sales": sales, "nothing changed": unchanged, "1 % changed": changed}


def _change(simulator: SimulatorProcess, sales: int) -> None:
    at = datetime.fromtimestamp(int(simulator.advance(0)), UTC).isoformat()
    simulator.mutate("sell", count=sales // 100, at=at)
    for name, fields in (("Item", {"description": "new"}), ("Customer", {"company": "new"})):
        for key in range(1, sales // 1_000 + 1):
            simulator.mutate("update", resource=name, key=key, fields=fields, at=at)


def _run(simulator: SimulatorProcess, folder: str, key: str) -> dict[str, Any]:
    from airflow_provider_lightspeed.extract.plan import Job
    from airflow_provider_lightspeed.extract.run import extract
    from airflow_provider_lightspeed.extract.window import RunFacts
    from airflow_provider_lightspeed.lake.storage import Storage

    found: dict[str, Any] = {}
    for name in RESOURCES:
        client = client_of(simulator.base_url, simulator.facts["access_token"], simulator.account_id)
        job = Job.of(name)
        summary = extract(client, Storage.at(folder), job, RunFacts(), run_key=f"{key} {name}", attempt="1")
        # Payments are read through their sales, whose pages cost more for it.
        listed, price = (summary.tables.get("Sale", 0), 1.4) if name == "SalePayment" else (summary.rows, 1.0)
        least = max(1, ceil(listed / 100)) * price
        found[name] = {"rows": summary.rows, "drips": round(summary.drips, 1), "least": round(least, 1)}
    found["all"] = {each: round(sum(found[name][each] for name in RESOURCES), 1) for each in ("rows", "drips", "least")}
    return found
