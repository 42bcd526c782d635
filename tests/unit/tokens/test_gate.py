"""What stands before the refresh trigger."""

from __future__ import annotations

from airflow_provider_lightspeed.plugin.gate import Misses, Turnstile
from tests.fakes import FakeClock


def test_one_thread_per_connection_and_few_in_all() -> None:
    """The rest are told at once to come back."""
    gate = Turnstile(most=2)
    assert [gate.enter(name) for name in ("a", "a", "b", "c")] == [True, False, True, False]
    gate.leave("a")
    assert [gate.enter(name) for name in ("c", "b")] == [True, False]


def test_peer_that_misses_too_often_is_not_looked_at_until_its_bucket_has_leaked() -> None:
    """Others are."""
    clock = FakeClock()
    misses = Misses(clock, size=3, drip=1)
    for _ in range(4):
        assert not misses.overflows("evil")
        misses.add("evil")
    assert misses.overflows("evil")
    assert not misses.overflows("good")
    clock.sleep(2)
    assert not misses.overflows("evil")


def test_peers_are_not_remembered_without_end() -> None:
    """An attacker with many addresses fills no memory."""
    misses = Misses(FakeClock(), peers=10)
    for number in range(100):
        misses.add(str(number))
    assert len(misses._levels) == 10
