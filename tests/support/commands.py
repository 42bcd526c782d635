"""Commands of ``airflow lightspeed`` in this process."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

from airflow_provider_lightspeed.cli import get_cli_commands, main
from airflow_provider_lightspeed.compat import AIRFLOW_V_3_0_PLUS


def airflow_main(argv: list[str]) -> None:
    """Run ``airflow lightspeed ...`` with the parser that Airflow builds, in this process."""
    from airflow.cli.cli_parser import _add_command

    parser = argparse.ArgumentParser(prog="airflow")
    (group,) = get_cli_commands()
    _add_command(parser.add_subparsers(required=True), group)
    arguments = parser.parse_args(["lightspeed", *argv])
    arguments.func(arguments)


#: The ways to run a command: Airflow 2 takes no commands from providers.
RUNS: Final[list[Callable[[list[str]], object]]] = [main, airflow_main] if AIRFLOW_V_3_0_PLUS else [main]
