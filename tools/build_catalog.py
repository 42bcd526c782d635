"""Writes the package's catalog and its documentation page from the fact base ``tools/api/catalog.json``.

python tools/build_catalog.py           write
python tools/build_catalog.py --check   fail if what is committed differs
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = ROOT / "tools/api/catalog.json"
DATA: Final = ROOT / "airflow_provider_lightspeed/resources/catalog.json"
PAGE: Final = ROOT / "docs/catalog.md"

#: Nested fields that arrive without asking although a relation for them exists (docs: endpoints/item).
UNASKED: Final = {("Item", "Prices")}
#: Resources without a modification field that hang on one that has it (docs: endpoints/salepayment).
THROUGH: Final = {"SalePayment": {"resource": "Sale", "relation": "SalePayments"}}
#: Resources whose rows never change once written: their key is followed (docs: endpoints/inventorylog).
APPEND: Final = {"InventoryLog"}
#: Whose field fills a placeholder of a nested path.
PLACEHOLDERS: Final = {
    "itemID": "Item",
    "itemMatrixID": "ItemMatrix",
    "orderID": "Order",
    "orderShipmentID": "Shipment",
    "saleID": "Sale",
    "salePaymentID": "SalePayment",
    "transferID": "InventoryTransfer",
    "workorderID": "Workorder",
}

Facts = dict[str, Any]


def is_resource(entry: Facts) -> bool:
    """Whether the entry can be read as a list."""
    return bool(entry.get("methods", {}).get("get_query") and entry.get("paths", {}).get("list"))


def relation_keys(entities: Facts) -> dict[str, set[str]]:
    """Return, per entity, the keys that hold relations there, gathered over all resources."""
    keys: dict[str, set[str]] = {}
    for name, entry in entities.items():
        for dotted, relation in entry.get("relations", {}).items():
            parent = dotted.rpartition(".")[0]
            owner = entry["relations"].get(parent, {}).get("target") if parent else name
            for key in filter(None, {owner, entry.get("record") if not parent else None}):
                keys.setdefault(key, set()).add(relation["container_key"])
    return keys


def make_field(owner: str, name: str, facts: Facts, relations: set[str]) -> Facts:
    """Return a field without what the package has no use for."""
    kind = {"enum": "string"}.get(facts["type"], facts["type"])
    if kind == "object" and not facts.get("target"):
        kind = "mixed"
    if kind == "collection" and not facts.get("target"):
        kind = "mixed"
    made = {"type": kind} | {
        k: facts[k] for k in ("target", "element", "aliases", "format", "references") if facts.get(k)
    }
    if kind in ("object", "collection") and (name not in relations or (owner, name) in UNASKED):
        made["embedded"] = True
    source = known_from(facts)
    if source != "documented":
        made["source"] = source
    if facts.get("secret"):
        made["is_secret"] = True
    return made


def known_from(facts: Facts) -> str:
    """Return where a field is known from: ``documented``, also in samples of the docs, ``recorded``, or ``live``."""
    source = facts.get("source")
    if source in ("live", "client"):
        return "live"
    return "recorded" if source == "sample" and set(facts["samples_in"]) == {"cassette"} else "documented"


def canonical(fields: Facts) -> Facts:
    """Drop fields that are only another spelling of one before them."""
    kept: Facts = {}
    for name, facts in fields.items():
        if not any(name in earlier.get("aliases", ()) for earlier in kept.values()):
            kept[name] = facts
    return kept


def strategy(name: str, entry: Facts) -> str:
    """Return how the resource is read over time."""
    if entry["kind"] == "report":
        return "period"
    if name in APPEND:
        return "append"
    if name in THROUGH:
        return "parent"
    nested = "{" in entry["paths"]["list"].removeprefix("Account/{accountID}")
    plain = entry["kind"] == "endpoint" and entry["modified"] and not nested
    return "modified" if plain else "snapshot"


def make_relation(facts: Facts) -> Facts:
    """Return a relation with its price on list requests."""
    made = {key: facts[key] for key in ("cardinality", "target", "container_key", "element_key")}
    made["cost"] = facts.get("cost", {}).get("query", 0.0)
    return made | {
        new: True
        for old, new in (("single_only", "single_only"), ("fixed", "always_loaded"), ("sparse", "is_sparse"))
        if facts.get(old)
    }


def make_resource(name: str, entry: Facts) -> Facts:
    """Return a resource."""
    path = entry["paths"]["list"]
    inner = path.removeprefix("Account/{accountID}/")
    own = name if not name.endswith(("CustomFieldChoice", "Choice")) else name.removesuffix("Choice")
    parents = [
        {"placeholder": key, "resource": PLACEHOLDERS.get(key, own), "field": key}
        for key in re.findall(r"{(\w+)}", inner)
    ]
    params = entry["query_params"]
    made = {
        "path": inner if inner != path else f"/{path}",
        "base_path": entry["base"],
        "envelope": entry["envelope"],
        "primary_key": entry["primary_key"],
        "strategy": strategy(name, entry),
        "modified_field": (entry["modified"] or {}).get("field"),
        "created_field": entry["created_field"],
        "archived": entry["archived"],
        "sortable": entry["sortable_fields"],
        "relations": {key: make_relation(value) for key, value in entry["relations"].items()},
        "parents": parents,
        "query_params": sorted(params),
        "required_params": sorted(key for key, facts in params.items() if facts.get("required")),
        "scopes": entry["scopes"],
        "deprecated": bool(entry.get("deprecated")),
        "docs": (entry["docs"] or [""])[0].removesuffix(".md"),
        "variants": entry.get("variants"),
        "page_size": entry.get("page_size"),
        "timeout": entry.get("timeout"),
    }
    made |= {"through": THROUGH[name]} if name in THROUGH else {}
    return {key: value for key, value in made.items() if value not in (None, [], {}, False, "") or key == "primary_key"}


def build(source: Facts) -> Facts:
    """Return the package's catalog."""
    entities = source["entities"]
    keys = relation_keys(entities)
    made = {
        name: {
            "primary_key": entry["primary_key"],
            "fields": {
                key: make_field(entry["record"] if key == "Prices" else name, key, facts, keys.get(name, set()))
                for key, facts in canonical(entry["fields"]).items()
            },
        }
        for name, entry in sorted(entities.items())
    }
    agree_on_types(made)
    return {
        "entities": made,
        "resources": {
            name: make_resource(name, entry) for name, entry in sorted(entities.items()) if is_resource(entry)
        },
    }


def agree_on_types(entities: Facts) -> None:
    """Give a display template's fields the types of the records it displays.

    The documentation describes the records; a template's types were read off one sample (``refNum`` "1" is a text).
    """
    for name, shown in entities.items():
        base = entities.get(name.removeprefix("DisplayTemplate"), {}) if name.startswith("DisplayTemplate") else {}
        for key, facts in base.get("fields", {}).items():
            if key in shown["fields"] and "target" not in facts:
                shown["fields"][key] |= {"type": facts["type"]}


def listed(entities: Facts, is_wanted: Callable[[Facts], bool]) -> str:
    """Return a table of fields by entity."""
    rows = []
    for name, facts in entities.items():
        names = [f"`{key}`" for key, field in facts["fields"].items() if is_wanted(field)]
        if names:
            rows.append(f"| `{name}` | {', '.join(names)} |\n")
    return "| record | fields |\n|---|---|\n" + "".join(rows)


def reads(resources: Facts) -> str:
    """Return a table of the resources that are not read like others."""
    rows = []
    for name, found in resources.items():
        parts = []
        if "variants" in found:
            several = (", ".join(f"`{key}={value}`" for key, value in part.items()) for part in found["variants"])
            parts.append(
                f"{len(found['variants'])} lists, one record once: {'; '.join(part or 'plain' for part in several)}"
            )
        if "page_size" in found:
            parts.append(f"pages of {found['page_size']}, up to {found['timeout']} seconds each")
        if parts:
            rows.append(f"| `{name}` | {'; '.join(parts)} |\n")
    return "| resource | read as |\n|---|---|\n" + "".join(rows)


def page(catalog: Facts, scopes: Container[str]) -> str:
    """Return docs/catalog.md.

    :param scopes: those that the documentation lists.
    """
    rows = []
    for name, found in catalog["resources"].items():
        relations = ", ".join(f"`{key}`" for key in found.get("relations", {}) if "." not in key)
        cells = (
            f"`{name}`",
            f"`{found['path']}`",
            found["primary_key"] or "",
            found["strategy"],
            found.get("modified_field", ""),
            "yes" if found.get("archived") else "",
            relations,
            " ".join(
                scope.removeprefix("employee:") + ("" if scope in scopes else "\\*")
                for scope in found.get("scopes", ())
            ),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return (
        "# Resources\n\n"
        "Generated by `tools/build_catalog.py` from the fact base `tools/api/catalog.json`; do not edit by hand. After a\n"
        "change of the API: correct the fact base, run `python tools/build_catalog.py`, commit both. `make check-data`\n"
        "fails when they differ. The package ships the result as `airflow_provider_lightspeed/resources/catalog.json`.\n\n"
        "Strategies: `modified` filters on the true modification field; `append` follows the primary key; `parent` reads\n"
        "through a resource that has a modification field; `snapshot` reads all of it each time; `period` is a report over\n"
        "days. Dotted relations (`SaleLines.Item`) are left out of this table; `airflow lightspeed resources <name>` shows\n"
        "them with fields and costs. Scopes are without their common prefix `employee:`; one with \\* is named by the page of\n"
        "the resource but missing from the documentation's list of scopes, so no client can ask for it. The provider takes\n"
        "scopes as information only: whether a resource can be read, the API decides.\n\n"
        "| resource | path | key | strategy | modification field | archived | relations | scopes |\n"
        "|---|---|---|---|---|---|---|---|\n" + "\n".join(rows) + "\n\n"
        "## Lists that are read in their own way\n\n" + reads(catalog["resources"]) + "\n"
        "## Secret fields\n\n"
        "Credentials, card data and numbers that are worth money. They are left out of every extract, `_extra` included, unless\n"
        "`columns` names them (also inside a relation: `Vendor.integrationLogin`), or `hash_columns` does.\n\n"
        + listed(catalog["entities"], lambda field: bool(field.get("is_secret")))
        + "\n## Fields that the documentation does not have\n\n"
        "Seen in answers to live clients only. `airflow lightspeed resources <name>` says of each field where it is known from:\n"
        "`documented`, `recorded` (recorded answers of the API) or `live`.\n\n"
        + listed(catalog["entities"], lambda field: field.get("source") == "live")
        + "\n## Quantities\n\n"
        "The documentation calls amounts of goods integers, and every recorded one is whole. Nothing excludes a fraction, so\n"
        "their columns are decimals.\n\n" + listed(catalog["entities"], lambda field: field["type"] == "quantity")
    )


def main() -> int:
    """Write or check."""
    source = json.loads(SOURCE.read_text())
    catalog = build(source)
    data = json.dumps(catalog, indent=None, separators=(",", ":"), sort_keys=False) + "\n"
    made = {DATA: data, PAGE: page(catalog, source["meta"]["scopes_listed"])}
    if "--check" in sys.argv[1:]:
        stale = [
            str(path.relative_to(ROOT)) for path, text in made.items() if not path.exists() or path.read_text() != text
        ]
        if stale:
            print(f"stale: {', '.join(stale)}; run python tools/build_catalog.py")
        return bool(stale)
    for path, text in made.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        print(f"wrote {path.relative_to(ROOT)} ({len(text):,} characters)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
