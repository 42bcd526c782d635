"""Wire records to Arrow, column by column. What does not fit its type goes with its raw text into ``_extra``.

The quick way hands whole records to Arrow as texts and the columns to its casts, which refuse what they cannot express
exactly; only the columns they refuse are walked value by value (``values``).
"""

from __future__ import annotations

import hashlib
import hmac
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Any, Final

import pyarrow as pa

from airflow_provider_lightspeed.arrow import build
from airflow_provider_lightspeed.arrow.casts import TEXTS, cast
from airflow_provider_lightspeed.arrow.secrets import WITHHELD, without_secrets
from airflow_provider_lightspeed.arrow.types import Column, Selection, Shape, schema_of, shape_of
from airflow_provider_lightspeed.arrow.values import CONVERTERS, Misfit, json_text, raw_text
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.resources.base import FieldType, Resource

Record = Mapping[str, Any]
#: Says which top-level row a nested row belongs to, and the path to it.
Where = Callable[[int], tuple[int, str]]
#: Returns the values of a key, one for each record.
Read = Callable[[str], list[Any]]

#: The reason for a field in ``_extra`` that has no column.
UNKNOWN: Final = "not in the catalog"
TOP: Final[Where] = lambda row: (row, "")  # noqa: E731 - a constant of a type that has a name


@dataclass(frozen=True, slots=True)
class Lineage:
    """What is noted on every row: the account, when it was read (aware), and the window it was read for."""

    account_id: str
    extracted_at: datetime
    window_start: datetime | None = None
    window_end: datetime | None = None

    def columns(self, rows: int) -> list[pa.Array]:
        """Return the lineage columns of so many rows."""
        moments = (self.extracted_at, self.window_start, self.window_end)
        return [
            pa.repeat(build.text(self.account_id), rows),
            *(pa.repeat(build.moment(moment), rows) for moment in moments),
        ]


class RecordConverter:
    """Turns batches of records of one resource into record batches of one schema.

    :param resource: gives fields and types.
    :param relations: those that were asked for.
    :param selection: which columns are written, and how; default all as they are.
    :param salt: of hashed columns.
    :param keep_unknown: whether fields that the catalog does not know go to ``_extra``; they are counted anyway.
    :raises InvalidArgument: an unknown relation or column.
    """

    def __init__(
        self,
        resource: Resource,
        relations: Sequence[str] = (),
        selection: Selection = Selection(),  # noqa: B008 - frozen
        *,
        lineage: Lineage,
        salt: Secret | None = None,
        keep_unknown: bool = True,
    ) -> None:
        self._shape = shape_of(resource, relations, selection)
        self._salt = salt
        self._keep_unknown = keep_unknown
        self._lineage = lineage
        self.schema = schema_of(self._shape)
        #: How many values went to ``_extra``, by (path, reason).
        self.report: Counter[tuple[str, str]] = Counter()
        self._extras: dict[int, dict[str, Any]] = {}

    def convert(self, records: Sequence[Record]) -> pa.RecordBatch:
        """Return the records as one batch, in order."""
        return self._batch(self._columns(self._shape, records, TOP), len(records))

    def _batch(self, arrays: list[pa.Array], rows: int) -> pa.RecordBatch:
        """Return columns as a batch, with what was kept meanwhile in ``_extra``."""
        extras, self._extras = self._extras, {}
        extra = pa.nulls(rows, pa.string())
        if extras:
            kept = {row: json_text(found) for row, found in extras.items()}
            extra = build.texts([kept.get(row) for row in range(rows)])
        return pa.RecordBatch.from_arrays([*arrays, extra, *self._lineage.columns(rows)], schema=self.schema)

    def _columns(self, shape: Shape, records: Sequence[Record], where: Where) -> list[pa.Array]:
        known = shape.known
        if not all(map(known.issuperset, records)):
            records = [
                record if known.issuperset(record) else self._set_aside(record, known, *where(row))
                for row, record in enumerate(records)
            ]
        texts = self._texts(shape, records)
        return [self._column(column, records, texts, where) for column in shape.columns]

    @staticmethod
    def _texts(shape: Shape, records: Sequence[Record]) -> Mapping[str, pa.Array]:
        """Return the columns of text by key, all read in one go; none if some value is not a text."""
        try:
            struct = pa.array(records, shape.texts)
        except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, UnicodeEncodeError):
            return {}
        return dict(zip((field.name for field in shape.texts), struct.flatten(), strict=True))

    def _set_aside(self, record: Record, known: frozenset[str], row: int, path: str) -> Record:
        """Keep what has no column; return the record with XML attributes lifted to fields where they have one."""
        attributes = record.get("@attributes")
        if isinstance(attributes, Mapping):
            record = {**attributes, **{key: value for key, value in record.items() if key != "@attributes"}}
        for key in record.keys() - known:
            self._keep(row, path + key, record[key], UNKNOWN)
        return record

    def _keep(self, row: int, path: str, value: Any, reason: str) -> None:
        plain = "".join(part.partition("[")[0] + "." for part in path.split("."))[:-1]
        self.report[plain, reason] += 1
        if reason != UNKNOWN or self._keep_unknown:
            # What is excluded, hashed or secret must not come back as raw text.
            withheld = self._shape.withholds(plain)
            self._extras.setdefault(row, {})[path] = (
                WITHHELD if withheld else without_secrets(plain.rpartition(".")[2], value)
            )

    def _values(self, column: Column, read: Read, where: Where) -> list[Any]:
        key, *others = column.keys
        values = read(key)
        for other in others:
            for index, second in enumerate(read(other)):
                if second is None or second == values[index]:
                    continue
                if values[index] is None:
                    values[index] = second
                else:
                    row, path = where(index)
                    # Under another spelling than the one that a selection names.
                    self._keep(row, path + other, WITHHELD if column.is_hashed else second, f"differs from {key}")
        return values

    def _column(
        self, column: Column, records: Sequence[Record], texts: Mapping[str, pa.Array], where: Where
    ) -> pa.Array:
        def read(key: str) -> list[Any]:
            return [record.get(key) for record in records]

        if column.shape is None:
            return self._plain(column, texts, read, where)
        nested = self._collection if column.type is FieldType.COLLECTION else self._object
        return nested(column, self._values(column, read, where), where)

    def _plain(self, column: Column, texts: Mapping[str, pa.Array], read: Read, where: Where) -> pa.Array:
        """Return a column of values.

        :param texts: the keys whose values are all texts.
        """
        if column.is_hashed:
            return self._hashed(self._values(column, read, where))
        spellings = [texts[key] for key in column.keys if key in texts]
        used = [text for text in spellings if text.null_count < len(text)] or spellings[:1]
        if len(used) == 1 and column.format is None:
            typed = cast(column, used[0])
            if typed is not None:
                return typed
        return self._careful(column, self._values(column, read, where), where)

    def _hashed(self, values: Sequence[Any]) -> pa.Array:
        """Replace values by HMAC-SHA-256 of their text (RFC 2104): equal values stay equal, and cannot be tried out."""
        salt = (self._salt.reveal() if self._salt else "").encode()
        digests = {
            text: hmac.new(salt, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
            for text in {raw_text(value) for value in values if value is not None and value != ""}
        }
        return build.texts([digests.get(raw_text(value)) for value in values])

    def _careful(self, column: Column, values: list[Any], where: Where) -> pa.Array:
        convert = CONVERTERS[column.type]
        typed: list[Any] = []
        for index, value in enumerate(values):
            if value is None or (value == "" and column.type not in TEXTS):
                typed.append(None)
                continue
            try:
                typed.append(convert(value, column))
            except Misfit as misfit:
                row, path = where(index)
                self._keep(row, path + column.source, value, misfit.reason)
                typed.append(misfit.rounded)
        return pa.array(typed, column.arrow)

    def _object(self, column: Column, values: list[Any], where: Where) -> pa.Array:
        assert column.shape is not None
        if all(value is None or value == "" for value in values):
            return pa.nulls(len(values), column.arrow)
        found: list[Record] = []
        absent: list[bool] = []
        for index, value in enumerate(values):
            here = isinstance(value, dict)
            if not here and value not in (None, "", []):
                row, path = where(index)
                self._keep(row, path + column.source, value, "not one record")
            found.append(value if here else {})
            absent.append(not here)

        def inside(index: int) -> tuple[int, str]:
            row, path = where(index)
            return row, f"{path}{column.source}."

        arrays = self._columns(column.shape, found, inside)
        return pa.StructArray.from_arrays(arrays, fields=list(column.arrow), mask=build.booleans(absent))

    def _collection(self, column: Column, values: list[Any], where: Where) -> pa.Array:
        assert column.shape is not None
        groups = _plain_groups(column, values)
        if groups is None:
            groups = [self._members(column, value, where, index) for index, value in enumerate(values)]
        offsets = [0, *accumulate(map(len, groups))]

        def inside(index: int) -> tuple[int, str]:
            parent = bisect_right(offsets, index) - 1
            row, path = where(parent)
            return row, f"{path}{column.source}[{index - offsets[parent]}]."

        members = [member for group in groups for member in group]
        arrays = self._columns(column.shape, members, inside)
        structs = pa.StructArray.from_arrays(arrays, fields=list(column.arrow.value_type))
        return pa.ListArray.from_arrays(build.int32s(offsets), structs, type=column.arrow)

    def _members(self, column: Column, value: Any, where: Where, index: int) -> list[Record]:
        """Normalise a container: several records, one as an object, none as ``""`` or nothing."""
        if value is None or value == "":
            return []
        inner = value
        if isinstance(value, dict) and column.element:
            # Some samples have a lone record's fields right under the container.
            inner = value.get(column.element, [value] if value else [])
            for key in value if column.element in value else ():
                if key not in (column.element, "@attributes"):
                    row, path = where(index)
                    self._keep(row, f"{path}{column.source}.{key}", value[key], UNKNOWN)
        if isinstance(inner, dict):
            return [inner]
        if isinstance(inner, list):
            strays = [member for member in inner if not isinstance(member, dict)]
            if not strays:
                return inner
            row, path = where(index)
            self._keep(row, path + column.source, strays, "not a record")
            return [member for member in inner if isinstance(member, dict)]
        if inner is not None and inner != "":
            row, path = where(index)
            self._keep(row, path + column.source, inner, "not a collection")
        return []


def _plain_groups(column: Column, values: Sequence[Any]) -> list[list[Record]] | None:
    """Return the records of containers that all look as documented, quickly; ``None`` if one looks otherwise."""
    groups: list[list[Record]] = []
    for value in values:
        if value is None or value == "":
            groups.append([])
            continue
        inner = value.get(column.element) if type(value) is dict and len(value) == 1 else None
        if type(inner) is dict:
            groups.append([inner])
        elif type(inner) is list:
            groups.append(inner)
        else:
            return None
    kinds = {type(member) for group in groups for member in group}
    return groups if kinds <= {dict} else None
