"""Looks resources up by the API's own names. The data is ``catalog.json`` (see docs/catalog.md), read on first use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from airflow_provider_lightspeed.exceptions import unknown
from airflow_provider_lightspeed.resources.base import (
    Cardinality,
    Entity,
    Field,
    FieldType,
    ParentKey,
    Relation,
    Resource,
    Source,
    Strategy,
    Through,
)


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = orjson.loads(files(__package__).joinpath("catalog.json").read_bytes())
    return data


@cache
def entity(name: str) -> Entity:
    """Return an entity by name.

    :raises InvalidArgument: unknown.
    """
    entities = _data()["entities"]
    if name not in entities:
        raise unknown("entity", name, entities)
    found = entities[name]
    return Entity(name, {key: _field(key, facts) for key, facts in found["fields"].items()}, found.get("primary_key"))


def _field(name: str, facts: Mapping[str, Any]) -> Field:
    rest = {key: value for key, value in facts.items() if key not in ("type", "aliases", "source")}
    source = Source(facts.get("source", Source.DOCUMENTED))
    return Field(name, FieldType(facts["type"]), aliases=tuple(facts.get("aliases", ())), source=source, **rest)


def entities() -> Iterator[Entity]:
    """Yield every entity, those that can only be reached through others included, sorted by name."""
    return map(entity, sorted(_data()["entities"]))


@cache
def resource(name: str) -> Resource:
    """Return a resource by the API's name, such as ``Sale`` or ``ItemShop``.

    :raises InvalidArgument: unknown; suggests the nearest names.
    """
    resources_ = _data()["resources"]
    if name not in resources_:
        raise unknown("resource", name, resources_)
    facts = dict(resources_[name])
    lists: dict[str, Any] = {
        key: tuple(facts.pop(key, ())) for key in ("sortable", "query_params", "required_params", "scopes")
    }
    return Resource(
        name=name,
        entity=entity(name),
        strategy=Strategy(facts.pop("strategy")),
        relations={key: _relation(key, value) for key, value in facts.pop("relations", {}).items()},
        parents=tuple(ParentKey(**parent) for parent in facts.pop("parents", ())),
        through=Through(**facts.pop("through")) if "through" in facts else None,
        variants=tuple(facts.pop("variants", ({},))),
        **lists,
        **facts,
    )


def _relation(name: str, facts: Mapping[str, Any]) -> Relation:
    rest = {key: value for key, value in facts.items() if key != "cardinality"}
    return Relation(name=name, cardinality=Cardinality(facts["cardinality"]), **rest)


def resource_names() -> tuple[str, ...]:
    """Return every resource's name, sorted."""
    return tuple(sorted(_data()["resources"]))


def resources() -> Iterator[Resource]:
    """Yield every resource, sorted by name."""
    return map(resource, resource_names())
