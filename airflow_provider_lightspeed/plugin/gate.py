"""What stands before the refresh trigger in an API server: who gets a thread, who has asked wrongly too often."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from airflow_provider_lightspeed.clock import Clock, SystemClock

#: Threads, and with them database connections, that all refreshes of one API server may take.
MOST_INSIDE: Final = 4


class Turnstile:
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


class Misses:
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
        """Count a miss."""
        self._levels[peer] = (self._level(peer) + 1, self._clock.monotonic())
        self._levels.move_to_end(peer)
        while len(self._levels) > self._peers:
            self._levels.popitem(last=False)

    def _level(self, peer: str) -> float:
        level, at = self._levels.get(peer, (0.0, 0.0))
        return max(0.0, level - (self._clock.monotonic() - at) * self._drip)


class Confirmed:
    """The claims that lately matched what is stored; they are looked at however often their neighbours miss.

    A claim that matches no more is to be discarded: a captured one opens nothing for long.

    :param most: how many are remembered.
    """

    def __init__(self, *, most: int = 1024) -> None:
        self._most = most
        self._claims: OrderedDict[tuple[str, str], None] = OrderedDict()

    def __contains__(self, claim: tuple[str, str]) -> bool:
        return claim in self._claims

    def add(self, conn_id: str, seen: str) -> None:
        """Remember a claim."""
        self._claims[conn_id, seen] = None
        self._claims.move_to_end((conn_id, seen))
        while len(self._claims) > self._most:
            self._claims.popitem(last=False)

    def discard(self, conn_id: str, seen: str) -> None:
        """Forget a claim."""
        self._claims.pop((conn_id, seen), None)
