"""What a dataset says to a run: where the run goes on, and what is there already. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from airflow_provider_lightspeed.extract.relations import Learned, above
from airflow_provider_lightspeed.extract.window import Window
from airflow_provider_lightspeed.lake.dataset import Dataset
from airflow_provider_lightspeed.lake.records import Checkpoint, LiveFile, Query, QueryState, ReadState, RunNote
from airflow_provider_lightspeed.lake.rules import key_of


@dataclass(frozen=True, slots=True)
class ReadStart:
    """What a read had seen when it began: its place among the other commits of its account and query.

    :param extracted_at: the server's time, but later than that of every commit that it has seen: the server's clock may
        stand still or step back, and readers order the rows of a key by this time.
    :param base_version: the newest version that it has seen; 0: there was none.
    :param base_extracted_at: when the newest read that it has seen began.
    :param replaces_own: whether files of its own run are live, which it replaces.
    """

    extracted_at: datetime
    base_version: int = 0
    base_extracted_at: datetime | None = None
    replaces_own: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """The commits of one query, as one run sees them.

    :param notes: of the run's own commits, oldest first.
    """

    checkpoint: Checkpoint
    query: Query
    run_id: str = ""
    notes: tuple[RunNote, ...] = ()

    @classmethod
    def of(cls, dataset: Dataset, query: Query, run_id: str = "") -> History:
        """Read what a dataset says to a run.

        :param run_id: ``""``: to none.
        """
        tip = dataset.log.read()
        found = dataset.log.notes_at(tip, run_id) if run_id else ()
        mine = tuple(note for note in found if (note.account_id, note.query_id) == (query.account, query.fingerprint))
        return cls(tip.state, query, run_id, mine)

    @property
    def _key(self) -> str:
        return key_of(self.query.account, self.query.fingerprint)

    @property
    def _state(self) -> QueryState | None:
        return self.checkpoint.queries.get(self._key)

    @property
    def is_begun(self) -> bool:
        """Whether there is any commit of the query."""
        return self._state is not None

    @property
    def watermark(self) -> datetime | None:
        """The end of the last committed window that moves the watermark."""
        return self.checkpoint.watermarks.get(self._key)

    @property
    def fields(self) -> frozenset[str]:
        """The fields that records have had, as the newest commit says."""
        return frozenset(self._state.fields) if self._state else frozenset()

    @property
    def learned(self) -> Learned:
        """What the newest read says of the account's relations."""
        return Learned.of_json(msgspec.to_builtins(self._state.relations)) if self._state else Learned()

    def held(self, relations: Iterable[str]) -> frozenset[str]:
        """Return those of some relations that live files were read with."""
        refusals = self._state.refusals if self._state else ()
        return frozenset(
            name for name in relations if any(set(refused).isdisjoint((name, *above(name))) for refused in refusals)
        )

    @property
    def searched_at(self) -> datetime | None:
        """When everything was looked at last, by a sweep or a full read; else the first commit; ``None``: there is none."""
        return (self._state.searched_at or self._state.first_at) if self._state else None

    def begin(self, now: datetime) -> ReadStart:
        """Return the start of a read.

        :param now: the server's time.
        """
        seen = self._state.extracted_at if self._state else None
        return ReadStart(
            now if seen is None else max(now, seen + timedelta(microseconds=1)),
            self.checkpoint.version,
            seen,
            bool(self.live(own=True)),
        )

    @property
    def state_before(self) -> ReadState:
        """What the run continues from: what the newest commit before its own first one has left."""
        if self.notes:
            return self.notes[0].state_before
        return self._state.state if self._state else ReadState()

    @property
    def window(self) -> Window | None:
        """The window that the run committed before, if it did."""
        if not self.notes:
            return None
        note = self.notes[-1]
        return Window(note.window_start, note.window_end, moves_watermark=note.moves_watermark)

    def has(self, extracted_at: datetime) -> bool:
        """Whether the run has committed the read that began at that time."""
        return any(note.extracted_at == extracted_at for note in self.notes)

    def live(self, *, own: bool = False) -> dict[str, tuple[LiveFile, ...]]:
        """Return the live files, by table.

        :param own: only those that the run has committed.
        """
        found = {}
        for table, files in self.checkpoint.by_table():
            mine = tuple(
                file
                for file in files
                if (file.account_id, file.query) == (self.query.account, self.query.fingerprint)
                and (not own or file.run_id == self.run_id)
            )
            if mine:
                found[table] = mine
        return found
