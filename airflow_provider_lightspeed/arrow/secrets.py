"""Keeps secret fields of the catalog out of raw values: what is kept in ``_extra`` may hold records inside (M8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from airflow_provider_lightspeed.resources import catalog
from airflow_provider_lightspeed.resources.base import Entity
from airflow_provider_lightspeed.resources.catalog import entities

#: Stands in ``_extra`` for a value that is secret, or that may show what is excluded or hashed.
WITHHELD: Final = "(withheld)"
#: Fields that the catalog does not know are secret by their name.
_TELLING: Final = re.compile(r"password|passwd|secret|token|credential|cookie|api_?key", re.IGNORECASE)


@cache
def _names() -> tuple[frozenset[str], Mapping[str, frozenset[str]]]:
    """Return names that are secret everywhere, and those that are secret only in a record of a kind.

    ``CreditAccount.code`` is the number of a gift card; ``Currency.code`` is not secret. The kind of an unknown record is
    told by its primary key.
    """
    secret: dict[str, set[str]] = {}
    plain: set[str] = set()
    for entity in entities():
        for field in entity.fields.values():
            for name in (field.name, *field.aliases):
                if field.is_secret:
                    secret.setdefault(name, set()).add(entity.primary_key or "")
                else:
                    plain.add(name)
    everywhere = frozenset(secret) - plain
    return everywhere, {name: frozenset(keys) for name, keys in secret.items() if name in plain}


@cache
def _owners() -> Mapping[str, frozenset[str]]:
    """Return the kinds of record that stand under a key, by that key, and the secrets of each kind."""
    secrets = {
        entity.name: {
            name for field in entity.fields.values() if field.is_secret for name in (field.name, *field.aliases)
        }
        for entity in entities()
    }
    found: dict[str, set[str]] = {name: set(names) for name, names in secrets.items()}
    for entity in entities():
        for field in entity.fields.values():
            if field.target:
                for key in filter(None, (field.name, field.element)):
                    found.setdefault(key, set()).update(secrets.get(field.target, ()))
    return {key: frozenset(names) for key, names in found.items() if names}


def is_secret(owner: Entity, path: str) -> bool:
    """Whether a dotted path of fields leads to a secret, or to a field that the catalog does not know and its name tells."""
    *above, name = path.split(".")
    found: Entity | None = owner
    for step in above:
        target = found.find(step).target if found and found.has(step) else None
        found = catalog.entity(target) if target else None
    if found and found.has(name):
        return found.find(name).is_secret
    return bool(_TELLING.search(name)) or name in _names()[0]


def without_secrets(key: str, value: Any) -> Any:
    """Return a raw value with ``(withheld)`` in place of secrets, at any depth.

    :param key: the field that it is the value of.
    """
    if _TELLING.search(key) or key in _names()[0]:
        return WITHHELD if value not in (None, "") else value
    return _inside(value, _owners().get(key, frozenset()))


def _inside(value: Any, secret: frozenset[str]) -> Any:
    if isinstance(value, list):
        return [_inside(each, secret) for each in value]
    if not isinstance(value, dict):
        return value
    ambiguous = _names()[1]
    found = {}
    for key, inner in value.items():
        is_secret = key in secret or any(kind in value for kind in ambiguous.get(key, ()))
        found[key] = WITHHELD if is_secret and inner not in (None, "") else without_secrets(key, inner)
    return found
