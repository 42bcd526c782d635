"""Shops made up from a seed."""

from __future__ import annotations

from tests.support.small_world import NOW, ROOT, ask, make


def test_one_seed_makes_one_world() -> None:
    """To the byte; another seed makes another."""
    again = make().query(f"{ROOT}/Sale.json", {}, base_url="http://x", now=NOW)
    assert again == ask("Sale")
    assert make(2).query(f"{ROOT}/Sale.json", {}, base_url="http://x", now=NOW).body != again.body
