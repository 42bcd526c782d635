"""``airflow lightspeed ...`` (Airflow 3) and ``python -m airflow_provider_lightspeed ...`` (any version)."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from airflow_provider_lightspeed.exceptions import LightspeedError


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a command."""

    flags: tuple[str, ...]
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Command:
    """One command, for Airflow's parser and for our own."""

    name: str
    help: str
    run: Callable[[argparse.Namespace], None]
    arguments: tuple[Argument, ...] = ()


def get_cli_commands() -> list[Any]:
    """Return the commands that Airflow adds to its own."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    commands = [
        ActionCommand(
            name=command.name,
            help=command.help,
            func=command.run,
            args=tuple(Arg(each.flags, **each.options) for each in command.arguments),  # type: ignore[no-untyped-call]
        )
        for command in COMMANDS
    ]
    return [GroupCommand(name="lightspeed", help="Lightspeed Retail (R-Series)", subcommands=commands)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command without Airflow's own CLI and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_lightspeed", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    for command in COMMANDS:
        added = commands.add_parser(command.name, help=command.help, description=command.help)
        for argument in command.arguments:
            added.add_argument(*argument.flags, **argument.options)
        added.set_defaults(func=command.run)
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


def status_command(arguments: argparse.Namespace) -> None:
    """Print the state of connections; exit status 1 if one needs a person."""
    from airflow_provider_lightspeed.tokens.status import connection_ids, status

    found = [status(conn_id) for conn_id in arguments.conn_id or connection_ids()]
    if arguments.output == "json":
        facts = ({name: getattr(each, name) for name in type(each).__dataclass_fields__} for each in found)
        print(json.dumps(list(facts), indent=2, default=str))
    elif not found:
        print("There is no Lightspeed connection. Add one of type 'lightspeed' in Admin > Connections.")
    else:
        _table(
            ("CONNECTION", "FROM", "ACCOUNT", "TOKEN", "LAST REFRESH", "FOR", "LAPSES"),
            (
                (
                    each.conn_id,
                    each.source or "-",
                    each.account_id or "-",
                    each.token,
                    _moment(each.refreshed_at),
                    each.refreshed_by or "-",
                    _days(each.lapses_at),
                )
                for each in found
            ),
        )
        for each in found:
            for remark in each.attention:
                print(f"! {each.conn_id}: {remark}")
    if any(each.attention for each in found):
        sys.exit(1)


def refresh_command(arguments: argparse.Namespace) -> None:
    """Refresh the tokens that are due; exit status 1 if one could not be."""
    from airflow_provider_lightspeed.tokens.keep_alive import keep_alive
    from airflow_provider_lightspeed.tokens.status import connection_ids

    failed = False
    for conn_id in arguments.conn_id or connection_ids():
        try:
            kept = keep_alive(conn_id)
            print(f"{conn_id}: token good until {_moment(kept.expires_at)}, the grant until {_moment(kept.lapses_at)}")
        except Exception as error:  # noqa: BLE001 - one broken connection does not keep the others from being kept alive
            failed = True
            print(f"{conn_id}: {error}", file=sys.stderr)
    if failed:
        sys.exit(1)


def take_over_command(arguments: argparse.Namespace) -> None:
    """Make this deployment the owner of a connection's tokens."""
    from airflow_provider_lightspeed.tokens.asker import Asker
    from airflow_provider_lightspeed.tokens.refresh import take_over

    try:
        done = take_over(arguments.conn_id, str(Asker.current()))
    except LightspeedError as error:
        sys.exit(f"error: {error}")
    if not done:
        sys.exit(f"error: connection {arguments.conn_id!r} has no tokens to take over")
    print(f"{arguments.conn_id}: its tokens belong to this deployment now. End the other one's schedule.")


def _moment(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if moment else "-"


def _days(moment: datetime | None) -> str:
    return f"in {(moment - datetime.now(UTC)).days} days" if moment else "-"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


_CONNECTIONS: Final = Argument(("conn_id",), {"nargs": "*", "help": "connection IDs; default all Lightspeed ones"})
COMMANDS: Final = (
    Command(
        "resources",
        "List what can be extracted",
        resources_command,
        (Argument(("resource",), {"nargs": "?", "help": "a resource's name, for its fields and relations"}),),
    ),
    Command(
        "status",
        "Show tokens, owners and deadlines of Lightspeed connections",
        status_command,
        (
            _CONNECTIONS,
            Argument(
                ("-o", "--output"),
                {"choices": ("table", "json"), "default": "table", "help": "table (default) or json"},
            ),
        ),
    ),
    Command("refresh", "Refresh access tokens that are due, to keep grants alive", refresh_command, (_CONNECTIONS,)),
    Command(
        "take-over",
        "Let this deployment go on with tokens that belong to another one (a copied metadata database)",
        take_over_command,
        (Argument(("conn_id",), {"help": "connection ID"}),),
    ),
)
