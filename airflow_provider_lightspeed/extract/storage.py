"""The dataset's storage: any fsspec file system, with errors that name the path and say what to do."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_lightspeed.exceptions import StorageError


class Storage:
    """A folder on a file system.

    :param fs: an fsspec file system.
    :param root: the folder, without scheme (``ObjectStoragePath.path``).
    """

    def __init__(self, fs: Any, root: str) -> None:
        self._fs = fs
        self.root = root.rstrip("/")

    @classmethod
    def at(cls, url: str, **options: Any) -> Storage:
        """Return the storage of a URL or a local path."""
        with _errors("open", url):
            fs, root = fsspec.core.url_to_fs(url, **options)
        return cls(fs, root)

    def path(self, name: str) -> str:
        """Return the full path of a name below the root."""
        return f"{self.root}/{name}"

    def open(self, path: str, mode: str) -> Any:
        """Open a full path; folders are made as needed."""
        with _errors("open", path):
            self._make_parent(path)
            return self._fs.open(path, mode)

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, ``None`` if there is none."""
        # A listing may be cached by the file system object; another process may just have written.
        self._fs.invalidate_cache()
        with _errors("read", self.path(name)):
            try:
                content: bytes = self._fs.cat_file(self.path(name))
            except FileNotFoundError:
                return None
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a file so that readers see the old one or the new one, never a part."""
        path = self.path(name)
        with _errors("write", path):
            self._make_parent(path)
            if not isinstance(self._fs, LocalFileSystem):
                # Object stores publish a put when it is whole.
                self._fs.pipe_file(path, content)
                return
            draft = f"{path}.{uuid.uuid4().hex}.tmp"
            try:
                with open(draft, "xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(draft, path)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(draft)

    def move(self, source: str, target: str) -> None:
        """Move a file; on a local disk in one step, elsewhere copy then delete."""
        with _errors("move", self.path(target)):
            self._make_parent(self.path(target))
            self._fs.mv(self.path(source), self.path(target))

    def names(self, folder: str) -> list[str]:
        """Return the names of all files below a folder, relative to the root, sorted."""
        self._fs.invalidate_cache()
        with _errors("list", self.path(folder)):
            try:
                found = self._fs.find(self.path(folder))
            except FileNotFoundError:
                return []
        prefix = self._fs._strip_protocol(self.root) + "/"  # noqa: SLF001 - fsspec's own normal form
        return sorted(str(path).removeprefix(prefix) for path in found)

    def age(self, name: str, now: datetime) -> timedelta:
        """Return for how long a file has not been written; zero if the file system cannot tell, or it is gone."""
        with _errors("look up", self.path(name)), suppress(FileNotFoundError, NotImplementedError):
            modified: datetime = self._fs.modified(self.path(name))
            return now - (modified if modified.tzinfo else modified.replace(tzinfo=UTC))
        return timedelta()

    def remove(self, name: str) -> None:
        """Delete a file; it is fine if it is gone."""
        with _errors("delete", self.path(name)), suppress(FileNotFoundError):
            self._fs.rm_file(self.path(name))

    def remove_folder(self, folder: str) -> None:
        """Delete a folder and all below it."""
        for name in self.names(folder):
            self.remove(name)
        if isinstance(self._fs, LocalFileSystem):
            with suppress(OSError):
                self._fs.rm(self.path(folder), recursive=True)

    def probe(self, folder: str) -> None:
        """Write and delete a small file, so that an unwritable path is known before anything is fetched.

        :raises StorageError: names the path.
        """
        name = f"{folder}/.probe-{uuid.uuid4().hex}"
        self.write(name, b"")
        self.remove(name)

    def _make_parent(self, path: str) -> None:
        if isinstance(self._fs, LocalFileSystem):
            self._fs.makedirs(os.path.dirname(path), exist_ok=True)


@contextmanager
def _errors(verb: str, path: str) -> Iterator[None]:
    try:
        yield
    except StorageError:
        raise
    except Exception as error:  # every file system has errors of its own; all end as one kind, none is swallowed
        msg = (
            f"path: cannot {verb} {path!r} ({type(error).__name__}: {str(error)[:200]}). Check that the folder or bucket "
            "exists, that the worker may write there, and the connection of the storage"
        )
        raise StorageError(msg, path=path, verb=verb) from error
