"""How near extracts come to the fastest that the rate limit allows, alone and in company, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from bench.traffic import Account, Extract, Result, greedy, run, steady

SEEDS: Final = range(1, 9)


def _alone(account: Account) -> list[Extract]:
    return [Extract(account, "alone", 600)]


def _many_registers(account: Account) -> list[Extract]:
    return [Extract(account, "alone", 3_000, latency=(0.25, 0.28, 0.35), chains=8)]


def _eight(account: Account) -> list[Extract]:
    return [Extract(account, f"extract {number}", 200) for number in range(8)]


def _eight_large(account: Account) -> list[Extract]:
    return [Extract(account, f"extract {number}", 1_000, chains=4) for number in range(8)]


def _beside_two(account: Account) -> list[Extract]:
    for number in (1, 2):
        steady(account, f"stranger {number}", 0.1)
    return _alone(account)


def _beside_greedy(account: Account) -> list[Extract]:
    greedy(account)
    return [Extract(account, "ours", 150)]


CASES: Final[dict[str, tuple[int, Callable[[Account], list[Extract]]]]] = {
    "a: 1 register, 600 pages, 250 ms": (1, _alone),
    "b: 40 registers, 3,000 pages, 250 to 350 ms": (40, _many_registers),
    "c: 1 register, 8 processes of 200 pages": (1, _eight),
    "c: 40 registers, 8 processes of 1,000 pages": (40, _eight_large),
    "d: as a, beside 2 strangers of 0.14 drips/s each": (1, _beside_two),
    "e: 150 pages, beside one that retries at every 429": (1, _beside_greedy),
}


def limits(*, short: bool) -> dict[str, Any]:
    """Return per case the worst of several seeds.

    :param short: two seeds instead of eight.
    """
    seeds = list(SEEDS)[: 2 if short else None]
    return {name: _worst([_once(registers, make, seed) for seed in seeds]) for name, (registers, make) in CASES.items()}


def _once(registers: int, make: Callable[[Account], list[Extract]], seed: int) -> Result:
    account = Account(registers, seed=seed)
    return run(account, make(account))


def _worst(results: list[Result]) -> dict[str, float]:
    """Return of each figure the worst over the seeds."""
    worst = {name: max(asdict(result)[name] for result in results) for name in asdict(results[0])}
    refusals = max(result.bucket_429 / result.seconds for result in results)
    return {
        "wall_to_bound": round(worst["wall_to_bound"], 4),
        "bucket_429": int(worst["bucket_429"]),
        "bucket_429_per_10_s": round(10 * refusals, 2),
        "burst_429": int(worst["burst_429"]),
        "slowest_to_fastest": round(worst["slowest_to_fastest"], 2),
        "least_share_of_the_drip": round(min(result.share for result in results), 3),
    }
