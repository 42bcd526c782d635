"""Holds a dataset's current view against the truth after every publish, and tells what happened to a key that is wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import duckdb
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_lightspeed.extract.storage import Storage
from airflow_provider_lightspeed.resources.base import Resource, Strategy
from airflow_provider_lightspeed.resources.catalog import resource
from tests.contract.busy_week.history import History, State
from tests.contract.current import Tables, current

Json = dict[str, Any]
#: Seconds before a violation whose commits belong to its account, be the key in them or not.
NEAR: Final = 12 * 3_600.0


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
    DOUBLED = "a commit holds each key once"
    AMBIGUOUS = "no two states of a record tie"
    MISSING = "every live file is there, with the rows that the manifest says"
    BACKWARD = "the watermark never goes back"
    COUNTED = "a publish is in the manifest when its run ends"
    CRASHED = "a run ends with a commit, or with the fault that it met"


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that did not hold."""

    rule: Rule
    name: str
    key: int | None
    moment: float
    detail: str
    watermark: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One extracted row.

    :param places: the states of its record that it shows.
    """

    key: int
    file: str
    extracted: float
    places: tuple[int, ...]


@dataclass(slots=True)
class Dataset:
    """What is known of one resource's dataset.

    :param tables: by file, the columns that decide what is current, and the row's number in ``facts``.
    :param commits: by id, since when they are known.
    :param sights: the state in which each key was seen last.
    """

    facts: list[Fact] = field(default_factory=list)
    tables: dict[str, pa.Table] = field(default_factory=dict)
    commits: dict[str, tuple[float, Json]] = field(default_factory=dict)
    of_key: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    sights: dict[int, int] = field(default_factory=dict)
    watermark: str = ""
    reported: set[tuple[Rule, int | None]] = field(default_factory=set)


class Checker:
    """Checks datasets of one account.

    :param storage: where they are.
    :param label: names a run by its owner.
    """

    def __init__(self, history: History, storage: Storage, label: Mapping[str, str]) -> None:
        self._history = history
        self._storage = storage
        self._label = label
        self._duckdb = duckdb.connect(config={"threads": 1})
        self._datasets: dict[str, Dataset] = defaultdict(Dataset)
        self.violations: list[Violation] = []
        self.checks = 0

    def look(self, name: str, moment: float) -> None:
        """Check a resource's dataset as a reader finds it now."""
        manifest = self._manifest(name)
        if manifest is None:
            return
        self.checks += 1
        seen = self._datasets[name]
        for violation in self._violations(name, seen, manifest, moment):
            if (violation.rule, violation.key) not in seen.reported:
                seen.reported.add((violation.rule, violation.key))
                self.violations.append(violation)

    def _manifest(self, name: str) -> Json | None:
        content = self._storage.read(f"{name}/_manifest.json")
        return orjson.loads(content) if content else None

    def holds(self, name: str, owner: str, attempt: str) -> bool:
        """Whether the manifest knows of a commit."""
        commits = (self._manifest(name) or {}).get("commits", [])
        return any((commit["owner"], commit["attempt"]) == (owner, attempt) for commit in commits)

    def _violations(self, name: str, seen: Dataset, manifest: Json, moment: float) -> Iterator[Violation]:
        def found(rule: Rule, key: int | None, detail: str) -> Violation:
            return Violation(rule, name, key, moment, detail, seen.watermark)

        for commit in manifest["commits"]:
            seen.commits.setdefault(commit["id"], (moment, commit))
        watermark = max(manifest["watermarks"].values(), default="")
        if watermark < seen.watermark:
            yield found(Rule.BACKWARD, None, f"from {seen.watermark} to {watermark}")
        seen.watermark = max(seen.watermark, watermark)
        live = []
        for file in manifest["files"]:
            if file["path"] not in seen.tables:
                for rule, key, detail in self._load(name, seen, file):
                    yield found(rule, key, detail)
            if file["path"] in seen.tables:
                live.append(seen.tables[file["path"]])
        view: dict[int, set[int]] = defaultdict(set)
        for number in self._current(name, live):
            view[seen.facts[number].key].add(number)
        reach = Reach.of(resource(name), seen, manifest)
        for rule, key, detail in self._compare(name, seen, view, reach, moment):
            yield found(rule, key, detail)

    # -- rows -------------------------------------------------------------------------------------------------------

    def _load(self, name: str, seen: Dataset, file: Json) -> Iterator[tuple[Rule, int | None, str]]:
        """Read a file once: published files never change."""
        try:
            with self._storage.open(self._storage.path(f"{name}/{file['path']}"), "rb") as source:
                table = pq.ParquetFile(source).read(use_threads=False)
        except Exception as error:  # noqa: BLE001 - whatever it is, a reader meets it too
            yield Rule.MISSING, None, f"{file['path']} of commit {file['commit']}: {type(error).__name__}"
            return
        if table.num_rows != file["rows"]:
            yield Rule.MISSING, None, f"{file['path']} holds {table.num_rows} rows, not {file['rows']}"
        facts = resource(name)
        first, keys = len(seen.facts), set[int]()
        for row in table.to_pylist():
            key = row[facts.primary_key]
            places = tuple(self._history.place(name, row))
            if not places:
                yield self._misfit(name, row, key, file)
            if key in keys:
                yield Rule.DOUBLED, key, f"in {file['path']}"
            keys.add(key)
            seen.of_key[key].append(len(seen.facts))
            seen.facts.append(Fact(key, file["path"], row["_extracted_at"].timestamp(), places))
        columns = [facts.primary_key, "_account_id", "_extracted_at", *_deciding(facts)]
        numbers = pa.array(range(first, len(seen.facts)), pa.int64())
        seen.tables[file["path"]] = table.select(columns).append_column("_row", numbers)

    def _misfit(self, name: str, row: Json, key: int, file: Json) -> tuple[Rule, int, str]:
        scalars = self._history.scalars(name, row)
        rule = Rule.CHILDREN if scalars else Rule.INVENTED
        return rule, key, f"in {file['path']}: {self._history.difference(name, row)}"

    def _current(self, name: str, live: list[pa.Table]) -> list[int]:
        if not live:
            return []
        tables = {"live": pa.concat_tables(live)}
        for role, table in (("tombstones", f"{name}.tombstones"), ("parents", _parents(resource(name)))):
            if table and (rows := self._rows(table)) is not None:
                tables[role] = rows
        for role, rows in tables.items():
            self._duckdb.register(role, rows)
        query = current(name, Tables(**{role: role for role in tables}))
        numbers: list[int] = [row for (row,) in self._duckdb.execute(f"SELECT _row FROM ({query})").fetchall()]  # noqa: S608
        for role in tables:
            self._duckdb.unregister(role)
        return numbers

    def _rows(self, table: str) -> pa.Table | None:
        """Return the live rows of a table beside the resource's own, ``None`` if there is none."""
        manifest = self._manifest(table)
        if manifest is None or not manifest["files"]:
            return None
        parts = []
        for file in manifest["files"]:
            with self._storage.open(self._storage.path(f"{table}/{file['path']}"), "rb") as source:
                parts.append(pq.read_table(source))
        return pa.concat_tables(parts)

    # -- the rules --------------------------------------------------------------------------------------------------

    def _compare(
        self, name: str, seen: Dataset, view: Mapping[int, set[int]], reach: Reach, moment: float
    ) -> Iterator[tuple[Rule, int, str]]:
        for key, states in self._history.states[name].items():
            shown = [max(places) for number in view.get(key, ()) if (places := seen.facts[number].places)]
            if len(set(shown)) > 1:
                yield Rule.AMBIGUOUS, key, f"states {sorted(set(shown))}"
            is_deleted = states[-1].shown is None and states[-1].seen_from <= moment
            needed = None if reach.has_moved_on(self._history.moves(name, key), moment) else reach.needs(states)
            last = seen.sights.get(key)
            if not shown:
                if key in view:
                    continue  # invented: reported already
                if needed is not None and not is_deleted:
                    yield Rule.LOST, key, f"state {needed} is missing altogether"
                if last is not None and not is_deleted:
                    yield Rule.VANISHED, key, f"state {last} was there before"
                seen.sights.pop(key, None)
                continue
            now = max(shown)
            if states[now].seen_from > moment:
                yield Rule.INVENTED, key, f"state {now} does not show before {_time(states[now].seen_from)}"
            if needed is not None and now < needed and states[needed].shown is not None:
                yield Rule.STALE, key, f"in state {now}, not {needed}"
            if last is not None and now < last:
                yield Rule.LOWERED, key, f"from state {last} to {now}"
            if is_deleted and (rule := reach.forbids(states[-1], is_needed=needed is not None)):
                yield rule, key, f"in state {now}"
            seen.sights[key] = now

    # -- the account of a key ----------------------------------------------------------------------------------------

    def account(self, violation: Violation) -> str:
        """Return what happened to a key: its states, and the commits that hold it."""
        name, key, seen = violation.name, violation.key, self._datasets[violation.name]
        lines = [
            f"{violation.rule.name}: {violation.rule.value}",
            f"{name} {key if key is not None else ''} at {_time(violation.moment)}, watermark {violation.watermark}: {violation.detail}",
        ]  # fmt: skip
        if key is None:
            return "\n".join(lines)
        for place, state in enumerate(self._history.states[name].get(key, ())):
            stamp = "none" if state.stamp is None else _time(state.stamp)
            lines.append(f"  state {place}: {state.note}; stamped {stamp}, shows from {_time(state.seen_from)}")
        files = {seen.facts[number].file: seen.facts[number] for number in seen.of_key.get(key, ())}
        for known, commit in seen.commits.values():
            fact = next((files[file["path"]] for file in commit["files"] if file["path"] in files), None)
            is_near = violation.moment - NEAR <= known <= violation.moment
            if is_near or (fact is not None and known <= violation.moment):
                holds = f"holds state {list(fact.places)}" if fact is not None else "does not hold it"
                lines.append(f"  {_time(known)[:19]}: {self._describe(commit)}: {holds}")
        return "\n".join(lines)

    def _describe(self, commit: Json) -> str:
        run = self._label.get(commit["owner"], commit["owner"])
        start = (commit["window_start"] or "the beginning")[:26]
        kind = "whole" if commit["whole"] else f"[{start}, {commit['window_end'][:26]})"
        moves = "" if commit["watermark"] else ", moves no watermark"
        return f"commit {commit['sequence']} of {run} try {commit['attempt']}, begun {commit['extracted_at'][:26]}, {kind}{moves}"


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a dataset claims to reach.

    :param until: all that is stamped before it has been read: the watermark, in whole seconds.
    :param since: nothing before it has been asked for.
    :param begun: when the newest read that followed the keys began.
    :param whole: when the newest read of everything began.
    """

    strategy: Strategy
    until: float
    since: float
    begun: float
    whole: float

    @classmethod
    def of(cls, found: Resource, seen: Dataset, manifest: Json) -> Reach:
        """Return the reach that the manifest's commits give."""
        moving = [commit for commit in manifest["commits"] if commit["watermark"]]
        starts = [_epoch(commit["window_start"]) for commit in moving]
        return cls(
            found.strategy,
            float(int(_epoch(seen.watermark))),
            min(starts, default=float("inf")),
            max((_epoch(commit["extracted_at"]) for commit in moving), default=0.0),
            max((_epoch(commit["extracted_at"]) for commit in manifest["commits"] if commit["whole"]), default=0.0),
        )

    def has_moved_on(self, moves: list[State], moment: float) -> bool:
        """Whether a record has left the windows that were read: the next one finds it.

        :param moves: the states, of the record or of the parent it is read through, that take it to another window.
        """
        if self.strategy not in (Strategy.MODIFIED, Strategy.PARENT):
            return False
        return any(move.stamp is not None and move.stamp >= self.until and move.seen_from <= moment for move in moves)

    def needs(self, states: list[State]) -> int | None:
        """Return the oldest state that may be shown, ``None`` if the record need not be there."""
        for place in reversed(range(len(states))):
            state = states[place]
            if self.strategy is Strategy.APPEND:
                if state.seen_from <= self.begun:
                    return place
            elif state.stamp is not None and self.since <= state.stamp < self.until:
                return place
        return None

    def forbids(self, deletion: State, *, is_needed: bool) -> Rule | None:
        """Return the rule that a deleted record in the view breaks; that it lags is known, until something finds it."""
        if deletion.seen_from < self.whole:
            return Rule.RETURNED
        if self.strategy is Strategy.PARENT and is_needed and deletion.stamp is not None and deletion.stamp < self.until:
            return Rule.LEFT
        return None


def _deciding(found: Resource) -> list[str]:
    """Return the columns besides key and lineage by which a row is current."""
    if found.through:
        return [resource(found.through.resource).primary_key or ""]
    return [found.entity.find(found.modified_field).name] if found.modified_field else []


def _parents(found: Resource) -> str | None:
    return f"{found.name}.{found.through.resource}" if found.through else None


def _epoch(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()
