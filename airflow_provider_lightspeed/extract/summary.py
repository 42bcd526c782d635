"""What an extract reports: its progress while it runs, its summary when it is committed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider_lightspeed.client.rate_limit import BucketSnapshot


@dataclass(frozen=True, slots=True)
class Summary:
    """What an extract did.

    :param drips: bucket units spent.
    :param seconds: wall time.
    :param bucket: the rate limit's bucket when it ended, at ``ended_at`` of the server's clock.
    :param set_aside: values kept in ``_extra``, by ``path: reason``.
    :param drift: how the answers differ from the catalog, as :class:`..extract.drift.Drift` says it.
    :param tables: rows of the tables beside the resource's own one.
    :param relations_refused: relations that the account does not load; their columns and tables keep what was known.
    :param relations_missing: relations that no record showed, though they were asked for.
    :param swept: records found ``deleted``, ``archived_unseen`` and ``added_unseen``; empty if nobody looked.
    :param verified: keys ``read``, ``deleted`` and ``missed``, as :class:`..extract.verify.Verified`; empty if nobody asked.
    :param is_unchanged: nothing had changed: no rows were written, and a task is skipped unless told otherwise.
    :param schema: names the files' schema; equal for files that can be united.
    :param commit: the commit's id; the manifest says which files are its own.
    :param watermark: the end of the window, if later runs go on from there; ``None`` for a backfill or an explicit window.
    """

    resource: str
    rows: int
    files: int
    bytes: int
    drips: float
    requests: int
    seconds: float
    window_start: datetime | None
    window_end: datetime
    manifest: str
    account_id: str
    retries: int
    waited: float
    set_aside: Mapping[str, int]
    bucket: BucketSnapshot
    ended_at: datetime
    schema: str
    commit: str
    watermark: datetime | None
    drift: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, int] = field(default_factory=dict)
    swept: Mapping[str, int] = field(default_factory=dict)
    verified: Mapping[str, int] = field(default_factory=dict)
    is_unchanged: bool = False
    relations_refused: tuple[str, ...] = ()
    relations_missing: tuple[str, ...] = ()

    @property
    def unchanged(self) -> str:
        """What to say where nothing had changed."""
        since = f" since {self.window_start.isoformat()}" if self.window_start else ""
        watermark = f"; the watermark is {self.watermark.isoformat()} now" if self.watermark else ""
        return f"{self.resource}: nothing has changed{since} up to {self.window_end.isoformat()}{watermark}"

    def as_xcom(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "resource": self.resource,
            "rows": self.rows,
            "files": self.files,
            "bytes": self.bytes,
            "drips": round(self.drips, 3),
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
            "window_start": self.window_start.isoformat() if self.window_start else None,
            "window_end": self.window_end.isoformat(),
            "watermark": self.watermark.isoformat() if self.watermark else None,
            "manifest": self.manifest,
            "commit": self.commit,
            "schema": self.schema,
            "account_id": self.account_id,
            "set_aside": dict(self.set_aside),
            "drift": dict(self.drift),
            "tables": dict(self.tables),
            "swept": dict(self.swept),
            "relations_refused": list(self.relations_refused),
            "relations_missing": list(self.relations_missing),
            "verified": dict(self.verified),
        }

    def as_event(self) -> dict[str, Any]:
        """Return what the asset event of this extract holds, as plain JSON values."""
        facts = self.as_xcom()
        kept = (
            "rows", "bytes", "files", "window_start", "window_end", "watermark", "schema", "drips", "requests",
            "manifest", "commit",
        )  # fmt: skip
        # As texts: Airflow 2 puts the values of an event into a set.
        lists = ("tables", "drift", "swept", "verified", "relations_refused", "relations_missing")
        nested = {name: json.dumps(facts[name]) for name in lists if facts[name]}
        return (
            {name: facts[name] for name in kept}
            | nested
            | {
                # The Lightspeed page shows the account's bucket as the newest extract left it.
                "bucket_level": round(self.bucket.level, 2),
                "bucket_size": self.bucket.size,
                "bucket_drip": self.bucket.drip,
                "bucket_seen_at": self.ended_at.isoformat(),
            }
        )


def lasting(seconds: float) -> str:
    """Return a duration for people: ``40 s``, ``15 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a read is, once per page.

    :param rows: read so far; they are committed with the last one or not at all.
    :param requests: sent for it, the ones beside the pages included.
    :param drips: bucket units spent.
    :param drip_rate: bucket units that leave the bucket per second.
    :param done: estimated fraction of the read that is behind us; ``None`` while unknown, 1 after the last page.
    :param seconds_left: estimated; ``None`` while unknown. Where both come from says :mod:`..extract.meter`.
    """

    rows: int
    requests: int
    seconds: float
    bucket_level: float
    bucket_size: float
    drips: float = 0.0
    drip_rate: float = 0.0
    done: float | None = None
    seconds_left: float | None = None

    @property
    def rows_per_second(self) -> float:
        """Rows per second since the read began."""
        return self.rows / self.seconds if self.seconds > 0 else 0.0

    def outlook(self) -> str:
        """Return how much is done and how long the rest takes, for a log line; empty while unknown."""
        if self.done is None or self.seconds_left is None:
            return ""
        return f", {100 * self.done:.0f} % done, {lasting(self.seconds_left)} left"


class Paced:
    """Passes progress on at a pace that a log can bear: one every ``every`` seconds at most, none before the first.

    It reads no clock: a :class:`Progress` knows how old its read is.
    """

    def __init__(self, report: Callable[[Progress], None], *, every: float) -> None:
        self._report = report
        self._every = every
        self._due = every

    def __call__(self, progress: Progress) -> None:
        """Take one progress and pass it on if it is time."""
        if progress.seconds >= self._due:
            self._due = progress.seconds + self._every
            self._report(progress)
