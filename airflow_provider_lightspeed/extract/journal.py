"""What a read has got so far, stored durably, so that a retry or a deferral goes on from there and pays for no page twice.

Beside the staged files of a run lie Arrow files, one per segment: a stretch of pages, already converted, with a note of
what it covers. A commit deletes them. The head says what they belong to; a read that asks for something else, or comes
a day later, starts afresh.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
import pyarrow as pa

from airflow_provider_lightspeed.extract.relations import Learned
from airflow_provider_lightspeed.extract.window import Window
from airflow_provider_lightspeed.lake.storage import Storage

FORMAT: Final = 4
#: A read that is taken up again later than this starts afresh: its pages would be of two different days.
KEEP: Final = timedelta(hours=24)
_NOTE: Final = b"lightspeed"
_PARENTS: Final = b"parents"


@dataclass(frozen=True, slots=True)
class Head:
    """What a journal belongs to.

    :param query: fingerprint of what is read (account, relations, filters, columns).
    :param schema: hash of the Arrow schema.
    :param asked: mode and explicit window, as asked for.
    :param window: the window that the first try resolved; all tries read the same.
    :param extracted_at: when the first try began (:class:`.history.ReadStart`), as are the next three.
    :param last: the list's last key at the survey, if there was one.
    :param learned: of the account's relations, so far.
    """

    account: str
    query: str
    schema: str
    asked: str
    window: Window
    extracted_at: datetime
    last: int | None = None
    base_version: int = 0
    base_extracted_at: datetime | None = None
    replaces_own: bool = False
    learned: Learned = field(default_factory=Learned)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        window = self.window
        return {
            "format": FORMAT,
            "account": self.account,
            "query": self.query,
            "schema": self.schema,
            "asked": self.asked,
            "window": {
                "start": _text(window.start),
                "end": _text(window.end),
                "read_from": _text(window.read_from),
                "moves_watermark": window.moves_watermark,
                "origin": window.origin,
            },
            "extracted_at": _text(self.extracted_at),
            "last": self.last,
            "base_version": self.base_version,
            "base_extracted_at": _text(self.base_extracted_at),
            "replaces_own": self.replaces_own,
            "learned": self.learned.as_json(),
        }

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Head:
        """Read it back.

        :raises (KeyError, TypeError, ValueError): it is not one.
        """
        window = dict(data["window"])
        moments = {name: _moment(window.pop(name)) for name in ("start", "end", "read_from")}
        rest = {
            name: data[name] for name in ("account", "query", "schema", "asked", "last", "base_version", "replaces_own")
        }
        extracted_at = _moment(data["extracted_at"])
        if extracted_at is None or moments["end"] is None:
            raise ValueError(data)
        return cls(
            window=Window(**moments, **window),
            extracted_at=extracted_at,
            base_extracted_at=_moment(data["base_extracted_at"]),
            learned=Learned.of_json(data.get("learned") or {}),
            **rest,
        )


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(text: str | None) -> Any:
    moment = datetime.fromisoformat(text) if text else None
    if moment is not None and moment.tzinfo is None:
        raise ValueError(text)
    return moment


@dataclass(frozen=True, slots=True)
class Segment:
    """A stored stretch.

    :param after: it holds the rows whose keys lie above this ...
    :param upto: ... up to this one, ...
    :param is_end: ... and nothing follows.
    :param paths: for a list below several parents: the paths that it holds whole.
    :param set_aside: values kept in ``_extra``, as (path, reason, count).
    """

    name: str
    after: int
    upto: int
    rows: int
    is_end: bool = False
    paths: tuple[str, ...] = ()
    set_aside: tuple[tuple[str, str, int], ...] = ()


class Journal:
    """The journal of one run, in a folder of the dataset's storage. Safe among threads that write.

    Two tries of a run may be at it at a time, one of them thought dead. Each that began afresh has a head of its own, and
    reads a window of its own: a segment counts beside the head that it was stored under, and no other.

    :param folder: below the storage's root.
    """

    def __init__(self, storage: Storage, folder: str) -> None:
        self._storage = storage
        self.folder = folder
        self._of: str | None = None

    def load(self, now: datetime) -> tuple[Head, list[Segment]] | None:
        """Return what is stored, if it is still good to go on from."""
        content = self._storage.read(f"{self.folder}/head.json")
        try:
            data = orjson.loads(content) if content else None
            head = Head.of_json(data) if data and data["format"] == FORMAT else None
        except (KeyError, TypeError, ValueError):
            head = None
        if head is None or now - head.extracted_at > KEEP:
            return None
        self._of = _text(head.extracted_at)
        names = [name for name in self._storage.names(self.folder) if name.endswith(".arrow")]
        return head, [found for name in names if (found := self._segment(name))]

    def begin(self, head: Head) -> None:
        """Write the head; before the first segment."""
        self._of = _text(head.extracted_at)
        self._storage.write(f"{self.folder}/head.json", orjson.dumps(head.as_json()))

    def store(self, batch: pa.RecordBatch, segment: Segment, parents: Sequence[int] = ()) -> Segment:
        """Store a stretch; it is durable when this returns.

        :param parents: the keys of the records through which it was read.
        """
        name = f"{self.folder}/{uuid.uuid4().hex}.arrow"
        note = {
            "of": self._of,
            "after": segment.after,
            "upto": segment.upto,
            "rows": batch.num_rows,
            "is_end": segment.is_end,
            "paths": segment.paths,
            "set_aside": segment.set_aside,
        }
        keys = orjson.dumps(list(parents))
        schema = batch.schema.with_metadata({_NOTE: orjson.dumps(note), _PARENTS: keys})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
        self._storage.write(name, sink.getvalue().to_pybytes())
        return replace(segment, name=name, rows=batch.num_rows)

    def _segment(self, name: str) -> Segment | None:
        with self._storage.open(self._storage.path(name), "rb") as file, pa.ipc.open_stream(file) as stream:
            note = orjson.loads(stream.schema.metadata[_NOTE])
        if note.pop("of") != self._of:
            return None
        set_aside = tuple((path, reason, count) for path, reason, count in note.pop("set_aside"))
        return Segment(name, paths=tuple(note.pop("paths")), set_aside=set_aside, **note)

    @staticmethod
    def unrepeated(segments: Sequence[Segment]) -> list[Segment]:
        """Leave out segments that hold a path which an earlier one holds: two tries at the same time stored both."""
        kept: list[Segment] = []
        seen: set[str] = set()
        for segment in segments:
            if seen.isdisjoint(segment.paths):
                kept.append(segment)
                seen.update(segment.paths)
        return kept

    def batches(self, segments: Sequence[Segment], schema: pa.Schema) -> Iterator[tuple[pa.RecordBatch, Sequence[int]]]:
        """Yield the rows of segments with the keys of their parents, one segment at a time in memory."""
        for segment in segments:
            with self._storage.open(self._storage.path(segment.name), "rb") as file, pa.ipc.open_stream(file) as stream:
                parents = orjson.loads(stream.schema.metadata.get(_PARENTS, b"[]"))
                for batch in stream:
                    yield pa.RecordBatch.from_arrays(batch.columns, schema=schema), parents
