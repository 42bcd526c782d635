"""What is current in a dataset, as SQL on DuckDB: the read contract, told once more beside the views that are shipped.

Per account and primary key the row with the greatest (modification field, ``_extracted_at``) counts, over all live files of
``_manifest.json``; of rows without a primary key those of the newest read count. A row is gone

- when a tombstone's ``_extracted_at`` is not before its own (``{Resource}.tombstones``: primary key, ``_extracted_at``);
- if it is read through a parent: when its parent was read later without it (``{Resource}.{Parent}``: the parent's primary
  key, ``_extracted_at``).
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_lightspeed.resources.base import Resource
from airflow_provider_lightspeed.resources.catalog import resource


@dataclass(frozen=True, slots=True)
class Tables:
    """What a dataset consists of, as names of tables or as SQL expressions that yield them.

    :param live: the rows of the live files.
    :param tombstones: keys that a sweep has found gone, if there was one.
    :param parents: the parents that were read, of a resource that is read through them.
    """

    live: str
    tombstones: str | None = None
    parents: str | None = None


def current(name: str, tables: Tables) -> str:
    """Return the query whose rows are the current ones of a resource, with all columns of ``live``."""
    found = resource(name)
    conditions = " AND ".join(["true", *_gone(found, tables)])
    return (
        f"SELECT * EXCLUDE (_rank) FROM (SELECT *, {_rank(found)} AS _rank FROM {tables.live} AS row WHERE {conditions}) "  # noqa: S608
        "WHERE _rank = 1"
    )


def _rank(found: Resource) -> str:
    """Rows that tie are all kept: which of them is current would be chance."""
    if found.primary_key is None:
        return "rank() OVER (PARTITION BY _account_id ORDER BY _extracted_at DESC)"
    order = "_extracted_at DESC"
    if found.modified_field:
        order = f'"{found.entity.find(found.modified_field).name}" DESC NULLS LAST, {order}'
    return f'rank() OVER (PARTITION BY _account_id, "{found.primary_key}" ORDER BY {order})'


def _gone(found: Resource, tables: Tables) -> list[str]:
    conditions = []
    if tables.tombstones:
        conditions.append(
            f"NOT EXISTS (SELECT 1 FROM {tables.tombstones} AS gone WHERE gone._account_id = row._account_id "  # noqa: S608
            f'AND gone."{found.primary_key}" = row."{found.primary_key}" AND gone._extracted_at >= row._extracted_at)'
        )
    if tables.parents and found.through:
        key = resource(found.through.resource).primary_key
        conditions.append(
            f"NOT EXISTS (SELECT 1 FROM {tables.parents} AS parent WHERE parent._account_id = row._account_id "  # noqa: S608
            f'AND parent."{key}" = row."{key}" AND parent._extracted_at > row._extracted_at)'
        )
    return conditions
