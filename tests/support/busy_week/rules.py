"""What holds of a record in a view after every publish: pure rules over the states that it has been in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from airflow_provider_lightspeed.lake.records import Commit
from airflow_provider_lightspeed.resources.base import Resource, Strategy
from tests.support.busy_week.history import State

NEVER: Final = float("-inf")


class Rule(StrEnum):
    """What holds after every publish."""

    LOST = "a record changed before the watermark is in the view"
    STALE = "it is there in the newest state from before the watermark, or a newer one"
    LOWERED = "a publish never takes a record back to an earlier state"
    VANISHED = "a record in the view stays there until it is deleted"
    LEFT = "a payment that its sale was read without is gone"
    RETURNED = "what a full read or a sweep has found gone stays gone"
    INVENTED = "every row is a state that its record has been in"
    CHILDREN = "every row holds the lines and payments of its own version"
    AMBIGUOUS = "no two states of a record tie"
    BROKEN = "every live file is there, holds what the manifest says, and no key twice"
    BACKWARD = "the watermark never goes back"
    UNCOUNTED = "a publish is in the manifest when its run ends"
    CRASHED = "a run ends with a commit, or with the fault that it met"


@dataclass(frozen=True, slots=True)
class Sight:
    """How a record shows in a view: the state that it is in, when that was read from, and since when it is committed."""

    place: int
    extracted: float
    known: float


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a dataset claims to reach.

    :param until: all that is stamped before it has been read: the watermark, in whole seconds.
    :param since: nothing before it has been asked for.
    :param begun: when the newest read that followed the keys began.
    :param wholes: when reads of everything began.
    :param swept: when the newest search began for what is gone or was archived without a trace.
    """

    strategy: Strategy
    until: float
    since: float
    begun: float
    wholes: tuple[float, ...]
    swept: float

    @classmethod
    def of(cls, found: Resource, watermark: str, commits: Sequence[Commit]) -> Reach:
        """Return the reach that commits give."""
        moving = [commit for commit in commits if commit.watermark]
        starts = [commit.window_start.timestamp() if commit.window_start else 0.0 for commit in moving]
        begun = [commit.extracted_at.timestamp() for commit in moving]
        wholes = [commit.extracted_at.timestamp() for commit in commits if commit.kind == "full"]
        sweeps = [commit.extracted_at.timestamp() for commit in commits if commit.kind == "sweep"]
        return cls(
            found.strategy,
            until=float(int(_epoch(watermark))),
            since=min(starts, default=float("inf")),
            begun=max(begun, default=NEVER),
            wholes=tuple(wholes),
            swept=max(sweeps, default=NEVER),
        )

    def wrongs(
        self, states: list[State], moves: list[State], *, now: Sight | None, last: Sight | None, moment: float
    ) -> Iterator[tuple[Rule, str]]:
        """Yield the rules that a record's place in a view breaks.

        :param moves: the states, of the record or of the parent it is read through, that take it to another window.
        :param now: how it shows there; ``None``: it is not there.
        :param last: how it showed before.
        """
        is_deleted = states[-1].shown is None and states[-1].seen_from <= moment
        needed = None if self._has_moved_on(moves, moment) else self._needed(states, is_known=last is not None)
        if now is None:
            if needed is not None and not is_deleted:
                yield Rule.LOST, f"state {needed} is missing altogether"
            if last is not None and not is_deleted:
                yield Rule.VANISHED, f"state {last.place} was there before"
            return
        if states[now.place].seen_from > moment:
            yield Rule.INVENTED, f"state {now.place} does not show before {time_of(states[now.place].seen_from)}"
        if needed is not None and now.place < needed and states[needed].shown is not None:
            yield Rule.STALE, f"in state {now.place}, not {needed}"
        if last is not None and self._is_lowered(now, last):
            yield Rule.LOWERED, f"from state {last.place} to {now.place}"
        if is_deleted and self._was_found_gone(states[-1], now):
            yield Rule.RETURNED, f"in state {now.place}"
        # That a deleted record lags is known, until something finds it: a sale that is read without its payment does.
        elif is_deleted and self.strategy is Strategy.PARENT and needed == len(states) - 1:
            yield Rule.LEFT, f"in state {now.place}"

    def _is_lowered(self, now: Sight, last: Sight) -> bool:
        """Whether a record went back to an earlier state; without a modification time the later read counts."""
        is_timed = self.strategy is Strategy.MODIFIED
        return now.place < last.place and (is_timed or now.extracted < last.extracted)

    def _was_found_gone(self, deletion: State, now: Sight) -> bool:
        """Whether a sweep has missed it, or a read of everything that found it committed; what was read meanwhile lags."""
        if deletion.seen_from < self.swept:
            return True
        return any(deletion.seen_from < whole and now.known < whole for whole in self.wholes)

    def _has_moved_on(self, moves: list[State], moment: float) -> bool:
        """Whether a record has left the windows that were read: the next one finds it."""
        if self.strategy not in (Strategy.MODIFIED, Strategy.PARENT):
            return False
        return any(move.stamp is not None and move.stamp >= self.until and move.seen_from <= moment for move in moves)

    def _needed(self, states: list[State], *, is_known: bool) -> int | None:
        """Return the oldest state that may be shown, ``None`` if the record need not be there.

        :param is_known: the dataset had it before: sweeps look for nothing else.
        """
        for place in reversed(range(len(states))):
            state = states[place]
            if self.strategy is Strategy.APPEND:
                if state.seen_from <= self.begun:
                    return place
            elif state.stamp is None:
                # Archived while its sale was not touched.
                if is_known and state.seen_from < self.swept:
                    return place
            elif self.since <= state.stamp < self.until:
                return place
        return None


def _epoch(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def time_of(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()
