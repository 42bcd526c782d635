"""Throws bodies of every kind at a parser: only errors of this package may come out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_lightspeed.exceptions import LightspeedError

#: Bodies a test: few with every run of the unit tests, many in ``make soak``.
BODIES: Final = pytest.mark.parametrize(
    "bodies", [pytest.param(300, id="300"), pytest.param(10_000, id="10000", marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)  # fmt: skip

_ODD_TEXTS: Final = (
    "", " ", "\x00", "\n", "\r\n", "\t", "\ud800", "a\udfffb", "\u202e", "\u2028", "\ufeff", "\uff11", "\u00e9", "\U0001f600",
    "***", "null", "true", "NaN", "1e400", "-1e400", "Infinity", "0", "-1", "99999999999999999999", "1" * 400, "x" * 10_000,
    "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59-23:59", "2026-03-10T12:00:00", "Thu, 01 Jan 1970 00:00:00 GMT",
    "Mon, 31 Feb 99999 25:61:61 +9999", "[", "{", "[[[[", "%", "%ff", "%00", "../..", "..%2f", "https://[", "https://x:99999", "a=b&a",
    "http://127.0.0.1:8000", "https://api.lightspeedapp.com", "https://user:pass@api.lightspeedapp.com", "//x", "\\\\x", "a.b.c", ",", "|",
)  # fmt: skip
_ODD_NUMBERS: Final = (0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400)

#: Text with everything in it that Python lets into one, halves of surrogate pairs included.
texts: Final = st.sampled_from(_ODD_TEXTS) | st.text(st.characters(exclude_categories=()), max_size=20)
numbers: Final = st.sampled_from(_ODD_NUMBERS) | st.integers() | st.floats()
scalars: Final = st.none() | st.booleans() | numbers | texts
#: Whatever JSON, or Python's reading of it, may hold.
values: Final = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)


def objects(*keys: str, like: st.SearchStrategy[Any] = values) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects with some of these keys, and sometimes others."""
    names = st.sampled_from(keys) if keys else texts
    return st.dictionaries(names | texts, like, max_size=len(keys) + 1) | st.fixed_dictionaries(
        {}, optional=dict.fromkeys(keys, like)
    )


def nested(depth: int) -> st.SearchStrategy[bytes]:
    """Return JSON that is nested deeper than readers go."""
    return st.sampled_from([b"[" * depth, b'{"a":' * depth, b"[" * depth + b"]" * depth])


def damaged(sample: bytes) -> st.SearchStrategy[bytes]:
    """Return a body with a piece cut out, put in, or put in place of another."""

    def damage(found: tuple[int, int, bytes]) -> bytes:
        start, length, put = found
        return sample[:start] + put + sample[start + length :]

    place = st.integers(0, len(sample))
    return st.tuples(place, st.integers(0, 20), st.binary(max_size=8)).map(damage)


def bodies_of(sample: Any, *keys: str) -> st.SearchStrategy[bytes]:
    """Return bodies: JSON of every kind, objects with the sample's keys, the sample damaged, nested ones, and noise."""
    names = keys or (tuple(sample) if isinstance(sample, dict) else ())
    changed = objects(*names).map(lambda found: {**sample, **found} if isinstance(sample, dict) else found)
    encoded = (values | changed).map(lambda value: json.dumps(value).encode())
    number = st.sampled_from(names or ("a",)).map(lambda name: b'{"%s": %s}' % (name.encode(), b"1" * 5_000))
    return st.one_of(encoded, damaged(json.dumps(sample).encode()), nested(2_000), number, st.binary(max_size=60))


def fuzz(
    parse: Callable[[Any], object],
    strategy: st.SearchStrategy[Any],
    bodies: int,
    record_property: Callable[[str, object], None],
    *,
    allowed: tuple[type[BaseException], ...] = (),
) -> None:
    """Give a parser this many bodies; the counts appear at the end of the run's output.

    :param allowed: errors besides our own that are the parser's interface.
    """
    counts = {"read": 0, "refused": 0}
    ours: tuple[type[BaseException], ...] = (LightspeedError, *allowed)

    @settings(max_examples=bodies, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def run(body: Any) -> None:
        try:
            parse(body)
        except ours:
            counts["refused"] += 1
        else:
            counts["read"] += 1

    run()
    record_property("fuzzed", f"{sum(counts.values())} bodies: {counts['read']} read, {counts['refused']} refused")
