"""What the commits of one query on one account say: where the next run goes on, and what is there already. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_lightspeed.extract.manifest import Json, files_by_table, last_tries, live_commits
from airflow_provider_lightspeed.extract.window import Window


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
    def swept_at(self) -> datetime | None:
        """When the last sweep or whole read was committed, or else the first extract; ``None``: there is neither."""
        wholes = [commit["committed_at"] for commit in self.commits if commit.get("sweep") or commit["whole"]]
        moment = max(wholes, default=None) or min((commit["committed_at"] for commit in self.commits), default=None)
        return datetime.fromisoformat(moment) if moment else None

    @property
    def live_ids(self) -> tuple[str, ...]:
        """The commits that count."""
        return tuple(commit["id"] for commit in live_commits(self.commits))

    def state_before(self, owner: str) -> Json:
        """Return what the newest commit before a run's own first one left to continue from.

        Not one of a try that was thought dead: it may have read on to what is in no commit that counts.
        """
        before: Json = {}
        tries = last_tries(self.commits)
        for commit in self.commits:
            if commit["owner"] == owner:
                break
            if commit["watermark"] and tries[commit["owner"]] is commit:
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
