"""``python -m airflow_provider_lightspeed.simulator``: serve a generated shop until stopped."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import uvicorn

from airflow_provider_lightspeed.simulator.app import create_app
from airflow_provider_lightspeed.simulator.clients import OAuthRules
from airflow_provider_lightspeed.simulator.clock import SimulatorClock
from airflow_provider_lightspeed.simulator.live import DOCUMENTED, Live
from airflow_provider_lightspeed.simulator.rotation import OldAccess, Rotation, RotationRules, Siblings
from airflow_provider_lightspeed.simulator.scopes import parse_scope
from airflow_provider_lightspeed.simulator.server import announce, base_url, build_server, listen
from airflow_provider_lightspeed.simulator.state import Settings, Simulator
from airflow_provider_lightspeed.simulator.world import World


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    options = argparse.ArgumentParser(
        prog="python -m airflow_provider_lightspeed.simulator",
        description="A strict simulator of the Lightspeed Retail (R-Series) API. Prints one JSON line when ready.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    serve = options.add_argument_group("server")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on")
    serve.add_argument("--port", type=int, default=8765, help="0 chooses a free one")
    serve.add_argument("--latency-ms", type=float, default=0.0, help="time every API answer takes")
    serve.add_argument("--no-limits", action="store_true", help="switch both rate limiters off")
    serve.add_argument(
        "--now",
        type=moment,
        help="a time with an offset at which the clock stands, moved by POST /_sim/clock only; default it runs with the machine's",
    )
    serve.add_argument("--until-stdin-closes", action="store_true", help="end with the process that started it")
    serve.add_argument(
        "--live",
        type=live,
        nargs="?",
        const=Live.parse("all"),
        default=DOCUMENTED,
        metavar="SWITCHES",
        help="behave as the live API does where it differs from its documentation: without a value in all that "
        "docs/simulator.md lists as on, or the numbers given, such as A1,C1=5 or all,-A12",
    )
    data = options.add_argument_group("data")
    data.add_argument("--seed", type=int, default=1, help="the same seed makes the same shop and client")
    data.add_argument("--sales", type=int, default=2000)
    data.add_argument("--items", type=int, default=500)
    data.add_argument("--customers", type=int, default=300)
    data.add_argument("--days", type=int, default=90, help="days of history before now")
    data.add_argument("--registers", type=int, default=1, help="they set the rate limits")
    data.add_argument("--account-id", default="12345")
    oauth = options.add_argument_group("OAuth")
    oauth.add_argument("--client-id", default="", help="made from the seed if not given")
    oauth.add_argument("--client-secret", default="", help="made from the seed if not given")
    oauth.add_argument("--redirect-uri", default=Settings().redirect_uri, help="https, or http on loopback")
    oauth.add_argument("--scope", default="employee:all", help="of grants made with --grant")
    oauth.add_argument("--token-life", type=float, default=OAuthRules().token_life, help="seconds")
    oauth.add_argument(
        "--refreshes-per-minute", type=int, default=OAuthRules().refreshes, help="of one grant; then 429"
    )
    oauth.add_argument("--rotation", type=Rotation, choices=list(Rotation), default=Rotation.DEFERRED)
    oauth.add_argument("--siblings", type=Siblings, choices=list(Siblings), default=Siblings.LIVE)
    oauth.add_argument("--old-access", type=OldAccess, choices=list(OldAccess), default=OldAccess.LIVE)
    oauth.add_argument("--auto-approve", action="store_true", help="the consent page answers itself")
    oauth.add_argument("--grant", action="store_true", help="create a grant and print its tokens as well")
    return options


def live(text: str) -> Live:
    """Read the switches of ``--live``.

    :raises ArgumentTypeError: one is unknown, or has a value that it does not take.
    """
    try:
        return Live.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def moment(text: str) -> datetime:
    """Read a time with an offset.

    :raises ArgumentTypeError: it is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        msg = f"{text!r} is not a time with an offset; write it like 2026-01-31T00:00:00+00:00"
        raise argparse.ArgumentTypeError(msg)
    return found


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Return the settings that the command line asks for."""
    rotation = RotationRules(arguments.rotation, arguments.siblings, arguments.old_access)
    return Settings(
        seed=arguments.seed,
        client_id=arguments.client_id,
        client_secret=arguments.client_secret,
        redirect_uri=arguments.redirect_uri,
        oauth=OAuthRules(rotation=rotation, token_life=arguments.token_life, refreshes=arguments.refreshes_per_minute),
        latency=arguments.latency_ms / 1000,
        limits=not arguments.no_limits,
        auto_approve=arguments.auto_approve,
        scope=parse_scope(arguments.scope),
        live=arguments.live,
    )


def announcement(simulator: Simulator, base_url: str, *, grant: bool) -> dict[str, Any]:
    """Return the line that tells a parent process how to reach the simulator."""
    facts: dict[str, Any] = {
        "base_url": base_url,
        "client_id": simulator.client.client_id,
        "client_secret": simulator.client.secret,
        "account_id": simulator.world.account_id,
    }
    if grant:
        pair = simulator.oauth.issue(
            simulator.client.client_id, simulator.world.account_id, simulator.settings.scope, simulator.clock.now()
        )
        facts |= {"access_token": pair.access_token, "refresh_token": pair.refresh_token}
    return facts


def main(argv: Sequence[str] | None = None) -> int:
    """Generate the shop, serve it, and return the exit status."""
    arguments = parser().parse_args(argv)
    clock = SimulatorClock() if arguments.now is None else SimulatorClock(arguments.now.timestamp)
    gc.disable()  # nothing that is made now becomes garbage
    world = World.generate(
        arguments.seed,
        sales=arguments.sales,
        items=arguments.items,
        customers=arguments.customers,
        days=arguments.days,
        registers=arguments.registers,
        now=datetime.fromtimestamp(clock.now(), UTC),
        account_id=arguments.account_id,
    )
    app = create_app(world, settings_of(arguments), clock)
    listener = listen(arguments.host, arguments.port)
    facts = announcement(app.state.simulator, base_url(listener), grant=arguments.grant)
    server = build_server(app, lambda: announce(facts))
    if arguments.until_stdin_closes:
        threading.Thread(target=_stop_at_eof, args=(server,), daemon=True).start()
    gc.enable()
    gc.collect()
    gc.freeze()  # the shop never becomes garbage: spare every later collection the walk over it
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how a person ends it
        server.run(sockets=[listener])
    return 0


def _stop_at_eof(server: uvicorn.Server) -> None:
    while os.read(0, 4096):  # not sys.stdin: a thread that holds its lock would break the interpreter's exit
        pass
    server.should_exit = True


if __name__ == "__main__":
    sys.exit(main())
