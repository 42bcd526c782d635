"""Commands of ``airflow lightspeed`` in this process."""

from __future__ import annotations

import argparse

from airflow_provider_lightspeed.cli import get_cli_commands


def airflow_main(argv: list[str]) -> None:
    """Run ``airflow lightspeed ...`` with the parser that Airflow builds, in this process."""
    from airflow.cli.cli_parser import _add_command

    parser = argparse.ArgumentParser(prog="airflow")
    (group,) = get_cli_commands()
    _add_command(parser.add_subparsers(required=True), group)
    arguments = parser.parse_args(["lightspeed", *argv])
    arguments.func(arguments)
