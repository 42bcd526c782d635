"""Storage: atomic writes, listings that are true, errors that name the path."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from airflow_provider_lightspeed.exceptions import StorageError
from airflow_provider_lightspeed.extract.storage import Storage


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
    with pytest.raises(StorageError, match="cannot open 'nonsense://x'"):
        Storage.at("nonsense://x")
