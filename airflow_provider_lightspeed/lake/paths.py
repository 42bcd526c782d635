"""Which paths a dataset may have. Text and names only: what needs the file system itself is in ``storage``.

A path is refused before anything is sent or written, with an error that names the argument. The rules:

- ``~`` is the home folder of the user that the worker runs as, as in a shell and in fsspec.
- A relative path starts at the worker's working folder. ``file:`` URLs have three slashes (RFC 8089).
- In an object's key every name between two slashes counts: an empty one, ``.`` and ``..`` are refused, since readers
  and browsers disagree about them. Glob characters (``[ ] * ?``) are plain characters.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, Final, NoReturn

from airflow_provider_lightspeed.exceptions import InvalidArgument, StorageError

EXAMPLES: Final = ("/data/lake", "s3://conn_id@bucket/key")
#: What has to be installed for a scheme.
_AMAZON: Final = "'airflow-provider-lightspeed[s3]' apache-airflow-providers-amazon"
_GOOGLE: Final = "apache-airflow-providers-google gcsfs"
_AZURE: Final = "apache-airflow-providers-microsoft-azure adlfs"
PACKAGES: Final = {
    "s3": _AMAZON, "s3a": _AMAZON, "s3n": _AMAZON, "gs": _GOOGLE, "gcs": _GOOGLE,
    "abfs": _AZURE, "abfss": _AZURE, "az": _AZURE, "adl": _AZURE,
}  # fmt: skip
_LOCAL: Final = ("file", "local")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(//)?(.*)", re.DOTALL)


def check_path(path: object, *, argument: str = "path") -> str:
    """Return a path as text, ``~`` replaced by the home folder.

    :param path: a folder or a URL; a ``pathlib.Path`` and an ``ObjectStoragePath`` do as well.
    :param argument: what the user calls it.
    :raises InvalidArgument: field ``path``; empty, blank, or of a form that file systems read differently.
    """
    text = str(path if path is not None else "").strip()
    if not text:
        _refuse(argument, path, "is empty")
    if re.search(r"[\x00-\x1f\x7f]", text):
        _refuse(argument, path, "contains a control character, such as a line end; remove it")
    found = _SCHEME.fullmatch(text)
    if not found:
        return local_path(text, argument=argument)
    scheme, slashes, rest = found[1].lower(), found[2], found[3]
    if scheme in _LOCAL:
        if not rest.startswith("/"):
            _refuse(argument, path, "names no absolute folder; a file URL has three slashes, such as file:///data/lake")
        return f"{scheme}://{local_path(rest, argument=argument)}"
    if "::" in text:
        _refuse(argument, path, "contains '::', which chains file systems; give the URL of one")
    if not slashes:
        if scheme in PACKAGES:
            _refuse(argument, path, f"has no slashes after {scheme}:; write it like {scheme}://bucket/key")
        return text
    bucket, _, key = rest.partition("/")
    if scheme in PACKAGES and not bucket.rpartition("@")[2]:
        _refuse(argument, path, f"names no bucket; write it like {scheme}://conn_id@bucket/key")
    check_key(key, argument=argument, path=text)
    return text.rstrip("/")


def check_key(key: str, *, path: str, argument: str = "path") -> None:
    """See that a key below a bucket has no name that readers disagree about.

    :raises InvalidArgument: field ``path``; a name between two slashes is empty, ``.`` or ``..``.
    """
    if not (names := key.rstrip("/")):
        return
    for name in names.split("/"):
        if not name:
            _refuse(argument, path, "has two slashes in a row, or a key that begins with one; leave one out")
        if name in (".", ".."):
            _refuse(argument, path, f"has {name!r} as a name in a key; write the folder's own key")


def local_path(path: str, *, argument: str = "path") -> str:
    """Return a local folder as an absolute path without ``~``, ``..``, doubled slashes, and a slash at its end.

    :raises InvalidArgument: field ``path``; ``~name`` of a user who has no home folder here.
    """
    whole = os.path.expanduser(path)
    if whole.startswith("~"):
        _refuse(argument, path, f"begins with {path.partition('/')[0]!r}, and there is no such user on this machine")
    # The way back from a link leads to the parent of what it points at, not to that of the link.
    whole = os.path.realpath(whole) if ".." in whole.split("/") else os.path.abspath(whole)
    return f"/{whole.lstrip('/')}"


def resolve_path(path: object, resolve: Callable[[str], Any], *, argument: str = "path") -> Any:
    """Return what a path stands for, with its file system made.

    :param path: as of :func:`check_path`.
    :param resolve: makes it, with the attributes ``fs`` and ``path``: Airflow's ``ObjectStoragePath``.
    :param argument: what the user calls it.
    :raises InvalidArgument: field ``path``; as :func:`check_path`, an unknown scheme, or a package is missing.
    :raises StorageError: its connection is missing or wrong.
    """
    text = check_path(path, argument=argument)
    try:
        target = resolve(text)
        target.fs  # noqa: B018 - it is made here
    except Exception as error:  # every scheme, provider and connection has errors of its own
        raise cannot_open(text, error, argument=argument) from error
    return target


def cannot_open(path: str, error: Exception, *, argument: str = "path") -> InvalidArgument | StorageError:
    """Return the error for a file system that could not be made."""
    found = _SCHEME.fullmatch(path)
    scheme = found[1].lower() if found else ""
    why = f"{argument}: cannot open {path!r} ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
    if isinstance(error, ImportError | ValueError) and scheme in PACKAGES:
        msg = f"{why}. A package is missing on this machine: pip install {PACKAGES[scheme]}"
        return InvalidArgument(msg, field="path", found=path, allowed=EXAMPLES)
    if isinstance(error, ImportError | ValueError) and scheme not in _LOCAL:
        msg = f"{why}. It takes a folder, or a URL that Airflow's ObjectStoragePath knows, such as {EXAMPLES[1]}"
        return InvalidArgument(msg, field="path", found=path, allowed=EXAMPLES)
    msg = f"{why}. Check the connection of the storage"
    return StorageError(msg, path=path, verb="open")


def _refuse(argument: str, found: object, why: str) -> NoReturn:
    msg = f"{argument}: {found!r} {why}. Allowed: a folder such as {EXAMPLES[0]}, or a URL such as {EXAMPLES[1]}"
    raise InvalidArgument(msg, field="path", found=found, allowed=EXAMPLES)
