"""Pages of wire records to Arrow: what is as documented the quick way, by ``lines``; the rest record by record."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, groupby
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_lightspeed.arrow import build
from airflow_provider_lightspeed.arrow.convert import TOP, Record, RecordConverter, Where
from airflow_provider_lightspeed.arrow.lines import Lines, LineWriter, Texts, Unusual
from airflow_provider_lightspeed.arrow.types import Column, Shape
from airflow_provider_lightspeed.resources.base import FieldType

_NOWHERE: Final = pa.nulls(1, pa.int32())[0]


class PageConverter(RecordConverter):
    """A converter that takes page by page and converts many at once; the batches are those of :meth:`convert`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._writer = LineWriter(self._shape)
        #: Not yet converted: each page's lines, or its records if they cannot be written as lines.
        self._waiting: list[Lines | Sequence[Record]] = []
        self._seen: set[str] = set()

    @property
    def fields(self) -> frozenset[str]:
        """The fields that the records have had so far."""
        return frozenset(self._seen.union(self._writer.fields))

    @property
    def is_light(self) -> bool:
        """Whether all that waits is lines, which take a tenth of the memory of their records."""
        return all(isinstance(page, Lines) for page in self._waiting)

    def take(self, records: Sequence[Record]) -> None:
        """Take the records of a page, which :meth:`flush` converts with those taken before and after."""
        try:
            self._waiting.append(self._writer.write(records))
        except Unusual:
            self._waiting.append(records)
            self._seen.update(*records)

    def flush(self) -> pa.RecordBatch:
        """Return what was taken since the last flush as one batch, in order."""
        waiting, self._waiting = self._waiting or [Lines(b"", 0)], []
        batches = [self._together(list(pages)) for _, pages in groupby(waiting, type)]
        if len(batches) == 1:
            return batches[0]
        (batch,) = pa.Table.from_batches(batches).combine_chunks().to_batches()
        return batch

    def _together(self, pages: Sequence[Lines | Sequence[Record]]) -> pa.RecordBatch:
        lines = [page for page in pages if isinstance(page, Lines)]
        if not lines:
            return self.convert([record for page in pages if not isinstance(page, Lines) for record in page])
        texts = self._writer.read(lines)
        return self._batch(self._typed(self._shape, texts, TOP), texts.rows)

    def _typed(self, shape: Shape, texts: Texts, where: Where) -> list[pa.Array]:
        arrays = []
        for column in shape.columns:
            if column.shape is not None:
                arrays.append(self._nested(column, texts, where))
            elif texts.columns.keys().isdisjoint(column.keys):
                arrays.append(pa.nulls(texts.rows, column.arrow))
            else:
                arrays.append(self._plain(column, texts.columns, texts.values, where))
        return arrays

    def _nested(self, column: Column, texts: Texts, where: Where) -> pa.Array:
        assert column.shape is not None
        is_many = column.type is FieldType.COLLECTION
        sizes, inner = texts.nested.get(column.source, ([0] * texts.rows, None))
        if inner is None and not is_many:
            return pa.nulls(texts.rows, column.arrow)
        offsets = [0, *accumulate(sizes)]

        def inside(index: int) -> tuple[int, str]:
            parent = bisect_right(offsets, index) - 1
            row, path = where(parent)
            return row, f"{path}{column.source}[{index - offsets[parent]}]." if is_many else f"{path}{column.source}."

        kind = column.arrow.value_type if is_many else column.arrow
        if inner is None:
            members = pa.nulls(0, kind)
        else:
            members = pa.StructArray.from_arrays(self._typed(column.shape, inner, inside), fields=list(kind))
        if is_many:
            return pa.ListArray.from_arrays(build.int32s(offsets), members, type=column.arrow)
        if len(members) == texts.rows:
            return members
        return members.take(pc.if_else(build.booleans(map(bool, sizes)), build.int32s(offsets[:-1]), _NOWHERE))
