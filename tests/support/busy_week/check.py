"""Holds a dataset's current view against the truth after every publish, and tells what happened to a key that is wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from airflow_provider_lightspeed.lake.log import Log
from airflow_provider_lightspeed.lake.records import Commit
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.resources.catalog import resource
from tests.support.busy_week.history import History
from tests.support.busy_week.reading import Json, Reading
from tests.support.busy_week.rules import Reach, Rule, Sight, time_of

#: Seconds before a violation whose commits belong to its account, be the key in them or not.
NEAR: Final = 12 * 3_600.0
#: Every so many looks, what is current in a warehouse that has loaded every commit is checked as well.
IN_A_WAREHOUSE: Final = 4


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
    """How each key was seen last, in one view."""

    last: dict[int, Sight] = field(default_factory=dict)
    prefix: str = ""


class Checker:
    """Checks the datasets of one account.

    :param storage: where they are.
    :param labels: names a run by its owner.
    """

    def __init__(self, history: History, storage: Storage, labels: Mapping[str, str]) -> None:
        self._history = history
        self._storage = storage
        self._labels = labels
        self._readings = {name: Reading(name, storage, history.place) for name in history.names}
        self._live: dict[str, _Sights] = defaultdict(_Sights)
        self._kept: dict[str, _Sights] = defaultdict(lambda: _Sights(prefix="in a warehouse: "))
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
        manifest = self._readings[name].manifest() or {}
        notes = Log(self._storage, name).notes(owner)
        return any(note.id.endswith(f"-{owner}-{attempt}") and note.version <= manifest["version"] for note in notes)

    def keys(self, name: str) -> set[int]:
        """Return the keys that were current at the last look."""
        return set(self._live[name].last)

    def look(self, name: str, moment: float, *, thoroughly: bool = False) -> None:
        """Check a resource's dataset as a reader finds it now.

        :param thoroughly: as a warehouse has it as well, in any case.
        """
        manifest = self._readings[name].manifest()
        if manifest is None:
            return
        self._looks[name] += 1
        is_thorough = thoroughly or self._looks[name] % IN_A_WAREHOUSE == 0
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
        commits = [commit for _, commit in reading.known.commits.values()]
        reach = Reach.of(resource(name), self._watermarks[name], commits)
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
        view = defaultdict[int, set[Sight]](set)
        for number in numbers:
            fact = self._readings[name].known.facts[number]
            places = (self._history.latest(name, fact.key, place, moment) for place in fact.places[-1:])
            view[fact.key].update(Sight(place, fact.extracted, fact.known) for place in places)
        for key, states in self._history.states[name].items():
            shown = view.get(key, set())
            if len({sight.place for sight in shown}) > 1:
                yield Rule.AMBIGUOUS, key, f"{sights.prefix}states {sorted(sight.place for sight in shown)}"
            now = max(shown, key=lambda sight: sight.place, default=None)
            moves, last = self._history.moves(name, key), sights.last.get(key)
            for rule, detail in reach.wrongs(states, moves, now=now, last=last, moment=moment):
                yield rule, key, sights.prefix + detail
            if now is not None:
                sights.last[key] = now
            else:
                sights.last.pop(key, None)

    # -- the account of a key ----------------------------------------------------------------------------------------

    def account(self, violation: Violation) -> str:
        """Return what happened to a key: its states, and the commits that hold it."""
        name, key, known = violation.name, violation.key, self._readings[violation.name].known
        lines = [
            f"{violation.rule.name}: {violation.rule.value}",
            f"{name} {'' if key is None else key} at {time_of(violation.moment)}, watermark {violation.watermark}: {violation.detail}",
        ]  # fmt: skip
        for place, state in enumerate(self._history.states[name].get(key, ()) if key is not None else ()):
            stamp = "none" if state.stamp is None else time_of(state.stamp)
            lines.append(f"  state {place}: {state.note}; stamped {stamp}, shows from {time_of(state.seen_from)}")
        files = {known.facts[number].file: known.facts[number] for number in known.of_key.get(key or 0, ())}
        begun = min((state.seen_from for state in self._history.states[name].get(key or 0, ())), default=0.0)
        for since, commit in known.commits.values():
            fact = next((files[file.path] for file in commit.files.get("", ()) if file.path in files), None)
            is_near = violation.moment - NEAR <= since <= violation.moment
            is_near |= commit.kind == "full" and begun <= since <= violation.moment
            if is_near or (fact is not None and since <= violation.moment):
                holds = f"holds state {list(fact.places)}" if fact is not None else "does not hold it"
                lines.append(f"  {time_of(since)[:19]}: {self._describe(commit)}: {holds}")
        return "\n".join(lines)

    def _describe(self, commit: Commit) -> str:
        run = self._labels.get(commit.run_id, commit.run_id)
        start = commit.window_start.isoformat()[:19] if commit.window_start else "the beginning"
        end = commit.window_end.isoformat()[:19]
        kind = f"full, up to {end}" if commit.kind == "full" else f"[{start}, {end})"
        kind = commit.kind if commit.kind in ("sweep", "compaction") else kind
        moves = "" if commit.watermark else ", moves no watermark"
        late = f", overtaken by {commit.overtaken_by}" if commit.overtaken_by else ""
        begun = commit.extracted_at.isoformat()[:23]
        return f"commit {commit.version} of {run} try {commit.attempt_number}, begun {begun} on {commit.base}, {kind}{moves}{late}"
