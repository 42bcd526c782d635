"""The latest secrets among a masker's patterns."""

from __future__ import annotations

import re
from types import SimpleNamespace

from airflow_provider_lightspeed.plugin.masking import LatestPatterns, tokens_in


def test_patterns_stay_within_both_limits_and_the_latest_stay() -> None:
    """Those of others are never taken out."""
    masker = SimpleNamespace(patterns={"others"}, secret_mask_adapter=None)
    latest = LatestPatterns(masker, most=3, longest=40)
    for number in range(10):
        latest.add([f"secret.{number}"])
    assert masker.patterns == {"others", *(re.escape(f"secret.{number}") for number in (7, 8, 9))}
    latest.add(["x" * 35])
    assert masker.patterns == {"others", "x" * 35}


def test_forms_that_an_adapter_makes_of_a_secret_are_held_too() -> None:
    """``[logging] secret_mask_adapter`` may return one text or several."""
    masker = SimpleNamespace(patterns=set(), secret_mask_adapter=lambda secret: [secret.upper(), ""])
    LatestPatterns(masker).add(["abc"])
    assert masker.patterns == {"abc", "ABC"}


def test_tokens_are_found_by_the_name_of_their_nearest_key() -> None:
    """As Airflow's masker finds them: in objects within objects, and in lists."""
    extra = {"token": {"access_token": "a", "scope": ["s"]}, "sibling_tokens": ["b", 5], "host": "h", "seed_token": ""}
    assert list(tokens_in(extra)) == ["a", "b"]
