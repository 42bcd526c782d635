"""``airflow lightspeed ...`` (Airflow 3) and ``python -m airflow_provider_lightspeed ...`` (any version)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from airflow_provider_lightspeed.exceptions import LightspeedError


def get_cli_commands() -> list[Any]:
    """Return the commands that Airflow adds to its own."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    name = Arg(("resource",), nargs="?", help="a resource's name, for its fields and relations")  # type: ignore[no-untyped-call]
    resources = ActionCommand(name="resources", help="List what can be extracted", func=resources_command, args=(name,))
    return [GroupCommand(name="lightspeed", help="Lightspeed Retail (R-Series)", subcommands=[resources])]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command without Airflow's own CLI and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_lightspeed", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    resources = commands.add_parser("resources", help="list what can be extracted")
    resources.add_argument("resource", nargs="?", help="a resource's name, for its fields and relations")
    resources.set_defaults(func=resources_command)
    arguments = parser.parse_args(argv)
    arguments.func(arguments)
    return 0


def resources_command(arguments: argparse.Namespace) -> None:
    """Print all resources, or one."""
    from airflow_provider_lightspeed.resources.catalog import resource, resources

    if not arguments.resource:
        _table(
            ("RESOURCE", "READ BY", "KEY", "RELATIONS"),
            (
                (
                    found.name,
                    f"{found.strategy} {found.modified_field or ''}".strip(),
                    found.primary_key or "-",
                    str(len(found.relations)),
                )
                for found in resources()
            ),
        )
        return
    try:
        found = resource(arguments.resource)
    except LightspeedError as error:
        sys.exit(f"error: {error}")
    print(f"{found.name}  ({found.strategy}{f' on {found.modified_field}' if found.modified_field else ''})\n")
    _table(("FIELD", "TYPE"), ((field.name, str(field.type)) for field in found.entity.fields.values()))
    if found.relations:
        print()
        _table(
            ("RELATION", "LEADS TO", "COST"),
            (
                (relation.name, f"{relation.cardinality} {relation.target or 'text'}", f"{relation.cost:g}")
                for relation in found.relations.values()
            ),
        )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
