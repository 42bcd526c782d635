"""Exclusive creation: of several writers at a time one succeeds, whatever the store knows."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import fsspec
import pytest

from airflow_provider_lightspeed.lake import locks
from airflow_provider_lightspeed.lake.locks import LockFile, put_if_absent
from airflow_provider_lightspeed.lake.storage import Storage


class Conflict(Exception):
    """What botocore raises of a request whose condition is not met."""

    response = {"ResponseMetadata": {"HTTPStatusCode": 412}}  # noqa: RUF012 - as botocore has it


@pytest.mark.parametrize(
    "error", [FileExistsError(), Conflict(), OSError("An error occurred (PreconditionFailed) when calling PutObject")]
)
def test_taken_name_is_told_from_a_failure(error: Exception) -> None:
    """Each store has words of its own for it."""

    class Store:
        def pipe_file(self, path: str, content: bytes, mode: str) -> None:
            raise error

    assert not put_if_absent(Store(), "x", b"")


def test_failure_is_not_taken_for_a_taken_name() -> None:
    """Or a commit would be tried behind one that is not there."""

    class Store:
        def pipe_file(self, path: str, content: bytes, mode: str) -> None:
            raise PermissionError("Access Denied")

    with pytest.raises(PermissionError):
        put_if_absent(Store(), "x", b"")


@pytest.fixture(params=["links", "no links", "conditional", "lock file"])
def storage(request: pytest.FixtureRequest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Storage:
    monkeypatch.setattr(locks, "SETTLE", 0.02)
    if request.param == "no links":

        def refused(*_: Any) -> None:
            raise OSError("Operation not supported")

        monkeypatch.setattr("os.link", refused)
    if request.param in ("links", "no links"):
        return Storage.at(str(tmp_path))
    if request.param == "lock file":

        def careless(fs: Any, path: str, content: bytes) -> bool:
            fs.pipe_file(path, content)
            return True

        # A store that ignores the condition.
        monkeypatch.setattr("airflow_provider_lightspeed.lake.storage.put_if_absent", careless)
    return Storage.at(f"memory://create-{uuid.uuid4().hex}")


def test_of_many_writers_one_creates(storage: Storage) -> None:
    """Nobody overwrites it, and what it wrote is whole."""
    made: list[int] = []

    def create(number: int) -> None:
        if storage.create("log/1.json", b"%d" % number * 1000):
            made.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = made
    assert storage.read("log/1.json") == b"%d" % winner * 1000
    assert [name for name in storage.names("log") if not name.endswith(".lock")] == ["log/1.json"]


def test_lock_of_a_dead_writer_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits sees the same holder for so long."""
    monkeypatch.setattr(locks, "SETTLE", 0.01)
    monkeypatch.setattr(locks, "STALE", 0.3)
    fs, path = fsspec.filesystem("memory"), f"/lock-{uuid.uuid4().hex}"
    fs.pipe_file(path, b"dead")
    with LockFile(fs, path):
        assert fs.cat_file(path) != b"dead"
    assert not fs.exists(path)
