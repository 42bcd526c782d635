"""The user's connection as a frozen value: read field by field, checked once, secrets that do not print."""

from __future__ import annotations

import fnmatch
import ipaddress
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from airflow_provider_lightspeed.exceptions import InvalidArgument, MissingCredentials
from airflow_provider_lightspeed.redact import MASK, Secret

log = logging.getLogger(__name__)

DEFAULT_HOST: Final = "https://api.lightspeedapp.com"
DEFAULT_AUTH_URL: Final = "https://cloud.lightspeedapp.com"
DEFAULT_ALLOWED_HOSTS: Final = "*.lightspeedapp.com"
#: Airflow's limit of 250 less what the keys of the token ledger's copies add (``tokens.copies``).
LONGEST_ID: Final = 212
#: What Airflow allows in a connection's ID, as long as this package does.
CONN_ID: Final = re.compile(rf"[\w#!()\-.:/\\]{{1,{LONGEST_ID}}}")
EXTRA_KEYS: Final = ("auth_url", "account_id", "scope", "refresh_token")
#: What every URL parser reads alike: after a backslash or a semicolon, say, HTTP clients find another host than we do.
_PLAIN_NETLOC: Final = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9._~/-]*")


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """Where credentials may go: the parsed ``[lightspeed] allowed_hosts``.

    :param entries: host patterns (``*.lightspeedapp.com``: https only) or origins (``http://127.0.0.1:*``).
    """

    entries: tuple[str, ...]

    @classmethod
    def parse(cls, text: str | None) -> HostPolicy:
        """Read the comma-separated setting; empty means the default."""
        entries = tuple(part.strip() for part in (text or DEFAULT_ALLOWED_HOSTS).split(",") if part.strip())
        return cls(entries)

    def check(self, field: str, url: str) -> str:
        """Return ``url`` as an origin without a trailing slash.

        :raises InvalidArgument: not a plain origin, not https (loopback aside), or not in the list.
        """
        try:
            parts = urlsplit(url if "://" in url else f"https://{url}")
        except ValueError:  # brackets without an address in them, letters that turn into others
            parts = urlsplit("")
        if not parts.hostname or not _is_plain(parts):
            msg = f"{field}: {_without_userinfo(url)!r} is not a base URL; write it like {DEFAULT_HOST}"
            raise InvalidArgument(msg, field=field, found=_without_userinfo(url), allowed=self.entries)
        origin = f"{parts.scheme}://{parts.netloc}"
        path = parts.path.rstrip("/")
        if any(self._admits(entry, parts.scheme, parts.hostname, origin) for entry in self.entries):
            return origin + path
        msg = (
            f"{field}: credentials may not be sent to {origin!r}. Allowed: {', '.join(self.entries)}. "
            "If this host is right, add it to [lightspeed] allowed_hosts in airflow.cfg"
        )
        raise InvalidArgument(msg, field=field, found=origin, allowed=self.entries)

    @staticmethod
    def _admits(entry: str, scheme: str, host: str, origin: str) -> bool:
        if "://" not in entry:
            return scheme == "https" and fnmatch.fnmatchcase(host.lower(), entry.lower())
        if scheme == "http" and not _is_loopback(host):
            return entry.startswith("http://") and "*" not in entry and entry.rstrip("/") == origin
        return fnmatch.fnmatchcase(origin.lower(), entry.lower().rstrip("/"))


def _is_plain(parts: SplitResult) -> bool:
    is_bare = not parts.query and not parts.fragment
    return is_bare and bool(_PLAIN_NETLOC.fullmatch(parts.netloc) and _PLAIN_PATH.fullmatch(parts.path))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _without_userinfo(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    rest = (rest or scheme).rsplit("@", 1)[-1].split("?", 1)[0]
    return f"{scheme}://{rest}" if separator else rest


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """One Lightspeed connection, as configured by a person.

    :param refresh_token: the seed: a grant somebody put in. Empty when absent. Where it and the ledger differ, the
        ledger decides (``auth.ledger``).
    """

    conn_id: str
    client_id: str
    client_secret: Secret
    host: str = DEFAULT_HOST
    auth_url: str = DEFAULT_AUTH_URL
    account_id: str | None = None
    scope: tuple[str, ...] = ()
    refresh_token: Secret = field(default_factory=lambda: Secret(""))

    @property
    def destination(self) -> tuple[str, str, str]:
        """Return what decides where secrets are sent: host, authorization server, client ID."""
        return (self.host, self.auth_url, self.client_id)


def read_settings(
    conn_id: str,
    *,
    login: str | None,
    password: str | None,
    host: str | None,
    extra: Mapping[str, Any],
    policy: HostPolicy,
    need_secret: bool = True,
) -> ConnectionSettings:
    """Check the fields of a connection and return them.

    ``None`` and ``""`` both mean absent. Extra keys other than :data:`EXTRA_KEYS` are ignored with a warning.

    :raises MissingCredentials: client ID or client secret is absent.
    :raises InvalidArgument: a field holds the mask ``***``, a URL that credentials may not be sent to, or a long ID.
    """
    _warn_of_strangers(conn_id, extra)
    if len(conn_id) > LONGEST_ID:
        msg = f"conn_id: {len(conn_id)} characters found, at most {LONGEST_ID} allowed; choose a shorter one"
        raise InvalidArgument(msg, field="conn_id", found=conn_id, allowed=())
    secrets = {"password": password, "extra.refresh_token": extra.get("refresh_token")}
    for name, value in secrets.items():
        if value == MASK:
            msg = f"connection {conn_id!r}, {name}: found the mask {MASK!r} instead of a value; enter the real one"
            raise InvalidArgument(msg, field=name, found=MASK, allowed=())
    client_id = (login or "").strip()
    client_secret = password or ""
    missing = [
        label
        for label, value in (("login (Client ID)", client_id), ("password (Client secret)", client_secret))
        if not value
    ]
    if missing and (need_secret or not client_id):
        msg = (
            f"connection {conn_id!r}: {' and '.join(missing)} is missing. Copy it from your API client at Lightspeed "
            "into the connection (Admin > Connections)"
        )
        raise MissingCredentials(msg, conn_id=conn_id, fields_missing=missing)
    scope = extra.get("scope") or ""
    return ConnectionSettings(
        conn_id=conn_id,
        client_id=client_id,
        client_secret=Secret(client_secret),
        host=policy.check("host", host or DEFAULT_HOST),
        auth_url=policy.check("auth_url", extra.get("auth_url") or DEFAULT_AUTH_URL),
        account_id=str(extra.get("account_id") or "").strip() or None,
        scope=tuple(scope.replace("+", " ").split() if isinstance(scope, str) else scope),
        refresh_token=Secret(str(extra.get("refresh_token") or "").strip()),
    )


def _warn_of_strangers(conn_id: str, extra: Iterable[str]) -> None:
    strangers = sorted(set(extra) - set(EXTRA_KEYS))
    if strangers:
        log.warning(
            "connection %r: ignored extra keys %s; known: %s", conn_id, ", ".join(strangers), ", ".join(EXTRA_KEYS)
        )
