"""A small shop of the simulator in which things happen at given seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from airflow_provider_lightspeed.simulator.world import World

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SALES = 40


def small_shop() -> World:
    """Return a shop of 40 sales."""
    return World.generate(1, sales=SALES, items=10, customers=10, days=5, registers=2, now=NOW, account_id="7")


def after(seconds: float) -> datetime:
    """Return the time so many seconds later."""
    return NOW + timedelta(seconds=seconds)


def listed(world: World, name: str, seconds: float, **params: str) -> list[dict[str, Any]]:
    """Return the records of a list as they show so many seconds later."""
    params = {"archived": "true", "sort": f"-{name[0].lower()}{name[1:]}ID", "limit": "100"} | params
    answer = world.query(f"/API/V3/Account/7/{name}.json", params, base_url="http://x", now=after(seconds))
    assert answer.status == 200, answer.body
    found = orjson.loads(answer.body).get(name, [])
    return found if isinstance(found, list) else [found]


def do(world: World, action: str, seconds: float, late: float = 0, **arguments: Any) -> Any:
    """Change the shop so many seconds later, to show ``late`` seconds after that."""
    shows = {"visible_from": after(seconds + late).isoformat()} if late else {}
    return world.mutate(action, at=after(seconds).isoformat(), **shows, **arguments)


def open_sale(world: World) -> int:
    """Begin a sale; return its key."""
    (sale,) = do(world, "sell", 0, completed=False)
    return int(sale)
