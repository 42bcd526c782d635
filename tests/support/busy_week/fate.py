"""What a try meets, and the small world in which it does."""

from __future__ import annotations

import random
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from airflow_provider_lightspeed.extract import differences, pages, plan, reader
from tests.support.busy_week.wire import Weather


def fate_of(rng: random.Random, *, is_slow: bool) -> tuple[Weather, int | None]:
    """Return what a try will meet: how slow the server is, whether it breaks, and when the try is killed."""
    latency = rng.choices((0.4, 20.0, 300.0), (50, 25, 25) if is_slow else (85, 10, 5))[0]
    weather = Weather(latency=latency)
    lives = None
    chance = rng.random()
    if chance < 0.08:
        weather = replace(weather, breaks_at=rng.randint(1, 12))
    elif chance < 0.22:
        lives = int(rng.choice((1, 3, 10)) * rng.uniform(1, 12))
    return weather, lives


def told(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__}: {str(error)[:300]} ({where})"


@contextmanager
def small_world() -> Iterator[None]:
    """Shrink what is sized for large shops; and no request is spent on estimates, so that one chain reads a list."""
    patches: list[tuple[Any, str, int]] = [
        (pages, "PAGE_SIZE", 20),
        (plan, "TRAILING_KEYS", 100),
        (reader, "ASK_AFTER", 10**9),
        (differences, "LIST_BELOW", 60),
        (differences, "TAIL", 40),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in patches]
    for module, name, value in patches:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
