"""What a run is about to publish, and the names by which runs and queries know each other again. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from airflow_provider_lightspeed.extract.files import Files
from airflow_provider_lightspeed.extract.manifest import FORMAT, Json
from airflow_provider_lightspeed.extract.window import Window


def owner_of(run_key: str) -> str:
    """Return a short name of a run (dag, task, run, map index): the same for all its tries."""
    return hashlib.sha256(run_key.encode()).hexdigest()[:12]


def fingerprint(query: Mapping[str, Any]) -> str:
    """Return a short name of what is read (account, relations, filters, columns): windows tile per fingerprint."""
    return hashlib.sha256(orjson.dumps(query, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Commit:
    """What a run is about to publish.

    :param whole: it holds all there is (a full read, a snapshot), and so supersedes what was committed before it began.
    :param files: by table, the resource's own one under the empty name.
    :param state: what the next run continues from besides the watermark, such as the last key of an append read.
    :param extracted_at: when the read began (:class:`.history.ReadStart`).
    :param fields: those that records have had, in this run and before.
    :param learned: of the account's relations, for the next read (:class:`..extract.relations.Learned`).
    :param base_version: the sequence of the newest commit that the read had seen when it began; 0: there was none.
    :param saw: the ids of the commits that it had seen, and replaces.
    :param is_sweep: it holds what no window shows: tombstones, and records that were archived unseen.
    """

    account_id: str
    query: str
    owner: str
    attempt: str
    window: Window
    whole: bool
    files: Files
    schema: str
    at: datetime
    state: Mapping[str, Any]
    extracted_at: datetime | None = None
    fields: tuple[str, ...] = ()
    learned: Mapping[str, Any] = field(default_factory=dict)
    base_version: int = 0
    saw: tuple[str, ...] = ()
    is_sweep: bool = False

    def document(self, resource: str, sequence: int) -> Json:
        """Return what is written down of it, but for its files."""
        return {
            "format": FORMAT,
            "id": f"{sequence:08d}-{self.owner}-{self.attempt}",
            "sequence": sequence,
            "resource": resource,
            "account_id": self.account_id,
            "query": self.query,
            "owner": self.owner,
            "attempt": self.attempt,
            "window_start": _iso(self.window.start),
            "window_end": _iso(self.window.end),
            "watermark": _iso(self.window.end) if self.window.moves_watermark else None,
            "whole": self.whole,
            "base_version": self.base_version,
            "saw": list(self.saw),
            "sweep": self.is_sweep,
            "state": dict(self.state),
            "schema": self.schema,
            "fields": list(self.fields),
            "learned": dict(self.learned),
            "extracted_at": _iso(self.extracted_at),
            "committed_at": _iso(self.at),
        }


def _iso(moment: datetime | None) -> str | None:
    # In UTC, so that texts sort as the moments do.
    return moment.astimezone(UTC).isoformat() if moment else None
