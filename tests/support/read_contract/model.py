"""The read contract in plain Python, and histories made up at random to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from airflow_provider_lightspeed.warehouse.tables import Tables
from tests.support.warehouses import Read, Row, at

_NEVER = datetime(1900, 1, 1, tzinfo=UTC)

#: The key of a sale that never has a modification time.
_TIMELESS = 4


def current_rows(tables: Tables, reads: Sequence[Read]) -> dict[tuple[Any, ...], tuple[Row, Read]]:
    """Return the current main rows by account and key, with the read that each comes from."""
    main = tables.main
    best: dict[tuple[Any, ...], tuple[Row, Read]] = {}
    for read in reads:
        for row in read.rows.get("", ()):
            if _is_obsolete(tables, row, read, reads):
                continue
            key = (read.account, *(row[name] for name in main.key))
            if key not in best or _version(main.modified, row, read) >= _version(main.modified, *best[key]):
                best[key] = row, read
    return best


def _version(modified: str | None, row: Row, read: Read) -> tuple[Any, ...]:
    return ((row.get(modified) if modified else None) or _NEVER, read.at, read.ends[1])


def _is_obsolete(tables: Tables, row: Row, read: Read, reads: Sequence[Read]) -> bool:
    for other in reads:
        if other.account != read.account:
            continue
        if other.until is not None and read.at <= other.until:
            return True
        if tables.main.tombstones and other.at >= read.at:
            (key,) = tables.main.key
            if any(gone[key] == row[key] for gone in other.rows.get("tombstones", ())):
                return True
        if (parents := tables.main.parents) and other.at > read.at:
            (key,) = parents.key
            if any(parent[key] == row[key] for parent in other.rows.get(parents.relation, ())):
                return True
    return False


def current_children(tables: Tables, reads: Sequence[Read], relation: str) -> set[tuple[Any, ...]]:
    """Return account, root key, path and time of the child rows that hang on the current version of a main row."""
    versions = {key: read.at for key, (_, read) in current_rows(tables, reads).items()}
    return {
        (read.account, child["_root_key"], child["_path"], read.at)
        for read in reads
        for child in read.rows.get(relation, ())
        if versions.get((read.account, child["_root_key"])) == read.at
    }


def _coin(draw: st.DrawFn) -> bool:
    return draw(st.booleans())


@st.composite
def sale_histories(draw: st.DrawFn) -> list[list[Read]]:
    """Make up sales that change over an hour, the reads that see them, and in which loads these come, in any order."""
    accounts = draw(st.sampled_from([("1",), ("1", "2")]))
    changes = draw(
        st.lists(
            st.tuples(st.sampled_from(accounts), st.integers(1, 4), st.integers(0, 40), st.integers(0, 3)),
            max_size=12,
            unique_by=lambda change: change[:3],
        )
    )
    times = draw(st.lists(st.integers(1, 60), min_size=1, max_size=7, unique=True))
    reads = [_sale_read(draw, moment, draw(st.sampled_from(accounts)), changes) for moment in times]
    return draw(_loads(reads))


def _sale_read(draw: st.DrawFn, moment: int, account: str, changes: Sequence[tuple[str, int, int, int]]) -> Read:
    is_whole = _coin(draw)
    seen: dict[int, tuple[int, int]] = {}
    for owner, key, when, lines in sorted(changes, key=lambda change: change[2]):
        if owner == account and when <= moment:
            seen[key] = when, lines
    chosen = {key: found for key, found in seen.items() if is_whole or _coin(draw)}
    gone = [] if is_whole else [key for key in range(1, 5) if key not in chosen and draw(st.integers(0, 3)) == 0]
    rows: list[Row] = [
        {"saleID": key, "updateTime": None if key == _TIMELESS else at(when), "order": f"{key}@{when}"}
        for key, (when, _) in chosen.items()
    ]
    hanging: list[Row] = [
        {"_root_key": key, "_path": f"SaleLines[{place}]", "_position": place}
        for key, (_, count) in chosen.items()
        for place in range(count)
    ]
    doubled = rows + rows[:1]
    found = {"": doubled, "SaleLines": hanging, "tombstones": [{"saleID": key} for key in gone]}
    return Read(f"{account}-{moment}", moment, found, is_whole, account, seen=moment - draw(st.integers(1, 20)))


@st.composite
def payment_histories(draw: st.DrawFn) -> list[list[Read]]:
    """Make up payments that appear, move and vanish with each read of their sale.

    A payment that moves changes both sales, so that a read that finds it in the one has the other as well.
    """
    times = draw(st.lists(st.integers(1, 60), min_size=1, max_size=6, unique=True))
    reads: dict[int, Read] = {}
    owners: dict[int, int] = {}
    for moment in sorted(times):
        is_whole = draw(st.integers(0, 3)) == 0
        sales = {1, 2, 3} if is_whole else draw(st.sets(st.integers(1, 3)))
        free = [key for key in range(1, 6) if owners.get(key, 0) in {0, *sales}]
        paid = draw(st.dictionaries(st.sampled_from(free), st.sampled_from(sorted(sales)))) if free and sales else {}
        owners |= paid
        rows: dict[str, list[Row]] = {"": [{"salePaymentID": key, "saleID": sale} for key, sale in paid.items()]}
        if not is_whole:
            rows["Sale"] = [{"saleID": sale} for sale in sales]
        reads[moment] = Read(f"{moment}", moment, rows, is_whole, seen=moment - draw(st.integers(1, 20)))
    return draw(_loads([reads[moment] for moment in times]))


@st.composite
def _loads(draw: st.DrawFn, reads: list[Read]) -> list[list[Read]]:
    loads: list[list[Read]] = []
    for read in draw(st.permutations(reads)):
        if loads and _coin(draw):
            loads[-1].append(read)
        else:
            loads.append([read])
    return loads
