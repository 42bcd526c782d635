"""Where a dataset lies: OpenLineage's names for it, and the page that shows it."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.compat import ObjectStoragePath
from airflow_provider_lightspeed.links.location import Location


def path(protocol: str, below: str, **fs: Any) -> Any:
    """Return what an ``ObjectStoragePath`` of that file system says; the file systems themselves are not installed."""
    bucket, _, key = below.partition("/")
    return SimpleNamespace(protocol=protocol, path=below, bucket=bucket, key=key, fs=SimpleNamespace(**fs))


def s3(endpoint: str) -> Any:
    """Return an S3 client that talks to that endpoint."""
    return SimpleNamespace(meta=SimpleNamespace(endpoint_url=endpoint))


AWS = s3("https://s3.eu-west-1.amazonaws.com")


@pytest.mark.parametrize(
    ("where", "namespace", "name"),
    [
        (path("s3", "lake/raw/lightspeed", s3=AWS), "s3://lake", "raw/lightspeed/Sale"),
        (path("s3a", "lake/raw/", s3=AWS), "s3://lake", "raw/Sale"),
        (path("s3", "lake/", s3=AWS), "s3://lake", "Sale"),
        (path("gs", "lake/raw"), "gs://lake", "raw/Sale"),
        (path("gcs", "lake/raw"), "gs://lake", "raw/Sale"),
        (path("abfs", "lake/raw", account_name="shop"), "abfss://lake@shop.dfs.core.windows.net", "raw/Sale"),
        (path("abfss", "lake/raw", account_name=None), "abfss://lake", "raw/Sale"),
        (path("hdfs", "namenode:8020/raw"), "hdfs://namenode:8020", "raw/Sale"),
    ],
)
def test_namespace_and_name_follow_openlineage(where: Any, namespace: str, name: str) -> None:
    """One spelling per storage, whichever of its schemes the path has, so that lineage of several tools connects."""
    location = Location.of(where, "Sale")
    assert (location.namespace, location.name) == (namespace, name)
    assert location.uri == f"{namespace}/{name}"


@pytest.mark.parametrize("url", ["{}", "{}/", "file://{}"])
def test_local_folder_is_named_by_its_absolute_path(url: str, tmp_path: Path) -> None:
    """As Airflow's own file assets are."""
    location = Location.of(ObjectStoragePath(url.format(tmp_path)), "Sale")
    assert (location.namespace, location.name, location.console) == ("file", f"{tmp_path}/Sale", "")
    assert location.uri == f"file://{tmp_path}/Sale"


def test_relative_folder_is_named_as_the_task_sees_it() -> None:
    """A name that depends on the working directory would mean another folder elsewhere."""
    where = SimpleNamespace(protocol="", path="lake")
    assert Location.of(where, "Sale").name == os.path.abspath("lake/Sale")


def test_userinfo_is_in_no_name() -> None:
    """It names a connection, and might hold more than that."""
    where = SimpleNamespace(protocol="sftp", path="/raw", bucket="me:password@host", key="raw")
    location = Location.of(where, "Sale")
    assert (location.namespace, location.name) == ("sftp://host", "raw/Sale")
    assert "password" not in repr(location)


@pytest.mark.parametrize(
    ("where", "console"),
    [
        (
            path("s3", "lake/raw data", s3=AWS),
            "https://console.aws.amazon.com/s3/buckets/lake?prefix=raw%20data/Sale/",
        ),
        (path("s3", "lake/raw", s3=s3("https://s3.amazonaws.com")), None),
        (path("s3", "lake/raw", s3=s3("http://minio:9000")), ""),
        (path("s3", "lake/raw", s3=s3("https://amazonaws.com.example.org")), ""),
        (path("gs", "lake/raw"), "https://console.cloud.google.com/storage/browser/lake/raw/Sale"),
        (path("abfss", "lake/raw", account_name="shop"), ""),
    ],
)
def test_console_is_the_one_of_the_storage_or_none(where: Any, console: str | None) -> None:
    """A bucket at somebody else's endpoint is not in AWS's console; the Azure portal's addresses cannot be derived."""
    expected = "https://console.aws.amazon.com/s3/buckets/lake?prefix=raw/Sale/" if console is None else console
    assert Location.of(where, "Sale").console == expected
