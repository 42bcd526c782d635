"""The tree of errors: complete, and each error keeps its fields."""

from __future__ import annotations

import pickle
import re

import pytest

from airflow_provider_lightspeed import exceptions
from airflow_provider_lightspeed.exceptions import InvalidArgument, unknown


def test_errors_keep_their_fields_through_pickling() -> None:
    """Airflow sends exceptions between processes."""
    error = unknown("resource", "Sael", ["Sale", "Item"])
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert type(copy) is InvalidArgument
    assert (str(copy), copy.found, copy.near) == (str(error), "Sael", ["Sale"])


def test_tree_of_the_docstring_is_the_tree() -> None:
    """Each error stands in it, below its base, and is exported."""
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in (exceptions.__doc__ or "").splitlines():
        if found := re.match(r"^ {4}([│ ]*)(?:[├└]── )?([A-Z]\w+)", line):
            depth = (len(line) - len(line.lstrip(" │├└─"))) // 4 - 1
            above[depth:] = [found[2]]
            drawn[found[2]] = above[depth - 1] if depth else "Exception"
    errors = {
        name: kind for name, kind in vars(exceptions).items() if isinstance(kind, type) and issubclass(kind, Exception)
    }
    assert drawn == {name: kind.__bases__[0].__name__ for name, kind in errors.items()}
    assert set(exceptions.__all__) == set(errors)


def test_missing_field_is_an_attribute_error() -> None:
    """So that ``hasattr`` and copying work."""
    error = exceptions.RequestRefused("no", status=404)
    assert (error.status, hasattr(error, "url")) == (404, False)


@pytest.mark.parametrize(
    ("found", "allowed", "words"),
    [
        ("sale", ["Sale", "Item"], "Did you mean 'Sale'?"),
        ("xyz", ["Sale", "Item"], "Allowed: Item, Sale."),
        ("xyz", [], "Allowed: none."),
        ("xyz", [f"name{number}" for number in range(50)], "and 10 more."),
    ],
)
def test_unknown_name_is_answered_with_what_is_allowed(found: str, allowed: list[str], words: str) -> None:
    """The nearest names first; a long list is cut, never the advice."""
    error = unknown("resource", found, allowed, hint="See the catalog.")
    assert words in str(error)
    assert str(error).endswith(" See the catalog.")
    assert (error.field, error.found, error.allowed) == ("resource", found, sorted(allowed))
