"""The data dictionary: a page for each resource, one for records that are only found inside others, and the diagrams.

All of it is read from the catalog and from the Arrow types of the columns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Final

import pyarrow as pa

from airflow_provider_lightspeed.arrow.types import Column, shape_of
from airflow_provider_lightspeed.resources.base import Cardinality, Entity, Field, Resource, Source, Strategy
from airflow_provider_lightspeed.resources.catalog import entities, resource_names, resources
from tools.docs.diagram import around, overview
from tools.docs.markdown import code, table, toctree

#: How a strategy reads, in words.
STRATEGIES: Final = {
    Strategy.MODIFIED: "Each run reads the records whose `{modified}` has changed since the last run.",
    Strategy.APPEND: "Each run reads the records whose key is greater than the last one read.",
    Strategy.PARENT: "Each run reads the records inside `{through}` that changed since the last run.",
    Strategy.SNAPSHOT: "Each run reads all records.",
    Strategy.PERIOD: "A report: each run reads the days that its window touches.",
}


def pages() -> Iterator[tuple[str, str]]:
    """Yield the pages of the data dictionary."""
    everything = list(resources())
    groups: dict[str, list[Resource]] = defaultdict(list)
    for resource in everything:
        groups[area_of(resource.name)].append(resource)
    for resource in everything:
        yield f"dictionary/{resource.name}.md", resource_page(resource)
    yield "dictionary/records.md", records_page()
    yield (
        "dictionary/index.md",
        index_page({area: groups[area] for area in sorted(AREAS, key=_LAST.__contains__) if groups[area]}),
    )


#: Areas of the shop, and the beginnings of the names of their resources; the first area that fits has the resource.
AREAS: Final[Mapping[str, tuple[str, ...]]] = {
    "Printed views": ("DisplayTemplate",),
    "Reports": ("Reports",),
    "Sales": ("Sale", "ShipTo", "Quote", "SpecialOrder", "Discount", "CCCharge", "ProcessingFee"),
    "Registers and payments": ("Register", "PaymentType"),
    "Stock": ("Inventory", "ItemShop", "Transfer", "Serialized"),
    "Items": ("Item", "Category", "Manufacturer", "Season", "Tag", "PriceLevel", "Image"),
    "Purchasing": ("Order", "Shipment", "Vendor", "Catalog"),
    "Customers": ("Customer", "Credit"),
    "Workshop": ("Workorder",),
    "Shop": ("",),
}
_LAST: Final = ("Printed views", "Reports")
_TAXES: Final = ("TaxCategory", "TaxCategoryClass", "TaxClass")


@cache
def area_of(name: str) -> str:
    """Return the area that a resource is listed under."""
    if name in _TAXES:
        return "Shop"
    return next(area for area, beginnings in AREAS.items() if name.startswith(beginnings))


def index_page(groups: Mapping[str, Iterable[Resource]]) -> str:
    """Return the list of all resources, below the diagram of what refers to what."""
    parts = [
        "# Data dictionary\n",
        "What can be read, and what is in it. The pages are made from the [catalog](/catalog.md).\n",
        "The diagram shows every resource and its references. An arrow leads from the record that holds a key to",
        "the record with that key. References to the most common records are small marks instead of arrows. Point at",
        "a resource to see its references alone. Press it to open its page.\n",
        f"```{{raw}} html\n{overview(list(resources()), area_of)}\n```\n",
    ]
    for area, found in groups.items():
        rows = [
            (
                f"[{each.name}](/generated/dictionary/{each.name}.md)",
                code(each.primary_key) if each.primary_key else "none",
                each.strategy.value,
            )
            for each in found
        ]
        parts += [f"## {area}\n", table(("Resource", "Key", "Strategy"), rows)]
    parts += [
        "Records that are found only inside others: [](/generated/dictionary/records.md).\n",
        toctree(["/generated/dictionary/records"], options=":hidden:\n:maxdepth: 1"),
    ]
    return "\n".join(parts)


def resource_page(resource: Resource) -> str:
    """Return the page of a resource: how it is read, its columns, its relations, who refers to it."""
    through = f"{resource.through.resource}.{resource.through.relation}" if resource.through else ""
    strategy = STRATEGIES[resource.strategy].format(modified=resource.modified_field, through=through)
    facts = [
        ("Key", code(resource.primary_key) if resource.primary_key else "none"),
        ("Strategy", f"`{resource.strategy}`. {strategy}"),
        ("Archived records", "are read too" if resource.archived else "the list has none"),
        ("Path", code(resource.path)),
        ("Scopes", " ".join(code(scope) for scope in resource.scopes) or "not documented"),
        ("Lightspeed's page", f"<{resource.docs_url}>"),
    ]
    if resource.required_params:
        facts.insert(4, ("Needs", " ".join(map(code, resource.required_params))))
    if resource.deprecated:
        facts.insert(0, ("Deprecated", "Lightspeed advises against it"))
    # Left out of the side bar, which would have a hundred more entries on every page.
    parts = ["---\norphan: true\n---\n", f"[Data dictionary](index.md) / {area_of(resource.name)}\n"]
    parts += [f"# {resource.name}\n", table(("", ""), facts)]
    drawing = around(resource, list(resources()))
    if drawing:
        parts.append(f"```{{raw}} html\n{drawing}\n```\n")
    parts += ["## Columns\n", columns_of(resource)]
    secrets = [name for name, field in resource.entity.fields.items() if field.is_secret]
    if secrets:
        parts.append(
            f"Secret fields: {', '.join(map(code, secrets))}. They are [left out](/dataset.md#secrets) unless you name them.\n"
        )
    parts.append("Every row also has the lineage columns and `_extra`: [What is written](/dataset.md).\n")
    if resource.relations:
        parts += ["## Relations\n", relations_of(resource)]
    return "\n".join(parts)


def columns_of(resource: Resource) -> str:
    """Return the table of a resource's columns without relations, in the order of the files."""
    fields = resource.entity.fields
    rows = []
    for column in shape_of(resource).columns:
        field = fields.get(column.name)
        rows.append((code(column.name), type_of(column.arrow), about(resource, column, field)))
    return table(("Column", "Arrow type", "About"), rows)


def type_of(found: pa.DataType) -> str:
    """Return an Arrow type in a few words; what is inside a record is on another page."""
    if pa.types.is_list(found):
        return "list of " + ("records" if pa.types.is_struct(found.value_type) else type_of(found.value_type))
    if pa.types.is_struct(found):
        return "record"
    return (
        str(found)
        .replace("timestamp[us, tz=UTC]", "timestamp[us, UTC]")
        .replace("decimal128(38, 10)", "decimal(38, 10)")
    )


def about(resource: Resource, column: Column, field: Field | None) -> str:
    """Return what the catalog knows of a column."""
    facts: list[str] = []
    if column.name == resource.primary_key:
        facts.append("primary key")
    if column.name == resource.modified_field or (field and resource.modified_field in field.aliases):
        facts.append("moves with every change")
    facts.extend(_facts(field, column.type.value))
    if column.relation:
        facts.append("always loaded")
    return ", ".join(facts)


def _facts(field: Field | None, kind: str) -> Iterator[str]:
    if field is None or not field.target:
        yield kind.replace("_", " ")
    if field is None:
        return
    if field.target:
        yield f"{'records' if field.type == 'collection' else 'record'} of {link(field.target)}"
    if field.references:
        yield f"key of {link(field.references)}"
    if field.format:
        yield f"format `{field.format}`"
    if field.aliases:
        yield "also sent as " + ", ".join(map(code, field.aliases))
    if field.source is not Source.DOCUMENTED:
        yield {"recorded": "from recorded answers", "live": "seen in live accounts only"}[field.source.value]


def link(entity: str) -> str:
    """Return a link to where the dictionary describes an entity."""
    if entity in resource_names():
        return f"[{entity}](/generated/dictionary/{entity}.md)"
    if entity in _described():
        return f"[{entity}](/generated/dictionary/records.md#{entity.lower()})"
    return entity


@cache
def _described() -> frozenset[str]:
    names = frozenset(resource_names())
    return frozenset(found.name for found in entities() if found.name not in names and found.fields)


def relations_of(resource: Resource) -> str:
    """Return the table of a resource's relations."""
    rows = []
    for name, relation in resource.relations.items():
        notes = []
        if relation.container_key != name.rpartition(".")[2]:
            notes.append(f"arrives as `{relation.container_key}`")
        if relation.always_loaded:
            notes.append("always loaded")
        if relation.single_only:
            notes.append("only where one record is read")
        if relation.is_sparse:
            notes.append("most records have none")
        how_many = "many" if relation.cardinality is Cardinality.MANY else "one"
        target = link(relation.target) if relation.target else "not described"
        rows.append((code(name), f"{how_many} {target}", f"{relation.cost:g}", ", ".join(notes)))
    head = ("Relation", "Leads to", "Units a page", "About")
    return table(head, rows)


def records_page() -> str:
    """Return the page of the entities that are no resource."""
    parts = [
        "# Records inside others\n",
        "They have no list of their own. They arrive in relations and embedded fields.\n",
    ]
    for entity in entities():
        if entity.name in _described():
            parts += [f"## {entity.name}\n", _entity(entity)]
    return "\n".join(parts)


def _entity(entity: Entity) -> str:
    rows = []
    for name, field in entity.fields.items():
        facts = ["primary key"] if name == entity.primary_key else []
        facts += list(_facts(field, field.type.value))
        if field.is_secret:
            facts.append("secret, left out unless named")
        rows.append((code(name), ", ".join(facts)))
    return table(("Field", "About"), rows)
