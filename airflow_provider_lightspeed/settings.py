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
_HIGHEST_PORT: Final = 65_535
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
EXTRA_KEYS: Final = ("auth_url", "account_id", "scope", "refresh_token")
#: Characters of one field. Tokens have no documented length; this is several times what Lightspeed hands out.
LONGEST_FIELD: Final = 8_192
#: Client IDs, secrets, tokens and scopes are visible ASCII (RFC 6749, appendix A), as are URLs (RFC 3986).
_VISIBLE: Final = re.compile(r"[\x20-\x7e]*")
#: The account ID becomes a part of the API's paths.
_ACCOUNT_ID: Final = re.compile(r"[A-Za-z0-9_-]{0,64}")
#: Characters of a host's name (RFC 1035, section 2.3.4).
_LONGEST_HOST: Final = 253
#: Characters of a URL that an error shows.
_LONGEST_SHOWN: Final = 200
#: Unknown extra keys that a warning names.
_MOST_NAMED: Final = 10
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
        if len(parts.hostname) > _LONGEST_HOST:
            msg = f"{field}: a host of {len(parts.hostname)} characters found, at most {_LONGEST_HOST} allowed"
            raise InvalidArgument(msg, field=field, found=_without_userinfo(url), allowed=self.entries)
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
    try:
        is_bare = not parts.query and not parts.fragment and parts.port != 0
    except ValueError:  # above 65535
        return False
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
    return (f"{scheme}://{rest}" if separator else rest)[:_LONGEST_SHOWN]


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
    port: int | str | None = None,
    need_secret: bool = True,
) -> ConnectionSettings:
    """Check the fields of a connection and return them, without blanks and line ends around them.

    ``None`` and ``""`` both mean absent. Extra keys other than :data:`EXTRA_KEYS` are ignored with a warning.

    :param port: the port of ``host``, if that names none; ``None``, ``""`` and 0, which Airflow's form sends, mean absent.
    :raises MissingCredentials: client ID or client secret is absent.
    :raises InvalidArgument: a field holds the mask ``***``, a value of another type, a character that is not visible ASCII,
        more than :data:`LONGEST_FIELD` characters, a URL that credentials may not be sent to, a port other than the
        host's, an account ID that is none, or a long ID.
    """
    _warn_of_strangers(conn_id, extra)
    if len(conn_id) > LONGEST_ID:
        msg = f"conn_id: {len(conn_id)} characters found, at most {LONGEST_ID} allowed; choose a shorter one"
        raise InvalidArgument(msg, field="conn_id", found=conn_id, allowed=())
    client_id, client_secret = _text(conn_id, "login", login), _text(conn_id, "password", password)
    texts = {
        name: _text(conn_id, f"extra.{name}", extra.get(name)) for name in ("auth_url", "account_id", "refresh_token")
    }
    for name, value in {"password": client_secret, "extra.refresh_token": texts["refresh_token"]}.items():
        if value == MASK:
            msg = f"connection {conn_id!r}, {name}: found the mask {MASK!r} instead of a value; enter the real one"
            raise InvalidArgument(msg, field=name, found=MASK, allowed=())
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
    return ConnectionSettings(
        conn_id=conn_id,
        client_id=client_id,
        client_secret=Secret(client_secret),
        host=policy.check("host", _with_port(conn_id, _text(conn_id, "host", host) or DEFAULT_HOST, port)),
        auth_url=policy.check("auth_url", texts["auth_url"] or DEFAULT_AUTH_URL),
        account_id=_account_id(conn_id, texts["account_id"]),
        scope=_scope(conn_id, extra.get("scope")),
        refresh_token=Secret(texts["refresh_token"]),
    )


def _text(conn_id: str, name: str, value: object) -> str:
    """Return a field as text; a number, such as an account's, is one too.

    An error never shows the value: it may be a secret.
    """
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _refused(conn_id, name, f"a value of type {type(value).__name__}", "text; put it in quotes")
    try:
        text = str(value).strip()
    except ValueError:  # more digits than Python converts
        raise _refused(conn_id, name, "a number that is too long", f"at most {LONGEST_FIELD} characters") from None
    if len(text) > LONGEST_FIELD:
        raise _refused(conn_id, name, f"{len(text)} characters", f"at most {LONGEST_FIELD}")
    if not _VISIBLE.fullmatch(text):
        place = next(number for number, letter in enumerate(text, 1) if not _VISIBLE.fullmatch(letter))
        raise _refused(
            conn_id,
            name,
            f"U+{ord(text[place - 1]):04X} as character {place}",
            "visible ASCII characters; copy the value once more",
        )
    return text


def _refused(conn_id: str, name: str, found: str, allowed: str) -> InvalidArgument:
    msg = f"connection {conn_id!r}, {name}: found {found}, allowed is {allowed}"
    return InvalidArgument(msg, field=name, found=found, allowed=(allowed,))


def _account_id(conn_id: str, text: str) -> str | None:
    """Return the account ID, ``None`` for an absent one.

    :raises InvalidArgument: field ``extra.account_id``; it holds what would lead to another path of the API.
    """
    if not _ACCOUNT_ID.fullmatch(text):
        raise _refused(conn_id, "extra.account_id", repr(text[:80]), "the account's number, such as 12345")
    return text or None


def _scope(conn_id: str, value: object) -> tuple[str, ...]:
    """Return scopes that are given as a list, or as text with blanks or plus signs between them."""
    if isinstance(value, list | tuple):
        return tuple(text for each in value if (text := _text(conn_id, "extra.scope", each)))
    return tuple(_text(conn_id, "extra.scope", value).replace("+", " ").split())


def _with_port(conn_id: str, host: str, port: int | str | None) -> str:
    """Return the host with the connection's port, where it has none of its own.

    :raises InvalidArgument: field ``port``; not a port's number, or another one than the host's.
    """
    text = _text(conn_id, "port", port)
    if text in ("", "0"):
        return host
    if not (text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= _HIGHEST_PORT):
        msg = f"connection {conn_id!r}, port: found {repr(port)[:22]}, allowed 1 to {_HIGHEST_PORT}, or nothing"
        raise InvalidArgument(msg, field="port", found=port, allowed=(f"1 to {_HIGHEST_PORT}",))
    try:
        parts = urlsplit(host if "://" in host else f"https://{host}")
        own = parts.port
    except ValueError:  # the policy refuses such a host by name
        return host
    if own is None:
        is_default = int(text) == _DEFAULT_PORTS.get(parts.scheme)
        return host if is_default else parts._replace(netloc=f"{parts.netloc}:{int(text)}").geturl()
    if own != int(text):
        msg = (
            f"connection {conn_id!r}, port: found {text}, and host {_without_userinfo(host)!r} names port {own}; "
            "clear the port, or write the same number in both"
        )
        raise InvalidArgument(msg, field="port", found=text, allowed=(str(own), "nothing"))
    return host


def _warn_of_strangers(conn_id: str, extra: Iterable[str]) -> None:
    strangers = sorted(set(extra) - set(EXTRA_KEYS))
    if strangers:
        names = [repr(name[:80]) for name in strangers[:_MOST_NAMED]]
        more = f" and {len(strangers) - _MOST_NAMED} more" if len(strangers) > _MOST_NAMED else ""
        known = ", ".join(EXTRA_KEYS)
        log.warning("connection %r: ignored extra keys %s%s; known: %s", conn_id, ", ".join(names), more, known)
