"""The dataset's storage: any fsspec file system, with errors that name the path and say what to do."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import fsspec
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_lightspeed.exceptions import InvalidArgument, StorageError
from airflow_provider_lightspeed.lake.locks import LockFile, put_if_absent
from airflow_provider_lightspeed.lake.paths import EXAMPLES, cannot_open, check_key, check_path, local_path

#: By file system and root: whether conditional requests are honoured there.
_EXCLUSIVE: dict[str, bool] = {}


class Storage:
    """A folder on a file system.

    :param fs: an fsspec file system.
    :param root: the folder, without scheme (``ObjectStoragePath.path``).
    :raises InvalidArgument: field ``path``; the folder's name is one that file systems read differently.
    """

    def __init__(self, fs: Any, root: str) -> None:
        self._fs = fs
        if isinstance(fs, LocalFileSystem):
            self.root = local_path(root).rstrip("/")
        else:
            check_key(root.removeprefix("/"), path=root)
            self.root = root.rstrip("/")

    @classmethod
    def at(cls, url: str, **options: Any) -> Storage:
        """Return the storage of a URL or a local path.

        :raises InvalidArgument: field ``path``; as :func:`.paths.check_path`, an unknown scheme, or a package is missing.
        :raises StorageError: the file system refuses its options.
        """
        checked = check_path(url)
        try:
            fs, root = fsspec.core.url_to_fs(checked, **options)
        except Exception as error:  # every file system has errors of its own
            raise cannot_open(checked, error) from error
        return cls(fs, root)

    @property
    def fs(self) -> Any:
        """The fsspec file system."""
        return self._fs

    def path(self, name: str) -> str:
        """Return the full path of a name below the root."""
        return f"{self.root}/{name}"

    def open(self, path: str, mode: str) -> Any:
        """Open a full path; folders are made as needed. The file's own errors are :class:`StorageError` as well."""
        with _errors("open", path):
            if "w" in mode:
                self._make_parent(path)
            return _File(self._fs.open(path, mode), "write" if "w" in mode else "read", path)

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
                with suppress(OSError):  # or it would hide why the write failed
                    os.unlink(draft)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file unless there is one of that name; return whether it was written. Readers see all of it or nothing.

        Of several writers at a time one succeeds: by a hard link on a local disk, by a conditional request on an object
        store. Where neither is to be had, writers take turns by a lock file (:mod:`.locks`).
        """
        with _errors("create", self.path(name)):
            if isinstance(self._fs, LocalFileSystem):
                return self._create_locally(name, content)
            if not self._creates_exclusively():
                with LockFile(self._fs, f"{self.path(name).rpartition('/')[0]}/.lock"):
                    self._fs.invalidate_cache()
                    if self._fs.exists(self.path(name)):
                        return False
                    self._fs.pipe_file(self.path(name), content)
                    return True
            return put_if_absent(self._fs, self.path(name), content)

    def _create_locally(self, name: str, content: bytes) -> bool:
        path = self.path(name)
        self._make_parent(path)
        draft = f"{path}.{uuid.uuid4().hex}.tmp"
        try:
            with open(draft, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, path)
            except FileExistsError:
                return False
            except OSError:
                return self._create_without_links(draft, path)
        finally:
            with suppress(OSError):  # or it would hide why the write failed
                os.unlink(draft)
        return True

    def _create_without_links(self, draft: str, path: str) -> bool:
        """Put a draft into its place on a file system that knows no hard links."""
        with LockFile(self._fs, f"{os.path.dirname(path)}/.lock"):
            if os.path.lexists(path):
                return False
            os.replace(draft, path)
            return True

    def _creates_exclusively(self) -> bool:
        """Whether the store refuses a conditional request for a name that is taken; asked once for each process and root."""
        place = f"{self._fs.protocol}/{self.root}"
        if place not in _EXCLUSIVE:
            probe = self.path(f"_staging/.create-{uuid.uuid4().hex}")
            try:
                _EXCLUSIVE[place] = put_if_absent(self._fs, probe, b"1") and not put_if_absent(self._fs, probe, b"2")
            finally:
                with suppress(FileNotFoundError):
                    self._fs.rm_file(probe)
        return _EXCLUSIVE[place]

    def move(self, source: str, target: str) -> None:
        """Move a file; on a local disk in one step, elsewhere copy then delete."""
        with _errors("move", self.path(target)):
            self._make_parent(self.path(target))
            if isinstance(self._fs, LocalFileSystem):
                self._fs.mv(self.path(source), self.path(target))
                return
            # Elsewhere fsspec's ``mv`` takes ``[``, ``*`` and ``?`` in a key for a pattern.
            self._fs.cp_file(self.path(source), self.path(target))
            self._fs.rm_file(self.path(source))

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

    def resources(self) -> list[str]:
        """Return the resources that have a dataset here, sorted."""
        self._fs.invalidate_cache()
        with _errors("list", self.root):
            try:
                found = self._fs.ls(self.root, detail=False)
            except FileNotFoundError:
                return []
        names = sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)
        candidates = (name for name in names if not name.startswith(("_", ".")) and "." not in name)
        return [name for name in candidates if self._fs.exists(self.path(f"{name}/_manifest.json"))]

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

    def probe(self, *folders: str) -> None:
        """Write and delete a small file in each folder, so that an unwritable path is known before anything is fetched.

        :raises InvalidArgument: field ``path``; the path is a file, or leads through one.
        :raises StorageError: names the path.
        """
        for folder in folders:
            self._check_folder(folder)
        names = [f"{folder}/.probe-{uuid.uuid4().hex}" for folder in folders]
        made = [found for name in names if (found := self._missing_parent(self.path(name)))]
        try:
            for name in names:
                self.write(name, b"")
                self.remove(name)
        except StorageError:
            for folder in made:
                _remove_empty(folder)
            raise

    def _check_folder(self, folder: str) -> None:
        paths = [self.root]
        if isinstance(self._fs, LocalFileSystem):
            whole = self.path(folder)
            paths = [whole, *(whole[: found.start()] for found in re.finditer("/", whole) if found.start())]
        self._fs.invalidate_cache()
        for path in paths:
            if path and self._fs.isfile(path):
                msg = (
                    f"path: {path!r} is a file, and a dataset needs a folder. Allowed: a folder such as {EXAMPLES[0]}, or "
                    f"a URL such as {EXAMPLES[1]}"
                )
                raise InvalidArgument(msg, field="path", found=path, allowed=EXAMPLES)

    def _missing_parent(self, path: str) -> str | None:
        """Return the topmost folder that a write to a local path would make."""
        made = None
        if isinstance(self._fs, LocalFileSystem):
            while not os.path.lexists(parent := os.path.dirname(made or path)):
                made = parent
        return made

    def _make_parent(self, path: str) -> None:
        if isinstance(self._fs, LocalFileSystem):
            self._fs.makedirs(os.path.dirname(path), exist_ok=True)


def _remove_empty(folder: str) -> None:
    """Delete the empty folders of a local tree; what anybody has put into one of them stays."""
    for path, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            os.rmdir(path)


class _File:
    """An open file whose errors name its path, whatever library reads or writes it."""

    def __init__(self, file: Any, verb: str, path: str) -> None:
        self._file = file
        self._verb, self._path = verb, path

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._file, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            with _errors(self._verb, self._path):
                return found(*arguments, **options)

        return call

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with _errors(self._verb, self._path):
            self._file.close()


@contextmanager
def _errors(verb: str, path: str) -> Iterator[None]:
    try:
        yield
    except (StorageError, InvalidArgument):
        raise
    except Exception as error:  # every file system has errors of its own; all end as one kind, none is swallowed
        msg = (
            f"path: cannot {verb} {path!r} ({type(error).__name__}: {str(error)[:200]}). Check that the folder or bucket "
            "exists, that the worker may write there, and the connection of the storage"
        )
        raise StorageError(msg, path=path, verb=verb) from error
