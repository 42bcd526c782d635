"""What an extract reports: its progress while it runs, its summary when it is committed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Summary:
    """What an extract did.

    :param drips: bucket units spent.
    :param seconds: wall time.
    :param set_aside: values kept in ``_extra``, by ``path: reason``.
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
            "manifest": self.manifest,
            "account_id": self.account_id,
            "set_aside": dict(self.set_aside),
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a read is, once per batch."""

    rows: int
    requests: int
    seconds: float
    bucket_level: float
    bucket_size: float
