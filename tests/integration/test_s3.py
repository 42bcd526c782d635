"""An extract into a bucket, over the real S3 protocol, read back by pyarrow, pandas and a plain manifest."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import orjson
import pandas as pd
import pyarrow.parquet as pq
import pytest

pytest.importorskip("moto.server")

import s3fs
from moto.server import ThreadedMotoServer

from airflow_provider_lightspeed.exceptions import InvalidArgument, ServerFault, StorageError, Unreachable
from airflow_provider_lightspeed.extract import attempt as attempt_module
from airflow_provider_lightspeed.extract import chain
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.summary import Summary
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.lake import locks
from airflow_provider_lightspeed.lake import storage as storage_module
from airflow_provider_lightspeed.lake.dataset import STALE, Dataset
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.links.location import Location
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.contract.test_commit_protocol import run as run_and_die
from tests.contract.test_commit_protocol import view
from tests.support.fakes import NOON, client_of
from tests.support.lake_writers import MortalStorage, Writer, crashes, shown

pytestmark = pytest.mark.filterwarnings("ignore")  # the S3 server's own dependencies warn


@pytest.fixture(scope="module")
def bucket() -> Iterator[s3fs.S3FileSystem]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    fs = s3fs.S3FileSystem(
        key="key", secret="secret", client_kwargs={"endpoint_url": f"http://{host}:{port}", "region_name": "eu-west-1"}
    )
    fs.mkdir("lake")
    yield fs
    server.stop()


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(
        sales=300, items=20, customers=10, days=10, no_limits=True, grant=True, token_life=10_000_000
    ) as running:
        running.advance(600)
        yield running


def run(simulator: SimulatorProcess, fs: Any, folder: str, attempt: str = "1", **options: Any) -> Summary:
    client = client_of(simulator, **options)
    job = Job.of("Sale", relations=["SaleLines"])
    return extract(client, Storage(fs, folder), job, RunFacts(), run_key="run", attempt=attempt)


def live(fs: Any, folder: str) -> list[str]:
    manifest = orjson.loads(fs.cat_file(f"{folder}/Sale/_manifest.json"))
    return [f"{folder}/Sale/{file['path']}" for file in manifest["files"]]


def test_bucket_holds_what_the_account_holds(bucket: s3fs.S3FileSystem, simulator: SimulatorProcess) -> None:
    """Row by row; nothing staged is left."""
    summary = run(simulator, bucket, "lake/plain")
    rows = pq.read_table(live(bucket, "lake/plain"), filesystem=bucket)
    assert summary.rows == rows.num_rows == len(simulator.truth("Sale"))
    assert bucket.find("lake/plain/_staging") == []
    with bucket.open(live(bucket, "lake/plain")[0]) as file:
        assert len(pd.read_parquet(file)) == rows.num_rows


def test_bucket_at_another_endpoint_is_not_in_the_console_of_aws(bucket: s3fs.S3FileSystem) -> None:
    """The file system itself knows where it ended up, whichever setting said so."""
    path = SimpleNamespace(protocol="s3", path="lake/plain", fs=bucket)
    here = Location.of(path, "Sale")
    assert (here.namespace, here.name, here.console) == ("s3://lake", "plain/Sale", "")
    path.fs = s3fs.S3FileSystem(key="key", secret="secret", client_kwargs={"region_name": "eu-west-1"})
    assert Location.of(path, "Sale").console == "https://console.aws.amazon.com/s3/buckets/lake?prefix=plain/Sale/"


def test_failed_read_publishes_nothing_and_its_retry_all(
    bucket: s3fs.S3FileSystem, simulator: SimulatorProcess
) -> None:
    """The API dies after two pages; the second try sweeps what the first staged."""
    simulator.faults({"action": "status", "status": 500, "path": "/Sale", "after": 2, "count": 100})
    with pytest.raises(ServerFault):
        run(simulator, bucket, "lake/retried", attempts=1)
    assert [
        name for name in bucket.find("lake/retried") if name.endswith(("_manifest.json",)) or "/Sale/part" in name
    ] == []
    simulator.clear_faults()
    run(simulator, bucket, "lake/retried", attempt="2")
    files = live(bucket, "lake/retried")
    assert sorted(name for name in bucket.find("lake/retried") if name.endswith(".parquet")) == sorted(files)
    assert pq.read_table(files, filesystem=bucket).num_rows == len(simulator.truth("Sale"))


def test_missing_bucket_is_found_out_before_fetching(bucket: s3fs.S3FileSystem, simulator: SimulatorProcess) -> None:
    """The error names the path; no request was spent."""
    simulator.clear_audit()
    with pytest.raises(StorageError, match="no-such-bucket"):
        run(simulator, bucket, "no-such-bucket/x")
    assert simulator.audit("api")["requests"] == []


@pytest.mark.parametrize("folder", ["lake/a[1]*?b", "lake/[!x]", "lake/c d%20#e", "lake/~", "lake/end/"])
def test_any_other_key_is_as_good_as_a_plain_one(
    bucket: s3fs.S3FileSystem, simulator: SimulatorProcess, folder: str
) -> None:
    """Glob characters in a key are plain ones: files are published, found again and replaced; nothing staged is left."""
    decoy = folder.rstrip("/").replace("[1]*?", "1xx").replace("[!x]", "a") + "-decoy/Sale/part-0.parquet"
    bucket.pipe_file(decoy, b"not ours")
    run(simulator, bucket, folder)
    folder = folder.rstrip("/")
    first = live(bucket, folder)
    run(simulator, bucket, folder, attempt="2")
    files = live(bucket, folder)
    assert sorted(name for name in bucket.find(folder) if name.endswith(".parquet")) == sorted([*first, *files])
    rows = sum(pq.read_table(bucket.open(name)).num_rows for name in files)
    assert rows == len(simulator.truth("Sale"))
    assert bucket.find(f"{folder}/_staging") == []
    assert bucket.cat_file(decoy) == b"not ours"


@pytest.mark.parametrize("folder", ["lake//x", "lake/a//b", "lake/a/../b", "lake/file"])
def test_key_that_readers_disagree_about_is_refused_with_nothing_left_behind(
    bucket: s3fs.S3FileSystem, simulator: SimulatorProcess, folder: str
) -> None:
    """By name, before the first request; so is a path that is an object."""
    bucket.pipe_file("lake/file", b"an object")
    before = bucket.find("lake")
    simulator.clear_audit()
    with pytest.raises(InvalidArgument) as caught:
        run(simulator, bucket, folder)
    assert (caught.value.field, caught.value.found) == ("path", folder)
    bucket.invalidate_cache()
    assert bucket.find("lake") == before
    assert simulator.audit("api")["requests"] == []


def test_missing_rights_are_found_out_before_fetching(bucket: s3fs.S3FileSystem, simulator: SimulatorProcess) -> None:
    """The error names the path and the refusal; no request was spent."""

    class Guarded(s3fs.S3FileSystem):  # type: ignore[misc]
        async def _pipe_file(self, path: str, *_: Any, **__: Any) -> None:
            raise PermissionError("Access Denied")

    simulator.clear_audit()
    with pytest.raises(StorageError, match=r"cannot write 'lake/denied/.*PermissionError: Access Denied"):
        run(simulator, Guarded(**bucket.storage_options), "lake/denied")
    assert simulator.audit("api")["requests"] == []


def test_retry_on_another_worker_goes_on_from_the_bucket(
    bucket: s3fs.S3FileSystem, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first try stored is not asked for again, and gone after the commit."""
    monkeypatch.setattr(chain, "STORE_EVERY", 0.0)
    monkeypatch.setattr(attempt_module, "STORE_EVERY", 0.0)
    simulator.faults({"action": "reset", "path": "/Sale", "nth": 3, "count": 1})
    with pytest.raises(Unreachable):
        run(simulator, bucket, "lake/resumed", attempts=1)
    simulator.clear_audit()
    run(simulator, bucket, "lake/resumed", attempt="2")
    assert len([entry for entry in simulator.audit("api")["requests"] if "/Sale.json" in entry["path"]]) == 1
    assert pq.read_table(live(bucket, "lake/resumed"), filesystem=bucket).num_rows == len(simulator.truth("Sale"))
    assert bucket.find("lake/resumed/_staging") == []


def test_stale_staging_in_a_bucket_is_swept(bucket: s3fs.S3FileSystem) -> None:
    """An object store tells an object's age as well."""
    storage = Storage(bucket, "lake/stale")
    storage.write("_staging/Sale/dead/1/0.parquet", b"rows")
    now = datetime.now(UTC)
    assert Dataset(storage, "Sale").remove_stale_staging(now) == 0
    assert Dataset(storage, "Sale").remove_stale_staging(now + STALE + timedelta(minutes=1)) == 1
    assert storage.names("_staging") == []


def test_crash_before_any_step_heals_with_the_next_try(bucket: s3fs.S3FileSystem, simulator: SimulatorProcess) -> None:
    """As on a local disk: readers see the state before or the state after, and the next try brings the latter."""
    options = {**bucket.storage_options, "skip_instance_cache": True}
    job = Job.of("Sale", relations=["SaleLines"], relation_layout="tables")
    assert run_and_die(simulator, "s3://lake/base", job, RunFacts(), "first", 1, options=options)
    before = view("s3://lake/base", options)
    simulator.advance(3600)
    for key in range(10, 30):
        simulator.mutate(
            "update", resource="Sale", key=key, fields={"ticketNumber": f"{key} again"}, at=_now(simulator)
        )
    simulator.advance(600)
    bucket.copy("lake/base", "lake/whole", recursive=True)
    assert run_and_die(simulator, "s3://lake/whole", job, RunFacts(), "second", 1, options=options)
    after = view("s3://lake/whole", options)
    assert after != before
    steps, lived = 0, False
    while not lived:
        folder = f"s3://lake/step-{steps}"
        bucket.copy("lake/base", folder.removeprefix("s3://"), recursive=True)
        lived = run_and_die(simulator, folder, job, RunFacts(), "second", 1, steps, options)
        assert view(folder, options) in (before, after), steps
        assert run_and_die(simulator, folder, job, RunFacts(), "second", 2, options=options)
        assert view(folder, options) == after, steps
        steps += 6
    assert steps > 12


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("is_conditional", [True, False], ids=["with conditional writes", "without them"])
def test_kill_between_any_two_steps_of_a_commit_heals_with_the_next_one(
    bucket: s3fs.S3FileSystem, is_conditional: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the store ignores the condition, and writers take turns by a lock file."""
    if not is_conditional:
        monkeypatch.setattr(storage_module, "put_if_absent", careless)
    monkeypatch.setattr(locks, "SETTLE", 0.01)
    monkeypatch.setattr(locks, "STALE", 0.5)
    monkeypatch.setattr(storage_module, "_EXCLUSIVE", {})

    def make(steps: int) -> MortalStorage:
        fs = s3fs.S3FileSystem(**bucket.storage_options, skip_instance_cache=True)
        return MortalStorage(fs, f"lake/kill-{is_conditional}-{steps}")

    assert max(crashes(make, timedelta(days=3), stride=4)) > 6


def careless(fs: Any, path: str, content: bytes) -> bool:
    """Write, as a store does that knows no conditional requests."""
    fs.pipe_file(path, content)
    return True


@pytest.mark.parametrize("is_conditional", [True, False], ids=["with conditional writes", "without them"])
def test_of_writers_at_the_same_time_each_takes_a_version(
    bucket: s3fs.S3FileSystem, is_conditional: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None overwrites another's entry."""
    if not is_conditional:
        monkeypatch.setattr(storage_module, "put_if_absent", careless)
    monkeypatch.setattr(storage_module, "_EXCLUSIVE", {})
    folder = f"lake/writers-{is_conditional}"

    def work(number: int) -> None:
        Writer(Storage(bucket, folder)).commit(f"run {number}", {number: NOON}, NOON)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Dataset(Storage(bucket, folder), "Sale").log.load().version == 6
    assert set(shown(Storage(bucket, folder))) == set(range(6))


def _now(simulator: SimulatorProcess) -> str:
    return datetime.fromtimestamp(int(simulator.advance(0)), UTC).isoformat()
