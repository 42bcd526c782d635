"""Where a dataset lies, as OpenLineage names it and as its storage's console shows it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

#: File systems by the name that OpenLineage has for their scheme; others keep their own.
_SCHEMES: Final = {
    "": "file", "local": "file", "s3a": "s3", "s3n": "s3", "gcs": "gs", "abfs": "abfss", "az": "abfss", "adl": "abfss",
}  # fmt: skip
_BUCKETS: Final = ("s3", "gs", "abfss")


@dataclass(frozen=True, slots=True)
class Location:
    """A dataset's folder. Namespace and name follow https://openlineage.io/docs/spec/naming.

    :param namespace: the storage: ``file``, ``s3://bucket``, ``gs://bucket``, ``abfss://container@account.dfs.core.windows.net``.
    :param name: the folder in it, without a slash at its end; absolute on a local disk.
    :param console: an address where a browser shows the folder; empty if there is none.
    """

    namespace: str
    name: str
    console: str = ""

    @property
    def uri(self) -> str:
        """The folder's URI, without connection and credentials."""
        return f"file://{self.name}" if self.namespace == "file" else f"{self.namespace}/{self.name.lstrip('/')}"

    @classmethod
    def of(cls, path: Any, folder: str) -> Location:
        """Return where a folder below a path is.

        :param path: an ``ObjectStoragePath``.
        :param folder: such as ``Sale``.
        """
        scheme = _SCHEMES.get(path.protocol, path.protocol)
        whole = f"{path.path.rstrip('/')}/{folder}"
        if scheme == "file":
            return cls("file", os.path.abspath(whole))
        if scheme not in _BUCKETS:
            host = path.bucket.rpartition("@")[2]
            return cls(f"{scheme}://{host}" if host else scheme, f"{path.key.rstrip('/')}/{folder}".lstrip("/"))
        bucket, _, key = whole.partition("/")
        if scheme == "s3":
            return cls(f"s3://{bucket}", key, _s3_console(path.fs, bucket, key))
        if scheme == "gs":
            return cls(f"gs://{bucket}", key, f"https://console.cloud.google.com/storage/browser/{bucket}/{quote(key)}")
        # The Azure portal names a folder by subscription and resource group, which nobody here knows.
        account = getattr(path.fs, "account_name", None)
        return cls(f"abfss://{bucket}@{account}.dfs.core.windows.net" if account else f"abfss://{bucket}", key)


def _s3_console(fs: Any, bucket: str, key: str) -> str:
    """Return the page of AWS; none if the bucket is somebody else's who speaks the same protocol."""
    meta = getattr(getattr(fs, "s3", None), "meta", None)  # s3fs's client knows where it ended up, whoever said so
    host = urlsplit(getattr(meta, "endpoint_url", None) or "").hostname
    if host and not host.endswith(".amazonaws.com"):
        return ""
    return f"https://console.aws.amazon.com/s3/buckets/{bucket}?prefix={quote(key)}/"
