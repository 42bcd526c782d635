"""Holds a dataset's current view against the truth after every publish, and tells what happened to a key that is wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from airflow_provider_lightspeed.extract.storage import Storage
from airflow_provider_lightspeed.resources.base import Resource, Strategy
from airflow_provider_lightspeed.resources.catalog import resource
from tests.contract.busy_week.history import History, State
from tests.contract.busy_week.reading import Json, Reading

#: Seconds before a violation whose commits belong to its account, be the key in them or not.
NEAR: Final = 12 * 3_600.0
#: Every so many looks, what is current over all files that ever were is checked as well.
ALL_FILES: Final = 4
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
class Violation:
    """A rule that did not hold.

    :param watermark: of the dataset at that moment.
    """

    rule: Rule
    name: str
    key: int | None
    moment: float
    detail: str
    watermark: str = ""


@dataclass
class _Sights:
    """The state in which each key was seen last, in one view."""

    places: dict[int, int] = field(default_factory=dict)
    prefix: str = ""


class Checker:
    """Checks the datasets of one account.

    :param storage: where they are.
    :param labels: names a run by its owner.
    """

    def __init__(self, history: History, storage: Storage, labels: Mapping[str, str]) -> None:
        self._history = history
        self._labels = labels
        self._readings = {name: Reading(name, storage, history.place) for name in history.names}
        self._live: dict[str, _Sights] = defaultdict(_Sights)
        self._kept: dict[str, _Sights] = defaultdict(lambda: _Sights(prefix="over all files that ever were: "))
        self._watermarks: dict[str, str] = {}
        self._looks: dict[str, int] = defaultdict(int)
        self._reported: set[tuple[Rule, str, int | None]] = set()
        self.violations: list[Violation] = []

    @property
    def checks(self) -> int:
        """How often a dataset was checked."""
        return sum(self._looks.values())

    def holds(self, name: str, owner: str, attempt: str) -> bool:
        """Whether the manifest knows of a commit."""
        commits = (self._readings[name].manifest() or {}).get("commits", [])
        return any((commit["owner"], commit["attempt"]) == (owner, attempt) for commit in commits)

    def keys(self, name: str) -> set[int]:
        """Return the keys that were current at the last look."""
        return set(self._live[name].places)

    def look(self, name: str, moment: float, *, thoroughly: bool = False) -> None:
        """Check a resource's dataset as a reader finds it now.

        :param thoroughly: over all files as well, in any case.
        """
        manifest = self._readings[name].manifest()
        if manifest is None:
            return
        self._looks[name] += 1
        is_thorough = thoroughly or self._looks[name] % ALL_FILES == 0
        for rule, key, detail in self._violations(name, manifest, moment, is_thorough=is_thorough):
            self.violate(Violation(rule, name, key, moment, detail, self._watermarks.get(name, "")))

    def violate(self, violation: Violation) -> None:
        """Note a violation, the first of its kind and key only."""
        place = (violation.rule, violation.name, violation.key)
        if violation.key is None or place not in self._reported:
            self._reported.add(place)
            self.violations.append(violation)

    def _violations(
        self, name: str, manifest: Json, moment: float, *, is_thorough: bool
    ) -> Iterator[tuple[Rule, int | None, str]]:
        reading = self._readings[name]
        watermark, before = max(manifest["watermarks"].values(), default=""), self._watermarks.get(name, "")
        if watermark < before:
            yield Rule.BACKWARD, None, f"from {before} to {watermark}"
        self._watermarks[name] = max(watermark, before)
        for file, row, wrong in reading.take(manifest, moment):
            yield self._misfit(name, file, row, wrong)
        reach = Reach.of(resource(name), self._watermarks[name], manifest)
        yield from self._compare(name, reading.live(manifest), self._live[name], reach, moment)
        if is_thorough:
            yield from self._compare(name, reading.kept(), self._kept[name], reach, moment)

    def _misfit(self, name: str, file: Json, row: Json | None, wrong: str) -> tuple[Rule, int | None, str]:
        what = f"{file['path']} of commit {file['commit']} {wrong}"
        if row is None:
            return Rule.BROKEN, None, what
        key: int = row[resource(name).primary_key or ""]
        if self._history.place(name, row):
            return Rule.BROKEN, key, what
        rule = Rule.CHILDREN if self._history.scalars(name, row) else Rule.INVENTED
        return rule, key, f"{what}: {self._history.difference(name, row)}"

    def _compare(
        self, name: str, numbers: list[int], sights: _Sights, reach: Reach, moment: float
    ) -> Iterator[tuple[Rule, int, str]]:
        facts, view = self._readings[name].known.facts, defaultdict[int, set[int]](set)
        for number in numbers:
            view[facts[number].key].update(facts[number].places[-1:])
        for key, states in self._history.states[name].items():
            last = sights.places.get(key)
            shown = view.get(key, set())
            if len(shown) > 1:
                yield Rule.AMBIGUOUS, key, f"{sights.prefix}states {sorted(shown)}"
            now = max(shown, default=None)
            moves = self._history.moves(name, key)
            for rule, detail in reach.wrongs(states, moves, now=now, last=last, moment=moment):
                yield rule, key, sights.prefix + detail
            if now is not None:
                sights.places[key] = now
            else:
                sights.places.pop(key, None)

    # -- the account of a key ----------------------------------------------------------------------------------------

    def account(self, violation: Violation) -> str:
        """Return what happened to a key: its states, and the commits that hold it."""
        name, key, known = violation.name, violation.key, self._readings[violation.name].known
        lines = [
            f"{violation.rule.name}: {violation.rule.value}",
            f"{name} {'' if key is None else key} at {_time(violation.moment)}, watermark {violation.watermark}: {violation.detail}",
        ]  # fmt: skip
        for place, state in enumerate(self._history.states[name].get(key, ()) if key is not None else ()):
            stamp = "none" if state.stamp is None else _time(state.stamp)
            lines.append(f"  state {place}: {state.note}; stamped {stamp}, shows from {_time(state.seen_from)}")
        files = {known.facts[number].file: known.facts[number] for number in known.of_key.get(key or 0, ())}
        for since, commit in known.commits.values():
            fact = next((files[file["path"]] for file in commit["files"] if file["path"] in files), None)
            is_near = violation.moment - NEAR <= since <= violation.moment
            if is_near or (fact is not None and since <= violation.moment):
                holds = f"holds state {list(fact.places)}" if fact is not None else "does not hold it"
                lines.append(f"  {_time(since)[:19]}: {self._describe(commit)}: {holds}")
        return "\n".join(lines)

    def _describe(self, commit: Json) -> str:
        run = self._labels.get(commit["owner"], commit["owner"])
        start, end = (commit["window_start"] or "the beginning")[:19], commit["window_end"][:19]
        kind = f"whole, up to {end}" if commit["whole"] else "sweep" if commit["sweep"] else f"[{start}, {end})"
        moves = "" if commit["watermark"] else ", moves no watermark"
        begun = commit["extracted_at"][:23]
        return f"commit {commit['sequence']} of {run} try {commit['attempt']}, begun {begun}, {kind}{moves}"


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a dataset claims to reach.

    :param until: all that is stamped before it has been read: the watermark, in whole seconds.
    :param since: nothing before it has been asked for.
    :param begun: when the newest read that followed the keys began.
    :param whole: when the newest read of everything began, or the newest search for what is gone.
    :param swept: when the newest search began for what is gone or was archived without a trace.
    """

    strategy: Strategy
    until: float
    since: float
    begun: float
    whole: float
    swept: float

    @classmethod
    def of(cls, found: Resource, watermark: str, manifest: Json) -> Reach:
        """Return the reach that the manifest's commits give."""
        moving = [commit for commit in manifest["commits"] if commit["watermark"]]
        starts = [_epoch(commit["window_start"]) for commit in moving]
        begun = [_epoch(commit["extracted_at"]) for commit in moving]
        wholes = [_epoch(commit["extracted_at"]) for commit in manifest["commits"] if commit["whole"]]
        sweeps = [_epoch(commit["extracted_at"]) for commit in manifest["commits"] if commit["sweep"]]
        return cls(
            found.strategy,
            until=float(int(_epoch(watermark))),
            since=min(starts, default=float("inf")),
            begun=max(begun, default=NEVER),
            whole=max((*wholes, *sweeps), default=NEVER),
            swept=max(sweeps, default=NEVER),
        )

    def wrongs(
        self, states: list[State], moves: list[State], *, now: int | None, last: int | None, moment: float
    ) -> Iterator[tuple[Rule, str]]:
        """Yield the rules that a record's place in a view breaks.

        :param moves: the states, of the record or of the parent it is read through, that take it to another window.
        :param now: the state that it is in there; ``None``: it is not there.
        :param last: the state that it was in before.
        """
        is_deleted = states[-1].shown is None and states[-1].seen_from <= moment
        needed = None if self._has_moved_on(moves, moment) else self._needed(states, is_known=last is not None)
        if now is None:
            if needed is not None and not is_deleted:
                yield Rule.LOST, f"state {needed} is missing altogether"
            if last is not None and not is_deleted:
                yield Rule.VANISHED, f"state {last} was there before"
            return
        if states[now].seen_from > moment:
            yield Rule.INVENTED, f"state {now} does not show before {_time(states[now].seen_from)}"
        if needed is not None and now < needed and states[needed].shown is not None:
            yield Rule.STALE, f"in state {now}, not {needed}"
        if last is not None and now < last:
            yield Rule.LOWERED, f"from state {last} to {now}"
        if is_deleted and states[-1].seen_from < self.whole:
            yield Rule.RETURNED, f"in state {now}"
        # That a deleted record lags is known, until something finds it: a sale that is read without its payment does.
        elif is_deleted and self.strategy is Strategy.PARENT and needed == len(states) - 1:
            yield Rule.LEFT, f"in state {now}"

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


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()
