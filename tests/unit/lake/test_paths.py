"""Paths: which ones a dataset may have, and what the error of the others says."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_lightspeed.exceptions import InvalidArgument, StorageError
from airflow_provider_lightspeed.lake.paths import check_path, resolve_path


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/data/lake", "/data/lake"),
        ("/data/lake/", "/data/lake"),
        ("//data///lake", "/data/lake"),
        ("  /data/lake ", "/data/lake"),
        ("~/lake", "/home/worker/lake"),
        ("~", "/home/worker"),
        ("/data/../other/./lake", "/other/lake"),
        ("file:///data/lake/", "file:///data/lake"),
        ("local:///data/lake", "local:///data/lake"),
        ("/data/a[1]*?", "/data/a[1]*?"),
        ("s3://bucket", "s3://bucket"),
        ("s3://conn_id@bucket/key/", "s3://conn_id@bucket/key"),
        ("s3://bucket/~/a[1]*?b/c d", "s3://bucket/~/a[1]*?b/c d"),
        ("s3://bucket/a..b/...", "s3://bucket/a..b/..."),
        (Path("/data/lake"), "/data/lake"),
    ],
)
def test_usable_path_is_read_as_a_user_expects(path: object, meant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``~`` is the home folder, slashes at the end mean nothing, glob characters are plain ones."""
    monkeypatch.setenv("HOME", "/home/worker")
    assert check_path(path) == meant


def test_relative_path_starts_at_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And becomes absolute, so that the manifest's path means the same elsewhere."""
    monkeypatch.chdir(tmp_path)
    assert (check_path("lake"), check_path(".")) == (f"{tmp_path}/lake", str(tmp_path))


def test_parent_of_a_link_is_that_of_its_target(tmp_path: Path) -> None:
    """As the operating system has it."""
    (tmp_path / "disk" / "folder").mkdir(parents=True)
    os.symlink(tmp_path / "disk" / "folder", tmp_path / "link")
    assert check_path(f"{tmp_path}/link/../lake") == f"{tmp_path}/disk/lake"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (None, "is empty"),
        ("", "is empty"),
        (" \n", "is empty"),
        ("/data/la\nke", "control character"),
        ("/data/la\x00ke", "control character"),
        ("~nobody-of-this-name/lake", "no such user"),
        ("file://data/lake", "three slashes"),
        ("file://localhost/data", "three slashes"),
        ("file://~/lake", "three slashes"),
        ("file:lake", "three slashes"),
        ("s3:bucket/key", "no slashes after s3:"),
        ("s3://", "names no bucket"),
        ("s3:///key", "names no bucket"),
        ("s3://conn_id@/key", "names no bucket"),
        ("s3://bucket//key", "two slashes in a row"),
        ("s3://bucket/a//b", "two slashes in a row"),
        ("gs://bucket/../key", "'..' as a name"),
        ("abfs://conn_id@container/a/./b", "'.' as a name"),
        ("s3://bucket/key::x", "chains file systems"),
        ("simplecache::s3://bucket/key", "chains file systems"),
    ],
)
def test_other_path_is_refused_by_name(path: object, why: str) -> None:
    """The error has field, what was found and what is allowed."""
    with pytest.raises(InvalidArgument, match=why) as caught:
        check_path(path)
    error = caught.value
    assert (error.field, error.found) == ("path", path)
    assert error.allowed
    assert str(error).startswith("path: ")


@pytest.mark.parametrize(
    ("path", "packages"),
    [
        ("s3://bucket/key", "'airflow-provider-lightspeed[s3]'"),
        ("gs://bucket/key", "gcsfs"),
        ("abfs://container/key", "adlfs"),
    ],
)
@pytest.mark.parametrize("error", [ImportError("Install s3fs to access S3"), ValueError("No filesystem registered")])
def test_missing_package_is_named_with_its_command(path: str, packages: str, error: Exception) -> None:
    """Airflow and fsspec report it differently; retrying cannot help."""

    def resolve(_: str) -> Any:
        raise error

    with pytest.raises(InvalidArgument, match=r"A package is missing on this machine: pip install ") as caught:
        resolve_path(path, resolve)
    assert packages in str(caught.value)
    assert str(error) in str(caught.value)


def test_unknown_scheme_is_refused_and_a_missing_connection_may_come_yet() -> None:
    """The first is a wrong argument; the second is the storage's fault, and named as the user calls the argument."""

    def resolve(_: str) -> Any:
        raise ValueError("Unsupported filesystem: 'nowhere'")

    with pytest.raises(InvalidArgument, match=r"^--to: cannot open 'nowhere://x' .*It takes a folder, or a URL"):
        resolve_path("nowhere://x", resolve, argument="--to")

    class NotFound(Exception):
        pass

    class Target(SimpleNamespace):
        @property
        def fs(self) -> Any:
            raise NotFound("The conn_id `aws` isn't defined")

    with pytest.raises(StorageError, match=r"NotFound: The conn_id `aws` isn't defined\)\. Check the connection"):
        resolve_path("s3://aws@bucket/x", lambda _: Target())
