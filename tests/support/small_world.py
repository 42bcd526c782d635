"""A small shop of the simulator, asked without HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from airflow_provider_lightspeed.simulator.answer import Answer
from airflow_provider_lightspeed.simulator.world import World

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SALES = 230
ROOT = "/API/V3/Account/7"


def make(seed: int = 1) -> World:
    """Return the shop that a seed makes."""
    return World.generate(seed, sales=SALES, items=30, customers=20, days=20, registers=2, now=NOW, account_id="7")


WORLD = make()
TRUTH = {name: list(WORLD.rows(name)) for name in ("Sale", "SaleLine", "SalePayment", "Item", "ItemShop")}


def ask(path: str, **params: str) -> Answer:
    """Return the answer to a GET of a list."""
    return WORLD.query(f"{ROOT}/{path}.json", params, base_url="http://x", now=NOW)


def body(path: str, **params: str) -> dict[str, Any]:
    """Return the JSON of an answer that must be good."""
    answer = ask(path, **params)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = orjson.loads(answer.body)
    return found


def records(found: dict[str, Any], envelope: str) -> list[dict[str, Any]]:
    """Return the records of a page."""
    inner = found.get(envelope, [])
    return inner if isinstance(inner, list) else [inner]


def everything(path: str, link: str = "next", **params: str) -> list[dict[str, Any]]:
    """Follow a chain of links from its first page."""
    found: list[dict[str, Any]] = []
    while True:
        page = body(path, **params)
        found.extend(records(page, path))
        url = page["@attributes"][link]
        if not url:
            return found
        params = dict(parse_qsl(urlsplit(url).query))


def keys(path: str, key: str, **params: str) -> list[int]:
    """Return the keys of all records of a list, in its order."""
    return [int(row[key]) for row in everything(path, **params)]
