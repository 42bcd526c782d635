"""Storage: atomic writes, listings that are true, errors that name the path."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_lightspeed.exceptions import InvalidArgument, StorageError
from airflow_provider_lightspeed.lake.storage import Storage
from tests.support.limits import little_room, read_only


def test_readers_see_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """Never a part, however often it is rewritten meanwhile."""
    storage, versions = Storage.at(str(tmp_path)), (b"a" * 100_000, b"b" * 100_000)
    storage.write("x", versions[0])
    done = threading.Event()

    def rewrite() -> None:
        for number in range(200):
            storage.write("x", versions[number % 2])
        done.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(storage.read("x"))
    writer.join()
    assert seen <= set(versions)
    assert os.listdir(tmp_path) == ["x"]


def test_missing_is_none_and_gone_is_gone(tmp_path: Path) -> None:
    """Absence is an answer, not an error."""
    storage = Storage.at(str(tmp_path))
    assert storage.read("nothing") is None
    assert storage.names("nowhere") == []
    storage.remove("nothing")
    storage.remove_folder("nowhere")


def test_names_are_relative_and_sorted(tmp_path: Path) -> None:
    """With a trailing slash or a scheme in the URL, too."""
    for url in (str(tmp_path), f"{tmp_path}/", f"file://{tmp_path}"):
        storage = Storage.at(url)
        for name in ("a/2", "a/1", "b"):
            storage.write(name, b"")
        assert storage.names("a") == ["a/1", "a/2"]
    storage.remove_folder("a")
    assert not (tmp_path / "a").exists()


def test_move_replaces_nothing_by_half(tmp_path: Path) -> None:
    """One rename on a local disk."""
    storage = Storage.at(str(tmp_path))
    storage.write("staged/x", b"1")
    storage.move("staged/x", "live/x")
    assert storage.read("live/x") == b"1"
    assert storage.read("staged/x") is None


def test_probe_leaves_nothing(tmp_path: Path) -> None:
    """It writes and deletes."""
    Storage.at(str(tmp_path)).probe("deep/down")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_error_names_path_and_cause(tmp_path: Path) -> None:
    """And what to check."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"cannot write .*file/x/y.*may write there"):
        Storage.at(str(tmp_path / "file")).write("x/y", b"")
    with pytest.raises(InvalidArgument, match="cannot open 'nonsense://x'"):
        Storage.at("nonsense://x")


@pytest.mark.parametrize("root", ["{}/a[1]*?b", "{}/a b/%20", "{}/x/", "{}//x", "file://{}/x", "{}/y/../x", "~/x"])
def test_every_operation_means_the_same_folder(root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the path is written: what is written is listed, moved, read and deleted under the same name."""
    monkeypatch.setenv("HOME", str(tmp_path))
    storage = Storage.at(root.format(tmp_path))
    storage.probe("_staging/Sale", "Sale")
    storage.write("_staging/Sale/0", b"1")
    storage.move("_staging/Sale/0", "Sale/part-0")
    with storage.open(storage.path("Sale/part-1"), "wb") as file:
        file.write(b"2")
    assert storage.names("Sale") == ["Sale/part-0", "Sale/part-1"]
    assert (storage.read("Sale/part-0"), storage.read("Sale/part-1")) == (b"1", b"2")
    assert os.path.isabs(storage.root)
    storage.remove_folder("Sale")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("file", ["lake", "lake/Sale", "lake/_staging", "lake/_staging/Sale"])
def test_file_in_the_way_is_refused_by_name(file: str, tmp_path: Path) -> None:
    """Where the dataset, or one of its folders, should be."""
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("in the way")
    with pytest.raises(InvalidArgument, match=f"'{tmp_path}/{file}' is a file, and a dataset needs a folder") as caught:
        Storage.at(str(tmp_path / "lake")).probe("_staging/Sale/run", "Sale")
    assert (caught.value.field, caught.value.found) == ("path", f"{tmp_path}/{file}")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / file]


def test_probe_finds_a_folder_that_takes_nothing(tmp_path: Path) -> None:
    """Before anything is read; what the probe itself has made is gone."""
    (tmp_path / "Sale").mkdir()
    with (
        read_only(tmp_path / "Sale"),
        pytest.raises(StorageError, match=r"cannot write .*Sale/\.probe.*PermissionError"),
    ):
        Storage.at(str(tmp_path)).probe("Sale")
    with read_only(tmp_path), pytest.raises(StorageError, match=r"cannot write .*_staging/.*PermissionError"):
        Storage.at(str(tmp_path)).probe("_staging/Sale/run")
    assert [path.name for path in tmp_path.iterdir()] == ["Sale"]


def test_file_that_a_disk_has_no_room_for_says_so(tmp_path: Path) -> None:
    """Also when another library writes it: the file system's own error does not reach the caller."""
    storage = Storage.at(str(tmp_path))
    rows = pa.table({"text": [os.urandom(200_000)]})
    with little_room(100_000):
        with pytest.raises(StorageError, match=r"cannot write '.*/x' \(OSError.*File too large"):
            storage.write("x", b"a" * 200_000)
        file = storage.open(storage.path("y"), "wb")
        with pytest.raises(StorageError, match=r"cannot write '.*/y' \(OSError.*File too large"):
            pq.write_table(rows, file)
        with pytest.raises(StorageError, match="cannot write"):
            file.close()
    assert storage.read("x") is None
    assert storage.names("") == ["y"]
