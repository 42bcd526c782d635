"""Admission to the refresh trigger of one API server: which claims are right, who gets a thread, who asks too often.

A claim is checked before it takes a connection's only place. What was read of a connection is kept for a moment, so that
any number of wrong claims costs a few reads a second, and a right one is let in however many of its neighbours are wrong.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Generic, TypeVar

from airflow_provider_lightspeed.clock import Clock, SystemClock

#: Threads, and with them database connections, that all refreshes of one API server may take.
MOST_INSIDE: Final = 4

T = TypeVar("T")


class SingleFlight:
    """Lets one thread per connection through, and few in all; the others are told at once to come back.

    A grant can take ten seconds. Waiters on a row lock would take Airflow's threads and database connections with them.
    """

    def __init__(self, most: int = MOST_INSIDE) -> None:
        self._most = most
        self._inside: set[str] = set()
        self._guard = threading.Lock()

    def enter(self, conn_id: str) -> bool:
        """Say whether the caller may refresh this connection now."""
        with self._guard:
            if conn_id in self._inside or len(self._inside) >= self._most:
                return False
            self._inside.add(conn_id)
            return True

    def leave(self, conn_id: str) -> None:
        """Let the next one through."""
        with self._guard:
            self._inside.discard(conn_id)


class FailureLimiter:
    """A leaky bucket per peer of claims that matched nothing; one that overflows is told to come back later.

    Parallel tasks miss now and then, when another one has refreshed between their reading and their asking. Behind a
    reverse proxy all callers are one peer: so that no stranger makes tasks fail, an overflow is never an end.

    :param size: misses in a row.
    :param drip: misses forgotten per second.
    :param peers: how many peers are remembered.
    """

    def __init__(
        self, clock: Clock | None = None, *, size: float = 300.0, drip: float = 5.0, peers: int = 1024
    ) -> None:
        self._clock = clock or SystemClock()
        self._size = size
        self._drip = drip
        self._peers = peers
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def overflows(self, peer: str) -> bool:
        """Tell whether this peer has missed too often."""
        return self._level(peer) > self._size

    def add(self, peer: str) -> None:
        """Count a miss. A full bucket takes no more: whoever stops is let in again within a second."""
        self._levels[peer] = (min(self._size, self._level(peer)) + 1, self._clock.monotonic())
        self._levels.move_to_end(peer)
        while len(self._levels) > self._peers:
            self._levels.popitem(last=False)

    def _level(self, peer: str) -> float:
        level, at = self._levels.get(peer, (0.0, 0.0))
        return max(0.0, level - (self._clock.monotonic() - at) * self._drip)


class RecentHashes:
    """The right hashes of connections, as read lately. Safe among threads.

    A hash that is found here is let in; whether it is still right, the refresh itself decides. One that is not found is
    wrong if the connection was read within ``fresh_for`` seconds, else the connection is to be read again.

    :param most: connections that are remembered; the ones read longest ago are forgotten first.
    """

    def __init__(self, clock: Clock | None = None, *, fresh_for: float = 0.5, most: int = 2_048) -> None:
        self._clock = clock or SystemClock()
        self._fresh_for = fresh_for
        self._most = most
        self._found: OrderedDict[str, tuple[frozenset[str], float]] = OrderedDict()
        self._guard = threading.Lock()

    def __contains__(self, claim: tuple[str, str]) -> bool:
        conn_id, seen = claim
        with self._guard:
            return seen in self._found.get(conn_id, (frozenset(), 0.0))[0]

    def exist(self, conn_id: str) -> bool:
        """Tell whether the connection had a right hash when it was read last."""
        with self._guard:
            return bool(self._found.get(conn_id, (frozenset(), 0.0))[0])

    def are_fresh(self, conn_id: str) -> bool:
        """Tell whether the connection was read a moment ago."""
        with self._guard:
            found = self._found.get(conn_id)
        return found is not None and self._clock.monotonic() - found[1] < self._fresh_for

    def put(self, conn_id: str, hashes: frozenset[str]) -> None:
        """Remember what was read now."""
        with self._guard:
            self._found[conn_id] = (hashes, self._clock.monotonic())
            self._found.move_to_end(conn_id)
            while len(self._found) > self._most:
                self._found.popitem(last=False)

    def forget(self, conn_id: str) -> None:
        """Have the connection read again before the next claim is let in: a captured hash opens nothing for long."""
        with self._guard:
            self._found.pop(conn_id, None)


class SharedReads(Generic[T]):
    """Reads in threads of its own; all who ask for what is being read already wait for the same read.

    :param read: called with the key.
    :param threads: reads at a time.
    :param most: reads that may wait, half of them of keys that are not ``urgent``.
    """

    def __init__(self, read: Callable[[str], T], *, threads: int, most: int, name: str) -> None:
        self._read = read
        self._most = most
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._reads: dict[str, Future[T]] = {}
        self._guard = threading.Lock()

    @property
    def are_many(self) -> bool:
        """Whether a quarter of the reads that may wait do."""
        with self._guard:
            return len(self._reads) >= self._most // 4

    def start(self, key: str, *, urgent: bool = True) -> Future[T] | None:
        """Return the read of a key, ``None`` where too many wait."""
        with self._guard:
            found = self._reads.get(key)
            if found is None:
                if len(self._reads) >= (self._most if urgent else self._most // 2):
                    return None
                found = self._reads[key] = self._threads.submit(self._run, key)
            return found

    def _run(self, key: str) -> T:
        try:
            return self._read(key)
        finally:
            with self._guard:
                self._reads.pop(key, None)
