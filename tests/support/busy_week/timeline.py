"""Virtual time for worker processes, of which one runs at a time: every request and every file is a place to change turns.

A process is a thread. It hands the turn back whenever it waits, so that a week of many processes is one sequence of
events, the same for the same seed, and a process can be killed between any two of them.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial


class Killed(BaseException):
    """The process is dead: no more of its requests and files reach anybody."""


class Timeline:
    """Events in the order of their moments, in epoch seconds.

    :param start: where time begins.
    """

    def __init__(self, start: datetime) -> None:
        self.now = start.timestamp()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._turn = threading.Semaphore(0)

    def moment(self, ahead: float = 0.0) -> datetime:
        """Return the time, or the time so many seconds ahead."""
        return datetime.fromtimestamp(self.now, UTC) + timedelta(seconds=ahead)

    def at(self, moment: float, event: Callable[[], None]) -> None:
        """Have something happen at a moment, or now if that is past."""
        heapq.heappush(self._events, (max(moment, self.now), next(self._order), event))

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        """Have something happen in so many seconds."""
        self.at(self.now + seconds, event)

    def run(self, until: float) -> None:
        """Let time pass."""
        self.at(until, lambda: None)
        while self._events and self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            event()

    def pass_turn(self, turn: threading.Semaphore) -> None:
        """Let a process go on, until it hands the turn back."""
        turn.release()
        self._turn.acquire()

    def hand_back(self) -> None:
        """Called by a process that waits or has ended."""
        self._turn.release()

    def skips_to(self, moment: float) -> bool:
        """Go to a moment if nothing happens before it; return whether that is so."""
        if self._events and self._events[0][0] <= moment:
            return False
        self.now = moment
        return True


class Process:
    """One worker process. The threads that it starts wait by it too, one at a time.

    :param work: what it does; gets the process.
    :param ended: called at its end, before anything else happens, with what ended it: ``None`` if it just came to its end.
    :param lives: how many times it waits before it is killed; ``None``: it is not killed.
    """

    def __init__(
        self,
        timeline: Timeline,
        work: Callable[[Process], None],
        ended: Callable[[BaseException | None], None],
        *,
        lives: int | None = None,
    ) -> None:
        self.timeline = timeline
        self._work = work
        self._ended = ended
        self._lives = lives
        self._held: threading.Semaphore | None = None

    def start(self) -> None:
        """Begin, and run until it waits for the first time."""
        turn = threading.Semaphore(0)
        threading.Thread(target=self._run, args=(turn,), daemon=True, name="worker").start()
        self.timeline.pass_turn(turn)

    def _run(self, turn: threading.Semaphore) -> None:
        turn.acquire()
        error: BaseException | None = None
        try:
            self._work(self)
        except BaseException as found:  # noqa: BLE001 - it is handed on
            error = found
        # Where the timeline runs, so that an error there ends the week and not this thread.
        self.timeline.at(self.timeline.now, partial(self._ended, error))
        self.timeline.hand_back()

    def wait(self, seconds: float) -> None:
        """Let time pass for everybody; called by the process itself.

        :raises Killed: it is dead, from now on.
        """
        self._check()
        timeline, moment = self.timeline, self.timeline.now + max(0.0, seconds)
        if not timeline.skips_to(moment):
            turn = threading.Semaphore(0)
            timeline.at(moment, partial(timeline.pass_turn, turn))
            timeline.hand_back()
            turn.acquire()

    def hold(self) -> None:
        """Stand still until :meth:`go_on`; called by the process itself.

        :raises Killed: it did not live to go on.
        """
        self._held = threading.Semaphore(0)
        self.timeline.hand_back()
        self._held.acquire()
        self._check()

    def go_on(self) -> None:
        """Let a process go on that stands still."""
        turn, self._held = self._held, None
        assert turn is not None, "it does not stand still"
        self.timeline.pass_turn(turn)

    def kill(self) -> None:
        """Let it do nothing more; one that stands still ends at once."""
        self._lives = 0
        if self._held is not None:
            self.go_on()

    def _check(self) -> None:
        if self._lives is not None:
            self._lives -= 1
            if self._lives < 0:
                raise Killed


class WorkerClock:
    """A worker's clock, which may be wrong; sleeping moves everybody's.

    :param skew: seconds that it is ahead, at a moment of true time.
    """

    def __init__(self, process: Process, skew: Callable[[float], float]) -> None:
        self._process = process
        self._skew = skew

    def now(self) -> datetime:
        """Return the time as this worker sees it."""
        now = self._process.timeline.now
        return self._process.timeline.moment(self._skew(now))

    def monotonic(self) -> float:
        """Return true seconds."""
        return self._process.timeline.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        if seconds > 0:
            self._process.wait(seconds)
