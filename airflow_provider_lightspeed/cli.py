"""``airflow lightspeed ...`` (Airflow 3) and ``python -m airflow_provider_lightspeed ...`` (any version).

Airflow imports this module at every start of its own command line, so it holds the table of commands and nothing that
they need; see ``commands``.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_lightspeed.exceptions import LightspeedError

#: What a shell expects of a program that Ctrl-C ended: 128 and the signal's number.
INTERRUPTED: Final = 130
#: The same for a program whose reader has gone away.
CLOSED_PIPE: Final = 141


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a command."""

    flags: tuple[str, ...]
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Command:
    """One command, for Airflow's parser and for our own.

    :param run: ``module:function`` below ``commands``; it takes the parsed arguments.
    """

    name: str
    help: str
    run: str
    arguments: tuple[Argument, ...] = ()

    def __call__(self, arguments: argparse.Namespace) -> None:
        """Run it; what a person can mend, and Ctrl-C, end with one line on standard error, not with a traceback.

        A reader that goes away, as ``head`` does, ends it without a word.
        """
        module, _, function = self.run.partition(":")
        try:
            getattr(importlib.import_module(f"{__package__}.commands.{module}"), function)(arguments)
            sys.stdout.flush()
        except LightspeedError as error:
            sys.exit(f"error: {' '.join(str(error).split())}")
        except BrokenPipeError:
            _discard_unwritable_output()
            sys.exit(CLOSED_PIPE)
        except OSError as error:
            _discard_unwritable_output()
            sys.exit(f"error: {' '.join(str(error).split())}")
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(INTERRUPTED)


def _discard_unwritable_output() -> None:
    """Drop what standard output does not take: Python flushes it once more at its end, and would fail with a traceback."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


def get_cli_commands() -> list[Any]:
    """Return the commands that Airflow adds to its own."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    commands = [
        ActionCommand(
            name=command.name,
            help=command.help,
            func=command,
            args=tuple(Arg(each.flags, **each.options) for each in command.arguments),  # type: ignore[no-untyped-call]
        )
        for command in COMMANDS
    ]
    return [GroupCommand(name="lightspeed", help="Lightspeed Retail (R-Series)", subcommands=commands)]


def parser() -> argparse.ArgumentParser:
    """Return the command line of ``python -m airflow_provider_lightspeed``."""
    made = argparse.ArgumentParser(
        prog="python -m airflow_provider_lightspeed", description="Lightspeed Retail (R-Series) for Apache Airflow"
    )
    commands = made.add_subparsers(required=True, metavar="command")
    for command in COMMANDS:
        added = commands.add_parser(command.name, help=command.help, description=command.help)
        for argument in command.arguments:
            added.add_argument(*argument.flags, **argument.options)
        added.set_defaults(func=command)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command without Airflow's own CLI and return the exit status."""
    arguments = parser().parse_args(argv)
    arguments.func(arguments)
    return 0


_CONNECTIONS: Final = Argument(("conn_id",), {"nargs": "*", "help": "connection IDs; default all Lightspeed ones"})
_OUTPUT: Final = Argument(
    ("-o", "--output"), {"choices": ("table", "json"), "default": "table", "help": "table (default) or json"}
)
_RESOURCE: Final = Argument(("resource",), {"help": "the API's own name, such as Sale; see the command resources"})
#: What decides which tables and columns an extract has.
_SHAPE: Final = (
    Argument(("--relations",), {"metavar": "A,B.C", "help": "relations to load"}),
    Argument(("--columns",), {"metavar": "A,B", "help": "top-level columns to keep; default all"}),
    Argument(("--exclude-columns",), {"metavar": "A,B.C", "help": "columns to leave out, nested ones dotted"}),
    Argument(("--hash-columns",), {"metavar": "A,B.C", "help": "columns to hash, salted with [lightspeed] hash_salt"}),
    Argument(
        ("--naming",),
        {"choices": ("source", "snake_case"), "default": "source", "help": "of columns: the API's, or snake_case"},
    ),
    Argument(
        ("--layout",),
        {
            "choices": ("nested", "tables"),
            "default": "nested",
            "help": "of relations: nested columns, or tables of their own",
        },
    ),
)
_EXTRACT: Final = (
    _RESOURCE,
    Argument(
        ("--to",),
        {"required": True, "metavar": "PATH", "help": "folder or URL of the dataset, such as s3://conn_id@bucket/key"},
    ),
    Argument(("--since",), {"metavar": "TIME", "help": "start, ISO 8601 with offset; default: the last commit's end"}),
    Argument(("--until",), {"metavar": "TIME", "help": "exclusive end, ISO 8601 with offset; default: now"}),
    Argument(("--conn-id",), {"default": "lightspeed_default", "help": "connection ID (lightspeed_default)"}),
    Argument(
        ("--filter",),
        {"action": "append", "metavar": "FIELD=VALUE", "help": "a condition, such as 'total=>,100'; repeatable"},
    ),
    *_SHAPE,
    Argument(
        ("--detect-deletes",),
        {"action": "store_true", "help": "look for deleted records first, and write tombstones"},
    ),
    Argument(
        ("--drift",),
        {
            "choices": ("evolve", "freeze", "discard"),
            "default": "evolve",
            "help": "unknown fields are kept in _extra (evolve), dropped (discard), or fail the extract (freeze)",
        },
    ),
    Argument(
        ("--verify",),
        {"action": "store_true", "help": "ask for each key that is missing once more before anything is committed"},
    ),
    Argument(
        ("--no-skip-when-empty",),
        {
            "action": "store_false",
            "dest": "skip_when_empty",
            "help": "print the result also when nothing has changed, instead of a line that says so",
        },
    ),
    Argument(
        ("--on-missing-relation",),
        {
            "choices": ("warn", "fail"),
            "default": "warn",
            "help": "a relation that the account refuses or no record shows: go on without it, or fail",
        },
    ),
    Argument(
        ("--on-unavailable",),
        {
            "choices": ("fail", "skip"),
            "default": "fail",
            "help": "a resource that the account may not read: fail, or skip it unless it could be read before",
        },
    ),
    Argument(("--full",), {"action": "store_true", "help": "read everything and replace earlier commits"}),
    Argument(("--no-progress",), {"action": "store_true", "help": "no progress on standard error"}),
    _OUTPUT,
)
_SQL: Final = (
    _RESOURCE,
    Argument(
        ("--dialect",),
        {
            "required": True,
            "choices": ("duckdb", "postgres", "snowflake", "bigquery", "redshift"),
            "help": "the warehouse",
        },
    ),
    Argument(
        ("--statement",),
        {
            "required": True,
            "choices": ("ddl", "staging", "merge", "view"),
            "help": "make the tables, or the staging tables; merge staging tables; make views of current rows",
        },
    ),
    *_SHAPE,
    Argument(
        ("--prefix",),
        {
            "default": "",
            "help": "of the tables' names; with a dot it names the schema, such as raw. or raw.lightspeed_",
        },
    ),
    Argument(("--history",), {"action": "store_true", "help": "tables of every row ever loaded, under views"}),
)
_CONNECTION: Final = Argument(("conn_id",), {"help": "connection ID"})
_YES: Final = Argument(("-y", "--yes"), {"action": "store_true", "help": "do not ask"})
_SCOPE: Final = Argument(
    ("--scope",),
    {
        "action": "append",
        "metavar": "A,B",
        "help": "scopes to ask for; repeatable; default: the connection's own, else those that only read",
    },
)
_OPEN: Final = Argument(("--open",), {"action": "store_true", "help": "open the address in a browser"})
COMMANDS: Final = (
    Command(
        "connect",
        "Give consent at Lightspeed and store the grant: prints an address, takes the one you are sent to",
        "consents:connect",
        (_CONNECTION, _SCOPE, _OPEN, _YES),
    ),
    Command(
        "disconnect",
        "Revoke a connection's grant at Lightspeed and forget its tokens",
        "consents:disconnect",
        (_CONNECTION, _YES),
    ),
    Command("extract", "Extract a resource to Parquet", "extract:run", _EXTRACT),
    Command(
        "compact",
        "Rewrite the small files of a dataset into few sorted ones",
        "compact:run",
        (
            Argument(("resource",), {"nargs": "*", "help": "resources' names; default all at the path"}),
            Argument(
                ("--path",), {"required": True, "help": "folder or URL of the dataset, such as s3://conn_id@bucket/key"}
            ),
            Argument(("--keep-history",), {"action": "store_true", "help": "keep rows that are no longer current"}),
            _OUTPUT,
        ),
    ),
    Command(
        "resources",
        "List what can be extracted",
        "resources:run",
        (Argument(("resource",), {"nargs": "?", "help": "a resource's name, for its fields and relations"}),),
    ),
    Command("sql", "Print a warehouse's statements for a resource", "sql:run", _SQL),
    Command(
        "status",
        "Show tokens, owners and deadlines of Lightspeed connections",
        "connections:status",
        (_CONNECTIONS, _OUTPUT),
    ),
    Command(
        "refresh",
        "Refresh access tokens that are due, to keep grants alive",
        "connections:refresh",
        (_CONNECTIONS,),
    ),
    Command(
        "take-over",
        "Let this deployment go on with tokens that belong to another one (a copied metadata database)",
        "connections:take_over",
        (_CONNECTION,),
    ),
)
