"""``sql``: the statements of a warehouse for the tables that an extract with the same arguments has."""

from __future__ import annotations

import argparse

from airflow_provider_lightspeed.arrow.types import Selection
from airflow_provider_lightspeed.warehouse.loads import create, create_staging
from airflow_provider_lightspeed.warehouse.moved import moved_fields
from airflow_provider_lightspeed.warehouse.statements import Statements, current_view, merge
from airflow_provider_lightspeed.warehouse.tables import Tables, tables_of


def run(arguments: argparse.Namespace) -> None:
    """Print the statements, each ended by a semicolon."""
    selection = Selection.of(arguments.columns, arguments.exclude_columns, arguments.hash_columns, arguments.naming)
    tables = tables_of(
        arguments.resource,
        arguments.relations,
        selection,
        layout=arguments.layout,
        prefix=arguments.prefix,
    )
    print("\n\n".join(f"{statement};" for statement in _statements(tables, arguments)))


def _statements(tables: Tables, arguments: argparse.Namespace) -> Statements:
    dialect = arguments.dialect
    match arguments.statement:
        case "ddl":
            return create(tables, dialect, keeps_history=arguments.history)
        case "staging":
            return create_staging(tables, dialect)
        case "merge":
            return tuple(statement for spec in tables for statement in merge(spec, dialect))
    moved = moved_fields(tables.main.resource)
    main = current_view(tables.main, dialect, moved=[name for name in moved if tables.main.has(name)])
    return (*main, *(statement for spec in tables.children for statement in current_view(spec, dialect)))
