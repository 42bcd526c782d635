"""A dataset that grows: what a commit costs after many others, and what compacting a million rows takes."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

COMMITS: Final = 10_000
SHORT_COMMITS: Final = 200
ROWS: Final = 1_000_000
SHORT_ROWS: Final = 100_000
FILES: Final = 40
START: Final = datetime(2026, 1, 1, tzinfo=UTC)


def lake(*, short: bool) -> dict[str, Any]:
    """Commit every hour, and compact sales; each in a process of its own.

    :param short: 200 commits instead of 10,000, and 100,000 rows instead of 1,000,000.
    """
    return {
        "commits": _measured("commits", SHORT_COMMITS if short else COMMITS),
        "compaction": _measured("compaction", SHORT_ROWS if short else ROWS),
    }


def _measured(what: str, count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.lake", what, str(count), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class _Lake:
    def __init__(self, folder: str) -> None:
        from airflow_provider_lightspeed.extract.plan import Job
        from airflow_provider_lightspeed.lake.dataset import Dataset
        from airflow_provider_lightspeed.lake.storage import Storage

        self.job = Job.of("Sale")
        self.storage = Storage.at(folder)
        self.dataset = Dataset(self.storage, "Sale")

    def commit(self, hour: int, keys: range) -> float:
        """Commit sales; return the seconds that publishing took."""
        from airflow_provider_lightspeed.extract.history import History
        from airflow_provider_lightspeed.lake.dataset import Draft

        now, query, run = START + timedelta(hours=hour), self.job.query("1"), f"run{hour}"
        files = self._files(run, keys, now)
        began = time.perf_counter()
        start = History.of(self.dataset, query, run).begin(now)
        self.dataset.publish(
            Draft(
                query=query,
                run_id=run,
                attempt_number="1",
                kind="window",
                window_start=None,
                window_end=now,
                moves_watermark=True,
                files=files,
                schema="",
                committed_at=now,
                extracted_at=start.extracted_at,
                base=start.base_version,
                base_extracted_at=start.base_extracted_at,
            )
        )
        return time.perf_counter() - began

    def _files(self, run: str, keys: range, now: datetime) -> Mapping[str, Any]:
        import numpy as np
        import pyarrow as pa

        from airflow_provider_lightspeed.arrow.parquet import ParquetSink

        schema = self.job.output_layout().schemas[""]
        key = pa.array(np.arange(keys.start, keys.stop))
        columns = []
        for number, field in enumerate(schema):
            value = key if field.name == "saleID" else pa.array(key.to_numpy() * (number + 1) % 9_973)
            if pa.types.is_timestamp(field.type):
                value = pa.repeat(pa.scalar(now, field.type), len(key))
            elif field.name == "_account_id":
                value = pa.repeat(pa.scalar("1"), len(key))
            elif pa.types.is_boolean(field.type) or pa.types.is_nested(field.type) or pa.types.is_date(field.type):
                value = pa.nulls(len(key), field.type)
            columns.append(value.cast(field.type))
        path = self.storage.path(f"{self.dataset.staging(run, '1')}/0.parquet")
        sink = ParquetSink(self.storage, path, schema)
        sink.write(pa.RecordBatch.from_arrays(columns, schema=schema))
        return {"": [sink.close()]}


def _commits(count: int, folder: str) -> dict[str, Any]:
    from airflow_provider_lightspeed.lake.compaction import compact

    lake, seconds, compacting = _Lake(folder), [], 0.0
    for hour in range(count):
        seconds.append(lake.commit(hour, range(hour, hour + 3)))
        began = time.perf_counter()
        compact(lake.storage, lake.dataset, START + timedelta(hours=hour), state=lake.dataset.log.settled)
        compacting += time.perf_counter() - began
    state = lake.dataset.log.load()
    return {
        "commits": count,
        "publish_ms_around_the_10th": round(1_000 * statistics.median(seconds[5:15]), 1),
        "publish_ms_at_the_end": round(1_000 * statistics.median(seconds[-50:]), 1),
        "compaction_ms_per_commit": round(1_000 * compacting / count, 1),
        "manifest_kib": round(len(lake.storage.read("Sale/_manifest.json") or b"") / 1_024, 1),
        "live_files": len(state.files),
    }


def _compaction(count: int, folder: str) -> dict[str, Any]:
    from airflow_provider_lightspeed.lake.compaction import compact

    lake, each = _Lake(folder), count // FILES
    for number in range(FILES):
        # A tenth of each file's keys is in the next one again, newer.
        lake.commit(number, range(number * each * 9 // 10, number * each * 9 // 10 + each))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
    began, cpu = time.perf_counter(), time.process_time()
    (done,) = compact(lake.storage, lake.dataset, START + timedelta(hours=FILES), everything=True)
    return {
        "rows": done.rows,
        "mib": [round(size / 2**20, 1) for size in done.bytes],
        "files": done.files,
        "wall_s": round(time.perf_counter() - began, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "peak_mib_before": round(before),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024),
    }


if __name__ == "__main__":
    run = {"commits": _commits, "compaction": _compaction}[sys.argv[1]]
    print(json.dumps(run(int(sys.argv[2]), sys.argv[3])))
