"""Records to columns of text, quickly: a page becomes lines of separated text, and Arrow's CSV reader reads many at once.

A page's records are written down as soon as it has been decoded, while its texts are in the processor's cache, and are
then done with: what waits for conversion is a few kilobytes of bytes instead of thousands of Python objects. Only
records that are as documented go this way: known fields, texts where texts belong, plain containers. One that is not
raises :class:`Unusual`, and ``convert`` reads its page record by record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

import pyarrow as pa
from pyarrow import csv

from airflow_provider_lightspeed.arrow.types import Column, Shape
from airflow_provider_lightspeed.resources.base import FieldType

Record = Mapping[str, Any]

#: Control characters that stand between values, and for a field that a record does not have. JSON texts may hold them
#: too; pages with such a text are unusual.
_BETWEEN: Final = "\x1f"
_NONE: Final = "\x1e"
#: Arrow's CSV reader skips this at the beginning.
_BYTE_ORDER_MARK: Final = "\ufeff"
#: Sets of fields that are remembered at most; a list has a handful.
_MOST_KINDS: Final = 100


class Unusual(Exception):
    """Records that have to be read one by one."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Some records as text, a line each.

    :param nested: of each object or collection that has records inside: how many each record has, and their lines.
    """

    text: bytes
    rows: int
    nested: Mapping[str, tuple[list[int], Lines]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Texts:
    """Some records as columns of text.

    :param columns: by the key on the wire; null where a record does not have it.
    :param nested: as in :class:`Lines`.
    """

    rows: int
    columns: Mapping[str, pa.Array]
    nested: Mapping[str, tuple[list[int], Texts]]

    def values(self, key: str) -> list[Any]:
        """Return the values of a key as Python has them, ``None`` where a record does not have it."""
        return self.columns[key].to_pylist() if key in self.columns else [None] * self.rows


@dataclass(frozen=True, slots=True)
class _Kind:
    """Records with the same fields.

    :param line: makes the line of such a record; of one with as many fields, but others, it raises ``KeyError``.
    :param fields: of such a record.
    :param absent: how many of the line's values stand for nothing.
    :param width: of records that ``line`` can be tried on, in fields; -1: of none, it would not raise.
    """

    line: Callable[[Record], str]
    fields: tuple[str, ...]
    absent: int
    width: int


class LineWriter:
    """Writes records of one shape as lines, and reads such lines as columns.

    :param shape: what is known of the records.
    """

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        #: The fields that the records have had.
        self.fields: set[str] = set()
        self._keys: list[str] = []
        self._kinds: dict[tuple[str, ...], _Kind] = {}
        self._inside: dict[str, LineWriter] = {}
        self._nested = [column for column in shape.columns if not column.is_text]

    def write(self, records: Sequence[Record]) -> Lines:
        """Return the lines of some records.

        :raises Unusual: one of them is not as documented.
        """
        if not records:
            return Lines(b"", 0)
        if not self._keys:
            texts = [found.name for found in self._shape.texts]
            first = [key for key in records[0] if key in texts]
            self._keys = [*first, *(key for key in texts if key not in records[0])]
        text, fields = self._text(records)
        nested = {}
        for column in self._nested:
            if not fields.isdisjoint(column.keys):
                found = self._members(column, records)
                if found is not None:
                    nested[column.keys[0]] = found
        try:
            return Lines(text.encode(), len(records), nested)
        except UnicodeEncodeError:
            raise Unusual from None  # a lone surrogate

    def _text(self, records: Sequence[Record]) -> tuple[str, set[str]]:
        """Return the lines, and all fields that the records have."""
        kind = self._kind(records[0])
        lines, absent, fields = [], 0, set(kind.fields)
        try:
            for record in records:
                try:
                    # Most records have the fields of the one before.
                    line = kind.line(record) if len(record) == kind.width else None
                except KeyError:
                    line = None
                if line is None:
                    kind = self._kind(record)
                    line = kind.line(record)
                    fields.update(kind.fields)
                lines.append(line)
                absent += kind.absent
        except TypeError:
            raise Unusual from None  # a value is not a text
        text = "\n".join(lines) + "\n"
        is_clear = (
            text.count(_BETWEEN) == len(lines) * max(0, len(self._keys) - 1)
            and text.count("\n") == len(lines)
            and text.count(_NONE) == absent
            and "\r" not in text
            and not text.startswith(_BYTE_ORDER_MARK)
        )
        if not is_clear:
            raise Unusual
        return text, fields

    def _kind(self, record: Record) -> _Kind:
        fields = tuple(record)
        if fields not in self._kinds:
            if not self._shape.known.issuperset(fields):
                raise Unusual
            if len(self._kinds) >= _MOST_KINDS:
                self._kinds.clear()
            self._kinds[fields] = _kind(self._keys, fields)
            self.fields.update(fields)
        return self._kinds[fields]

    def _members(self, column: Column, records: Sequence[Record]) -> tuple[list[int], Lines] | None:
        """Return how many records a column has inside each record, and their lines; ``None`` if there are none."""
        sizes, members = _groups(column, records)
        if not members:
            return None
        key = column.keys[0]
        if key not in self._inside:
            assert column.shape is not None
            self._inside[key] = LineWriter(column.shape)
        return sizes, self._inside[key].write(members)

    def read(self, pages: Sequence[Lines]) -> Texts:
        """Return what :meth:`write` has returned as columns, one page after the other."""
        rows = sum(page.rows for page in pages)
        nested = {}
        for key, inside in self._inside.items():
            found = [page.nested.get(key, ([0] * page.rows, None)) for page in pages]
            lines = [member for _, member in found if member is not None]
            if lines:
                nested[key] = [size for sizes, _ in found for size in sizes], inside.read(lines)
        columns = _columns(self._keys, [page.text for page in pages]) if rows and self._keys else {}
        return Texts(rows, columns, nested)


def _kind(keys: Sequence[str], fields: tuple[str, ...]) -> _Kind:
    """Return how records with these fields are written.

    :param keys: the values of a line, in order.
    """
    join, nothing = _BETWEEN.join, dict.fromkeys(keys, _NONE)
    present = [key for key in keys if key in fields]
    absent = len(keys) - len(present)
    if present != list(keys[: len(present)]) or len(present) < 2:
        return _Kind(lambda record: join({**nothing, **record}[key] for key in keys), fields, absent, -1)
    end, pick = (_BETWEEN + _NONE) * absent, itemgetter(*present)
    others = [key for key in fields if key not in present]
    if not others:
        return _Kind(lambda record: join(pick(record)) + end, fields, absent, len(fields))
    rest = itemgetter(*others)

    def line(record: Record) -> str:
        rest(record)
        return join(pick(record)) + end

    return _Kind(line, fields, absent, len(fields))


def _groups(column: Column, records: Sequence[Record]) -> tuple[list[int], list[Record]]:
    """Return how many records stand inside each record, and all of them.

    :raises Unusual: they stand otherwise than documented.
    """
    sizes: list[int] = []
    members: list[Record] = []
    is_many, element = column.type is FieldType.COLLECTION, column.element
    for value in _values(column, records):
        if value is None or value == "":
            sizes.append(0)
            continue
        inner = value
        if is_many and element:
            if type(value) is not dict or len(value) != 1:
                raise Unusual
            inner = value.get(element)
        if type(inner) is dict:
            members.append(inner)
            sizes.append(1)
        elif is_many and type(inner) is list:
            members += inner
            sizes.append(len(inner))
        else:
            raise Unusual
    if column.shape is None or not set(map(type, members)) <= {dict}:
        raise Unusual
    return sizes, members


def _values(column: Column, records: Sequence[Record]) -> list[Any]:
    key, *others = column.keys
    values = [record.get(key) for record in records]
    for other in others:
        for index, record in enumerate(records):
            if other in record:
                if values[index] is not None:
                    raise Unusual
                values[index] = record[other]
    return values


def _columns(keys: Sequence[str], texts: Iterable[bytes]) -> dict[str, pa.Array]:
    """Let Arrow read lines; they have been checked."""
    text = b"".join(texts)
    table = csv.read_csv(
        pa.py_buffer(text),
        read_options=csv.ReadOptions(use_threads=False, column_names=keys, block_size=len(text) + 1),
        parse_options=csv.ParseOptions(
            delimiter=_BETWEEN, quote_char=False, double_quote=False, escape_char=False, ignore_empty_lines=False
        ),
        convert_options=csv.ConvertOptions(
            check_utf8=False,
            column_types=dict.fromkeys(keys, pa.string()),
            null_values=[_NONE],
            strings_can_be_null=True,
        ),
    )
    (batch,) = table.combine_chunks().to_batches()
    return dict(zip(keys, batch.columns, strict=True))
