"""Loads a history into a warehouse, merged and appended, and compares both with the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest

from airflow_provider_lightspeed.warehouse import loads as writing
from airflow_provider_lightspeed.warehouse.statements import current_view, ddl, merge
from airflow_provider_lightspeed.warehouse.tables import Tables
from tests.support.read_contract.model import current_children, current_rows
from tests.support.warehouses import Read, Warehouse, at, empty, made, put, renamed

Loads = list[list[Read]]

_merge, _ddl = lru_cache(None)(merge), lru_cache(None)(ddl)


@contextmanager
def _remembered_statements() -> Iterator[None]:
    """These texts are the same for each load, and random histories load by the hundred."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "merge", _merge)
        patch.setattr(writing, "ddl", _ddl)
        yield


@dataclass(frozen=True)
class Both:
    """The tables of a resource twice: they keep the current rows, and every row (with views of the current ones)."""

    warehouse: Warehouse
    merged: Tables
    history: Tables

    @classmethod
    def of(cls, warehouse: Warehouse, tables: Tables) -> Both:
        """Create the tables and the views."""
        both = cls(warehouse, made(warehouse, tables), made(warehouse, renamed(tables, "all_"), keeps_history=True))
        for spec in (both.history.main, *both.history.children):
            warehouse.run(current_view(spec, warehouse.dialect))
        return both

    def load(self, loads: Loads) -> list[Read]:
        """Load a history into empty tables and return its reads."""
        empty(self.warehouse, self.merged, self.history)
        with _remembered_statements():
            for reads in loads:
                put(self.warehouse, self.merged, reads)
                put(self.warehouse, self.history, reads, keeps_history=True)
        return [read for reads in loads for read in reads]

    def check(self, columns: str, rows: set[tuple[Any, ...]], child: int | None = None) -> None:
        """Compare tables and views with what is to be there."""
        merged, history = (
            (self.merged.main, self.history.main)
            if child is None
            else (self.merged.children[child], self.history.children[child])
        )
        for name in (merged.name, history.current):
            found = self.warehouse.rows(f"SELECT {columns} FROM {name}")  # noqa: S608 - names of ours
            assert set(found) == rows
            assert len(found) == len(rows)


def check_sales(both: Both, loads: Loads) -> None:
    """Newest version by key, less what is gone or replaced, with the lines of that version."""
    reads = both.load(loads)
    current = current_rows(both.merged, reads).items()
    rows = {(*key, row["updateTime"], row["order"], at(read.at)) for key, (row, read) in current}
    both.check('_account_id, saleID, updateTime, "order", _extracted_at', rows)
    lines = {(*found[:3], at(found[3])) for found in current_children(both.merged, reads, "SaleLines")}
    both.check("_account_id, _root_key, _path, _extracted_at", lines, child=0)


def check_payments(both: Both, loads: Loads) -> None:
    """Payments of the newest read of their sale."""
    reads = both.load(loads)
    current = current_rows(both.merged, reads).items()
    rows = {(*key, row["saleID"], at(read.at)) for key, (row, read) in current}
    both.check("_account_id, salePaymentID, saleID, _extracted_at", rows)
