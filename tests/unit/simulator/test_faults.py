"""Which requests a fault rule hits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_lightspeed.simulator.faults import Fault, FaultPlan


def plan(*rules: dict[str, Any], random: Callable[[], float] = lambda: 0.0) -> FaultPlan:
    """Return a plan with the rules in force."""
    made = FaultPlan(random)
    made.add(Fault.parse(rule) for rule in rules)
    return made


def hits(made: FaultPlan, requests: int, target: str = "/API/V3/Account/1/Sale.json") -> list[int]:
    """Return the numbers, from 1, of the requests that are hit."""
    return [number for number in range(1, requests + 1) if made.pick("GET", target)]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, [1]),
        ({"nth": 3}, [3]),
        ({"nth": 2, "count": 2}, [2, 3]),
        ({"nth": 4, "count": None}, [4, 5, 6]),
        ({"probability": 0.0, "count": None}, []),
        ({"method": "POST"}, []),
        ({"path": r"/Item\.json"}, []),
        ({"path": r"/Sale\.json$"}, [1]),
    ],
)
def test_rule_hits_the_requests_it_names(rule: dict[str, Any], expected: list[int]) -> None:
    """``nth`` counts matching requests from 1, ``count`` caps the hits."""
    assert hits(plan({"action": "status"} | rule), 6) == expected


def test_probability_is_drawn_for_every_matching_request() -> None:
    """A fault of probability 0.5 hits where the draw is below it."""
    draws = iter([0.4, 0.6, 0.1, 0.9])
    assert hits(plan({"action": "reset", "probability": 0.5, "count": None}, random=lambda: next(draws)), 4) == [1, 3]


def test_first_rule_that_fires_wins() -> None:
    """One request suffers one fault; the next rule gets the next request."""
    made = plan({"action": "reset"}, {"action": "hang"})
    assert [fault.action.value for _ in range(3) if (fault := made.pick("GET", "/"))] == ["reset", "hang"]


@pytest.mark.parametrize(
    "rule", [{}, {"action": "explode"}, {"action": "status", "pth": "x"}, {"action": "status", "path": "("}]
)
def test_bad_rule_is_refused(rule: dict[str, Any]) -> None:
    """A typing error in a test must not pass as a fault that never fires."""
    with pytest.raises(ValueError, match=r"fault|Action|regular"):
        Fault.parse(rule)


def test_cleared_plan_hits_nothing() -> None:
    """Dropping the rules ends all faults."""
    made = plan({"action": "status", "count": None})
    made.clear()
    assert hits(made, 3) == []
    assert made.report() == []
