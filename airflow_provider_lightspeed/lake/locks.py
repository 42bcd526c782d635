"""Creates an object only if its name is free: by a conditional request, or else by a lock file.

A lock file is worth less than a conditional request. It is an object that names its holder, written and read back. Two
writers that write it within the same moment are told apart by who is named after :data:`SETTLE`; a store that shows a
write later than that lets both in, and the later commit overwrites the other's log entry. A holder that dies is waited
for :data:`STALE` seconds. docs/dataset.md says which stores need it.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from airflow_provider_lightspeed.clock import Clock, SystemClock

#: Seconds after which a lock must still name its writer to be held.
SETTLE: Final = 0.2
#: Seconds for which the same holder is waited for; its commit takes well below one.
STALE: Final = 30.0
#: Seconds between two looks.
_LOOK: Final = 0.1
#: What stores answer if a name is taken.
_TAKEN: Final = (
    "PreconditionFailed",
    "ConditionalRequestConflict",
    "At least one of the pre-conditions",
    "conditionNotMet",
)


def put_if_absent(fs: Any, path: str, content: bytes) -> bool:
    """Write an object unless there is one of its name; return whether it was written.

    ``mode="create"`` is ``If-None-Match: *`` on S3, ``ifGenerationMatch=0`` on GCS and ``overwrite=False`` on Azure.
    """
    try:
        fs.pipe_file(path, content, mode="create")
    except FileExistsError:
        return False
    except Exception as error:
        # Each store has an error of its own for it.
        if _is_taken(error):
            return False
        raise
    return True


def _is_taken(error: BaseException) -> bool:
    status = getattr(error, "code", None) or getattr(error, "status_code", None)
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", status)
    if status in (409, 412):
        return True
    if any(text in str(error) for text in _TAKEN):
        return True
    cause = error.__cause__
    return cause is not None and _is_taken(cause)


class LockFile:
    """A lock that is an object of the store. Waiting is bounded by :data:`STALE` for each holder.

    :param clock: for waiting.
    """

    def __init__(self, fs: Any, path: str, clock: Clock | None = None) -> None:
        self._fs = fs
        self._clock = clock or SystemClock()
        self._path = path
        self._me = uuid.uuid4().hex.encode()

    def __enter__(self) -> Self:
        seen, since = b"", self._clock.monotonic()
        while True:
            holder = self._holder()
            if holder != seen:
                seen, since = holder, self._clock.monotonic()
            if not holder or self._clock.monotonic() - since > STALE:
                self._fs.pipe_file(self._path, self._me)
                self._clock.sleep(SETTLE)
                if self._holder() == self._me:
                    return self
            else:
                self._clock.sleep(_LOOK)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(FileNotFoundError):
            if self._holder() == self._me:
                self._fs.rm_file(self._path)

    def _holder(self) -> bytes:
        self._fs.invalidate_cache()
        try:
            content: bytes = self._fs.cat_file(self._path)
        except FileNotFoundError:
            return b""
        return content
