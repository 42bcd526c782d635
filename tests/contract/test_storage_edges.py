"""Extracts to places that take no file, too few bytes, or a file with an odd name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_lightspeed.exceptions import InvalidArgument, StorageError
from airflow_provider_lightspeed.extract import attempt as attempt_module
from airflow_provider_lightspeed.extract import chain
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.summary import Summary
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.warehouse.manifest import read_manifest
from tests.support.fakes import client_of
from tests.support.limits import little_room, read_only


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(
        sales=250, items=20, customers=10, days=10, no_limits=True, grant=True, token_life=10_000_000
    ) as running:
        running.advance(600)
        yield running


def run(simulator: SimulatorProcess, storage: Storage, attempt: str = "1") -> Summary:
    job = Job.of("Sale", relations=["SaleLines"])
    return extract(client_of(simulator), storage, job, RunFacts(), run_key="run", attempt=attempt)


def rows(folder: str) -> int:
    manifest = read_manifest(f"{folder}/Sale")
    return sum(pq.read_metadata(f"{manifest.folder}/{file.path}").num_rows for file in manifest.checkpoint.files)


@pytest.mark.parametrize("name", ["~/lake", "{}/a[1]*?b", "{}/x/", "{}//x", "file://{}/x", "{}/y/../x", "relative/x"])
def test_odd_path_holds_what_the_account_holds(
    simulator: SimulatorProcess, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it is written, the files lie below it, once, and the manifest's path is absolute."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folder = name.format(tmp_path)
    summary = run(simulator, Storage.at(folder))
    assert os.path.isabs(summary.manifest)
    assert Path(summary.manifest).is_relative_to(tmp_path)
    assert rows(folder) == len(simulator.truth("Sale"))
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("file", ["lake", "lake/Sale", "lake/_staging"])
def test_file_in_the_way_costs_no_request(simulator: SimulatorProcess, file: str, tmp_path: Path) -> None:
    """It is refused by name, and nothing is left behind."""
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("in the way")
    simulator.clear_audit()
    with pytest.raises(InvalidArgument, match="is a file") as caught:
        run(simulator, Storage.at(str(tmp_path / "lake")))
    assert caught.value.field == "path"
    assert simulator.audit("api")["requests"] == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / file]


def test_read_only_folder_costs_no_request(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """The error names the path and what the operating system said."""
    simulator.clear_audit()
    with read_only(tmp_path), pytest.raises(StorageError, match=r"cannot write .*PermissionError.*may write there"):
        run(simulator, Storage.at(f"{tmp_path}/lake"))
    assert simulator.audit("api")["requests"] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stores", [False, True])
def test_full_disk_says_so_and_the_next_try_brings_all(
    simulator: SimulatorProcess, stores: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of the read: nothing is published, and closing what was begun does not hide the cause."""
    if stores:
        monkeypatch.setattr(chain, "STORE_EVERY", 0.0)
        monkeypatch.setattr(attempt_module, "STORE_EVERY", 0.0)
    storage = Storage.at(str(tmp_path))
    with little_room(9_000), pytest.raises(StorageError, match=r"cannot write '.*' \(OSError.*File too large"):
        run(simulator, storage)
    assert storage.names("Sale") == []
    run(simulator, storage, attempt="2")
    assert rows(str(tmp_path)) == len(simulator.truth("Sale"))
    assert storage.names("_staging") == []


class Dying(LocalFileSystem):  # type: ignore[misc]
    """A disk that has no room for rows, and then none for anything: clean-up fails as well.

    :param room: bytes that a Parquet file may have.
    """

    protocol = "dying"
    cachable = False

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room
        self.refused: list[str] = []

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        file = super().open(path, mode, **options)
        if path.endswith(".parquet") and "w" in mode:
            write, close = file.write, file.close

            def checked(content: Any) -> int:
                if file.tell() + len(content) > self._room:
                    raise OSError(28, "No space left on device")
                return int(write(content))

            def refused() -> None:
                close()
                self.refused.append(path)
                raise OSError(5, "Input/output error")

            file.write, file.close = checked, refused
        return file


@pytest.mark.parametrize("room", [0, 100])
def test_cleaning_up_never_hides_the_first_error(
    simulator: SimulatorProcess, room: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether a file could be begun or not; what fails while it is closed is logged."""
    disk = Dying(room)
    with pytest.raises(StorageError, match="No space left on device"):
        run(simulator, Storage(disk, str(tmp_path)))
    assert disk.refused
    assert ("a staged file could not be closed" in caplog.text) == bool(room)
