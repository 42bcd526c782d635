"""Whether a read has found anything that the dataset does not hold: the overlap is read again with every window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_provider_lightspeed.arrow.tables import MAIN
from airflow_provider_lightspeed.extract.files import Files
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.resources.base import Strategy

#: More rows than this are taken for changes without a look at the dataset.
FEW: Final = 5_000
#: Resources that are read by windows; reports and snapshots say something also when they have no rows.
_WINDOWED: Final = (Strategy.MODIFIED, Strategy.APPEND, Strategy.PARENT)


def found_changes(storage: Storage, job: Job, new: Files, live: Mapping[str, Sequence[str]]) -> bool:
    """Tell whether a read by windows has brought a row, or a version of one, that the live files do not hold.

    :param new: what was read, by table.
    :param live: the paths of the dataset's live files, by table.
    """
    if job.whole or job.resource.strategy not in _WINDOWED:
        return True
    rows = {table: sum(file.rows for file in files) for table, files in new.items()}
    if not any(rows.values()):
        return False
    names = _version(job)
    if names is None or not 0 < rows.get(MAIN, 0) <= FEW:
        return True
    found = pa.concat_tables(_read(storage, [file.path for file in new[MAIN]], names))
    among = found[names[0]].combine_chunks()
    known = pa.concat_tables([found.schema.empty_table(), *_read(storage, live.get(MAIN, ()), names, among=among)])
    return bool(found.join(known, list(names), join_type="left anti").num_rows)


def _version(job: Job) -> tuple[str, ...] | None:
    """Return the columns that name a version of a row: its key, and the time of its last change; ``None``: they are not there."""
    resource, shape = job.resource, job.output_layout().shape
    names = {column.source: column.name for column in shape.columns if not column.is_hashed}
    wanted = [resource.primary_key or ""]
    if resource.strategy is Strategy.MODIFIED:
        wanted.append(resource.entity.find(resource.modified_field or "").name)
    if resource.strategy is Strategy.PARENT or not all(name in names for name in wanted):
        return None
    return tuple(names[name] for name in wanted)


def _read(
    storage: Storage, paths: Sequence[str], names: Sequence[str], *, among: pa.Array | None = None
) -> list[pa.Table]:
    """Read some columns; if keys are given, only the rows that have them."""
    tables = []
    for path in paths:
        with storage.open(path, "rb") as file:
            parquet = pq.ParquetFile(file)
            for group in range(parquet.num_row_groups):
                # Key by key, so that row groups without any of the keys cost one small column.
                table = parquet.read_row_group(group, columns=[names[0]])
                if among is not None and not pc.any(pc.is_in(table[names[0]], value_set=among)).as_py():
                    continue
                rows = parquet.read_row_group(group, columns=list(names))
                tables.append(rows if among is None else rows.filter(pc.is_in(rows[names[0]], value_set=among)))
    return tables
