"""What the commits of one query on one account say: where the next run goes on, and what is there already. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_provider_lightspeed.extract.manifest import Json, files_by_table, live_commits, overtaken
from airflow_provider_lightspeed.extract.relations import Learned, above
from airflow_provider_lightspeed.extract.window import Window


@dataclass(frozen=True, slots=True)
class ReadStart:
    """What a read had seen when it began: its place among the other commits of its account and query.

    :param extracted_at: the server's time, but later than that of every commit that it has seen: the server's clock may
        stand still or step back, and readers order the rows of a key by this time.
    :param base_version: the sequence of the newest commit that it has seen; 0: there was none.
    :param saw: the ids of the commits that it replaces: for a whole read all live ones, otherwise those of its own run.
    """

    extracted_at: datetime
    base_version: int = 0
    saw: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """The commits of one account and query, oldest first."""

    commits: Sequence[Json]

    @property
    def watermark(self) -> datetime | None:
        """The end of the last committed window that moves the watermark."""
        marks = [commit["watermark"] for commit in self.commits if commit["watermark"]]
        return datetime.fromisoformat(max(marks)) if marks else None

    @property
    def fields(self) -> frozenset[str]:
        """The fields that records have had, as the newest commit says."""
        return next((frozenset(each["fields"]) for each in reversed(self.commits) if each.get("fields")), frozenset())

    @property
    def learned(self) -> Learned:
        """What the newest commit but a sweep says of the account's relations."""
        reads = [each for each in self.commits if not each.get("sweep")]
        return Learned.of_json(reads[-1].get("learned") or {}) if reads else Learned()

    def held(self, relations: Iterable[str]) -> frozenset[str]:
        """Return those of some relations that commits which count were read with."""
        reads = [each for each in live_commits(self.commits) if each["rows"] and not each.get("sweep")]
        lacking = [set((each.get("learned") or {}).get("refused", ())) for each in reads]
        return frozenset(name for name in relations if any(lack.isdisjoint((name, *above(name))) for lack in lacking))

    @property
    def swept_at(self) -> datetime | None:
        """When the last sweep or whole read was committed, or else the first extract; ``None``: there is neither."""
        wholes = [commit["committed_at"] for commit in self.commits if commit.get("sweep") or commit["whole"]]
        moment = max(wholes, default=None) or min((commit["committed_at"] for commit in self.commits), default=None)
        return datetime.fromisoformat(moment) if moment else None

    def begin(self, owner: str, now: datetime, *, whole: bool) -> ReadStart:
        """Return the start of a read.

        :param owner: names the run.
        :param now: the server's time.
        :param whole: it reads all there is, and replaces what is there.
        """
        times = [
            datetime.fromisoformat(commit["extracted_at"]) for commit in self.commits if commit.get("extracted_at")
        ]
        live = live_commits(self.commits)
        return ReadStart(
            max([now, *(time + timedelta(microseconds=1) for time in times)]),
            max((commit["sequence"] for commit in self.commits), default=0),
            tuple(commit["id"] for commit in live if whole or commit["owner"] == owner),
        )

    def state_before(self, owner: str) -> Json:
        """Return what the newest commit before a run's own first one left to continue from.

        Not one that never counted: it may have read on to what is in no commit that counts.
        """
        before: Json = {}
        late = overtaken(self.commits)
        for commit in self.commits:
            if commit["owner"] == owner:
                break
            if commit["watermark"] and commit["id"] not in late:
                before = dict(commit["state"])
        return before

    def window_of(self, owner: str) -> Window | None:
        """Return the window that a run committed before, if it did."""
        for commit in reversed(self.commits):
            if commit["owner"] == owner:
                start = commit["window_start"]
                return Window(
                    datetime.fromisoformat(start) if start else None,
                    datetime.fromisoformat(commit["window_end"]),
                    moves_watermark=bool(commit["watermark"]),
                )
        return None

    def has(self, owner: str, extracted_at: datetime) -> bool:
        """Whether a run has committed the read that began at that time."""
        began = extracted_at.isoformat()
        return any(commit["owner"] == owner and commit.get("extracted_at") == began for commit in self.commits)

    def live(self, owner: str | None = None) -> dict[str, list[str]]:
        """Return the names of the live files, by table.

        :param owner: only those that this run has committed.
        """
        found: dict[str, list[str]] = {}
        for commit in live_commits(self.commits):
            if owner in (None, commit["owner"]):
                for table, files in files_by_table(commit).items():
                    found.setdefault(table, []).extend(file["path"] for file in files)
        return found
