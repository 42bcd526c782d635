"""Everything the simulator remembers, in one object that its routes share."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from airflow_provider_lightspeed.simulator.answer import Answer
from airflow_provider_lightspeed.simulator.audit import Audit
from airflow_provider_lightspeed.simulator.caller import Caller
from airflow_provider_lightspeed.simulator.clients import OAuthRules
from airflow_provider_lightspeed.simulator.clock import SimulatorClock
from airflow_provider_lightspeed.simulator.faults import FaultPlan
from airflow_provider_lightspeed.simulator.jwt_keys import SigningKey
from airflow_provider_lightspeed.simulator.limits import RateLimits
from airflow_provider_lightspeed.simulator.live import DOCUMENTED, Live
from airflow_provider_lightspeed.simulator.oauth import AuthorizationServer
from airflow_provider_lightspeed.simulator.rotation import OldAccess, Rotation


class World(Protocol):
    """The data behind the API."""

    @property
    def account_id(self) -> str:
        """The one account there is."""

    @property
    def account_name(self) -> str:
        """Its name, for the consent page."""

    @property
    def register_count(self) -> int:
        """Registers of the subscription; they set the rate limits."""

    def behave(self, live: Live) -> None:
        """Take on the behaviours of the live API that are switched on, and drop the others."""

    def query(self, path: str, params: Mapping[str, str], *, base_url: str, now: datetime, caller: Caller) -> Answer:
        """Answer a GET of ``path`` (from ``/API`` on, without the query)."""

    def price(self, path: str, params: Mapping[str, str]) -> float:
        """Return the drips that a GET costs, without answering it."""

    def rows(self, name: str, *, now: datetime | None = None) -> Sequence[Any]:
        """Return all records of a resource in their canonical form, as they show at ``now``."""

    def mutate(self, action: str, **arguments: Any) -> Any:
        """Change the data and return what changed, as plain data."""

    def changes(self, after: int = 0) -> Sequence[Any]:
        """Return what was changed since the change of that number, as plain data."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the simulator behaves.

    :param seed: of client ID, secret and fault probabilities.
    :param client_id: default made from the seed.
    :param client_secret: default made from the seed.
    :param redirect_uri: the one address registered for the client.
    :param oauth: lifetimes and rotation.
    :param latency: seconds that every API answer takes.
    :param limits: False switches both rate limiters off.
    :param auto_approve: the consent page answers itself.
    :param scope: of grants made without a consent page.
    :param live: behaviours of the live API that the documentation does not have.
    """

    seed: int = 1
    client_id: str = ""
    client_secret: str = ""
    redirect_uri: str = "https://localhost/lightspeed/callback"
    oauth: OAuthRules = field(default_factory=OAuthRules)
    latency: float = 0.0
    limits: bool = True
    auto_approve: bool = False
    scope: tuple[str, ...] = ("employee:all",)
    live: Live = DOCUMENTED


class Simulator:
    """The state behind all routes.

    :param world: the data.
    :param settings: behaviour.
    :param clock: time of tokens, buckets and headers.
    """

    def __init__(self, world: World, settings: Settings, clock: SimulatorClock) -> None:
        self.world = world
        self.settings = settings
        self.clock = clock
        self.key = SigningKey()
        self.oauth = AuthorizationServer(settings.oauth, self.key)
        self.limits = RateLimits(world.register_count, settings.limits)
        self.faults = FaultPlan(random.Random(settings.seed).random)
        self.audit = Audit()
        self.in_flight = 0
        self.reads = 0
        named = random.Random(f"client {settings.seed}")
        made_id, made_secret = named.randbytes(32).hex(), named.randbytes(32).hex()
        self.client = self.oauth.register(
            settings.client_id or made_id, settings.client_secret or made_secret, settings.redirect_uri
        )
        self.live = DOCUMENTED
        self.behave(settings.live)

    def behave(self, live: Live) -> None:
        """Take on the behaviours of the live API that are switched on, and drop the others.

        Tokens that were issued before keep their life.
        """
        self.live = live
        self.world.behave(live)
        self.oauth.rules = _live_rules(self.settings.oauth, live)
        self.limits.resize(live.bucket)


def _live_rules(rules: OAuthRules, live: Live) -> OAuthRules:
    """Return the rules of the OAuth server with the switches A1, A4, A5, A8 and A10 applied."""
    rotation = rules.rotation
    if "A1" in live or "A4" in live:
        rotation = replace(rotation, old_access=OldAccess.DIE)
    if "A10" in live:
        rotation = replace(rotation, rotation=Rotation.SAME_TOKEN)
    life = live.number("A5")
    is_default = rules.token_life == OAuthRules().token_life
    left_out = {"both": {"refresh_token", "expires_in"}}.get(live.values.get("A8", ""), live.names("A8"))
    return replace(
        rules,
        rotation=rotation,
        token_life=float(life) if life and is_default else rules.token_life,
        left_out=frozenset(left_out),
    )
