"""``resources``: what can be extracted."""

from __future__ import annotations

import argparse

from airflow_provider_lightspeed.commands.output import table
from airflow_provider_lightspeed.resources.base import Resource
from airflow_provider_lightspeed.resources.catalog import resource, resources


def run(arguments: argparse.Namespace) -> None:
    """Print all resources, or one."""
    if arguments.resource:
        _describe(resource(arguments.resource))
        return
    table(
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
        right=("RELATIONS",),
    )


def _describe(found: Resource) -> None:
    print(f"{found.name}  ({found.strategy}{f' on {found.modified_field}' if found.modified_field else ''})\n")
    table(
        ("FIELD", "TYPE", "KNOWN FROM", ""),
        (
            (field.name, str(field.type), str(field.source), "secret" if field.is_secret else "")
            for field in found.entity.fields.values()
        ),
    )
    if found.relations:
        print()
        table(
            ("RELATION", "LEADS TO", "COST"),
            (
                (relation.name, f"{relation.cardinality} {relation.target or 'text'}", f"{relation.cost:g}")
                for relation in found.relations.values()
            ),
            right=("COST",),
        )
