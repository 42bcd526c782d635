"""What stands before the refresh trigger."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest

from airflow_provider_lightspeed.plugin.gate import FailureLimiter, RecentHashes, SharedReads, SingleFlight
from tests.support.fakes import FakeClock


def test_one_thread_per_connection_and_few_in_all() -> None:
    """The rest are told at once to come back."""
    gate = SingleFlight(most=2)
    assert [gate.enter(name) for name in ("a", "a", "b", "c")] == [True, False, True, False]
    gate.leave("a")
    assert [gate.enter(name) for name in ("c", "b")] == [True, False]


def test_peer_that_misses_too_often_overflows_until_its_bucket_has_leaked() -> None:
    """Others do not."""
    clock = FakeClock()
    failures = FailureLimiter(clock, size=3, drip=1)
    for _ in range(4):
        assert not failures.overflows("evil")
        failures.add("evil")
    assert failures.overflows("evil")
    assert not failures.overflows("good")
    clock.sleep(2)
    assert not failures.overflows("evil")


def test_flood_is_forgotten_as_fast_as_a_few_misses() -> None:
    """A full bucket takes no more: the tasks behind the same proxy do not pay for an hour of it."""
    clock = FakeClock()
    failures = FailureLimiter(clock, size=3, drip=1)
    for _ in range(10_000):
        failures.add("proxy")
    clock.sleep(1)
    assert not failures.overflows("proxy")


def test_peers_are_not_remembered_without_end() -> None:
    """An attacker with many addresses fills no memory."""
    failures = FailureLimiter(FakeClock(), peers=10)
    for number in range(100):
        failures.add(str(number))
    assert len(failures._levels) == 10


def test_hashes_belong_to_their_connection_and_are_few_in_all() -> None:
    """The connections read last stay; one can be forgotten."""
    right = RecentHashes(FakeClock(), most=2)
    for conn_id in ("a", "b", "a", "c"):
        right.put(conn_id, frozenset({"hash"}))
    assert [(conn_id, "hash") in right for conn_id in ("a", "b", "c", "d")] == [True, False, True, False]
    assert ("a", "another") not in right
    right.forget("a")
    right.forget("never seen")
    assert ("a", "hash") not in right


def test_hash_that_is_not_found_is_wrong_only_for_a_moment() -> None:
    """Then the connection is to be read again; what was right stays known meanwhile."""
    clock = FakeClock()
    right = RecentHashes(clock, fresh_for=0.5)
    assert not right.are_fresh("shop")
    right.put("shop", frozenset({"hash"}))
    right.put("nobody", frozenset())
    assert right.are_fresh("shop")
    assert (right.exist("shop"), right.exist("nobody"), right.exist("never read")) == (True, False, False)
    clock.sleep(0.6)
    assert not right.are_fresh("shop")
    assert ("shop", "hash") in right


def test_all_who_ask_for_one_key_wait_for_one_read() -> None:
    """And there is a limit to the keys that wait, lower for those that are not urgent."""
    goes_on, read = threading.Event(), []

    def slow(key: str) -> str:
        goes_on.wait(10)
        read.append(key)
        return key.upper()

    reads = SharedReads(slow, threads=1, most=2, name="test")
    asked = [reads.start("a"), reads.start("a"), reads.start("b", urgent=False), reads.start("b"), reads.start("c")]
    assert asked[0] is asked[1]
    assert asked[2] is None
    assert asked[4] is None
    goes_on.set()
    assert [found.result(10) for found in asked if found] == ["A", "A", "B"]
    assert read == ["a", "b"]


def test_failed_read_fails_for_all_who_wait_and_is_tried_anew() -> None:
    """Nobody is answered with an old failure."""
    errors = [OSError("the database is away")]

    def read(_: str) -> int:
        if errors:
            raise errors.pop()
        return 1

    reads = SharedReads(read, threads=1, most=2, name="test")
    first: Future[int] | None = reads.start("a")
    assert first is not None
    with pytest.raises(OSError, match="away"):
        first.result(10)
    again = reads.start("a")
    assert again is not None
    assert again.result(10) == 1
