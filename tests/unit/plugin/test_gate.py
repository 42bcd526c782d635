"""What stands before the refresh trigger."""

from __future__ import annotations

from airflow_provider_lightspeed.plugin.gate import Confirmed, Misses, Turnstile
from tests.support.fakes import FakeClock


def test_one_thread_per_connection_and_few_in_all() -> None:
    """The rest are told at once to come back."""
    gate = Turnstile(most=2)
    assert [gate.enter(name) for name in ("a", "a", "b", "c")] == [True, False, True, False]
    gate.leave("a")
    assert [gate.enter(name) for name in ("c", "b")] == [True, False]


def test_peer_that_misses_too_often_overflows_until_its_bucket_has_leaked() -> None:
    """Others do not."""
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


def test_confirmed_claims_are_few_and_can_be_forgotten() -> None:
    """The latest stay; each belongs to its connection."""
    confirmed = Confirmed(most=2)
    for conn_id in ("a", "b", "a", "c"):
        confirmed.add(conn_id, "hash")
    assert [(conn_id, "hash") in confirmed for conn_id in ("a", "b", "c", "d")] == [True, False, True, False]
    confirmed.discard("a", "hash")
    confirmed.discard("never seen", "hash")
    assert ("a", "hash") not in confirmed
