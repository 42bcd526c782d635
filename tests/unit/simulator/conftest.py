"""A simulator whose app is called in this process."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from airflow_provider_lightspeed.simulator.clients import OAuthRules
from airflow_provider_lightspeed.simulator.oauth import AuthorizationServer
from airflow_provider_lightspeed.simulator.state import Settings
from airflow_provider_lightspeed.simulator.world import World
from tests.support.clockwork import small_shop
from tests.support.served import FakeWorld, Served, in_process


@pytest.fixture
def serve() -> Callable[..., Served]:
    """Return a function that makes a simulator of these settings and this world."""

    def make(settings: Settings | None = None, world: FakeWorld | None = None) -> Served:
        return in_process(world or FakeWorld(), settings)

    return make


@pytest.fixture
def world() -> FakeWorld:
    """Return a world whose cost, status and registers a test may change before it is served."""
    return FakeWorld()


@pytest.fixture
def shop() -> World:
    """Return a small shop in which a test may change things at given seconds."""
    return small_shop()


class CountingSigner:
    """Makes tokens that are not JWTs: rotation does not care."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return the next token."""
        return f"access-{next(self._numbers)}"


@pytest.fixture
def oauth() -> Callable[..., AuthorizationServer]:
    """Make an OAuth server with one client ``app`` whose secret is ``secret``."""

    def make(**rules: Any) -> AuthorizationServer:
        server = AuthorizationServer(OAuthRules(**rules), CountingSigner())
        server.register("app", "secret", "https://example.com/back?keep=1")
        return server

    return make
