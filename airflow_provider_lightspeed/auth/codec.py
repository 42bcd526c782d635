"""The ledger as JSON, for the encrypted column that keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from airflow_provider_lightspeed.auth.ledger import Account, Failure, Ledger
from airflow_provider_lightspeed.auth.token import Token
from airflow_provider_lightspeed.exceptions import LightspeedDataError
from airflow_provider_lightspeed.redact import MASK, Secret

VERSION: Final = 1
#: The highest generation, which the keys of the ledger's copies have room for.
MOST: Final = 99_999_999
#: Seconds (a hundred years), or drips.
_LARGEST: Final = 3.2e9
_FIRST_YEAR: Final = 2000
_LAST_YEAR: Final = 9000


def dump(ledger: Ledger) -> dict[str, Any]:
    """Return the ledger as JSON-able data **with its secrets in clear**, for the encrypted column only."""
    return {
        "version": VERSION,
        "generation": ledger.generation,
        "token": ledger.token and dump_token(ledger.token),
        "predecessor_token": ledger.predecessor.reveal() if ledger.predecessor else None,
        "sibling_tokens": [sibling.reveal() for sibling in ledger.siblings],
        "seeds": " ".join(ledger.seeds),
        "rotated": " ".join(ledger.rotated),
        "failure": ledger.failure and ledger.failure.value,
        "failed_with": ledger.failed_with,
        "dead": " ".join(ledger.dead),
        "destination": ledger.destination and list(ledger.destination),
        "origin": ledger.origin,
        "owner": ledger.owner,
        "refreshed_at": ledger.refreshed_at and ledger.refreshed_at.isoformat(),
        "refreshed_by": _encodable(ledger.refreshed_by),
        "ahead": ledger.ahead,
        "unchanged": ledger.unchanged,
        "account": {
            "name": _encodable(ledger.account.name),
            "level": ledger.account.level,
            "size": ledger.account.size,
            "drip": ledger.account.drip,
            "seen_at": ledger.account.seen_at and ledger.account.seen_at.isoformat(),
        },
    }


def dump_token(token: Token) -> dict[str, Any]:
    """Return a pair as JSON-able data **with its secrets in clear**, for an encrypted column only."""
    return {
        "access_token": token.access_token.reveal(),
        "refresh_token": token.refresh_token.reveal(),
        "issued_at": token.issued_at.isoformat(),
        "expires_at": token.expires_at.isoformat(),
        "scope": list(token.scope),
        "account_id": token.account_id,
    }


def load_token(data: object) -> Token:
    """Return the pair from what :func:`dump_token` made.

    :raises LightspeedDataError: it is something else.
    """
    fields = Fields.of("token", data)
    return Token(
        access_token=fields.secret("access_token"),
        refresh_token=fields.secret("refresh_token"),
        issued_at=fields.moment("issued_at"),
        expires_at=fields.moment("expires_at"),
        scope=fields.texts("scope", fallback=()),
        account_id=fields.optional_text("account_id"),
    )


def load(data: object) -> Ledger:
    """Return the ledger from what :func:`dump` made; an empty object is a new ledger.

    :raises LightspeedDataError: it is something else: written by another version of this package, or by somebody else,
        or with a field missing, masked, or of another type. The error names the field, not what was found there.
    """
    if data == {}:
        return Ledger()
    fields = Fields.of("token ledger", data)
    version = fields.count("version")
    if version != VERSION:
        msg = (
            f"the stored token ledger has version {version}, this package reads {VERSION}: install the same version of "
            "airflow-provider-lightspeed on API servers and workers"
        )
        raise LightspeedDataError(msg, found=version, allowed=(VERSION,))
    return Ledger(
        generation=fields.count("generation"),
        token=load_token(fields["token"]) if fields["token"] is not None else None,
        predecessor=fields.secret("predecessor_token") if fields["predecessor_token"] is not None else None,
        siblings=fields.secrets("sibling_tokens"),
        seeds=tuple(fields.text("seeds").split()),
        rotated=tuple(fields.text("rotated").split()),
        failure=_failure(fields),
        failed_with=fields.text("failed_with"),
        dead=tuple(fields.text("dead").split()),
        destination=_destination(fields),
        origin=fields.text("origin"),
        owner=fields.text("owner"),
        refreshed_at=fields.moment("refreshed_at") if fields["refreshed_at"] is not None else None,
        refreshed_by=fields.text("refreshed_by"),
        ahead=fields.number("ahead"),
        unchanged=fields.flag("unchanged"),
        account=_account(fields.get("account")),
    )


def _failure(fields: Fields) -> Failure | None:
    if fields["failure"] is None:
        return None
    try:
        return Failure(fields.text("failure"))
    except ValueError:
        raise fields.error("failure", "one of the known failures") from None


def _destination(fields: Fields) -> tuple[str, str, str] | None:
    if fields["destination"] is None:
        return None
    parts = fields.texts("destination")
    if len(parts) != 3:
        raise fields.error("destination", "three texts")
    return (parts[0], parts[1], parts[2])


def _account(data: object) -> Account:
    """Return what was last seen of the account. Nothing is decided by it: what cannot be read was not seen."""
    try:
        fields = Fields.of("account", data)
        level, size, drip = (
            fields.number(name) if fields.get(name) is not None else None for name in ("level", "size", "drip")
        )
        seen_at = fields.moment("seen_at") if fields.get("seen_at") is not None else None
        return Account(fields.optional_text("name") or "", level, size, drip, seen_at)
    except LightspeedDataError:
        return Account()


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a stored JSON object, read one by one. Each reader raises ``LightspeedDataError``.

    :param what: what the object is, for errors.
    """

    what: str
    _data: Mapping[str, object] = field(repr=False)

    @classmethod
    def of(cls, what: str, data: object) -> Fields:
        """Return the fields of a JSON object."""
        if not isinstance(data, dict):
            msg = f"the stored {what} is no JSON object but of type {type(data).__name__}"
            raise LightspeedDataError(msg, found=type(data).__name__, allowed=("a JSON object",))
        return cls(what, data)

    def error(self, name: str, allowed: str) -> LightspeedDataError:
        """Return the error that a field is none of ``allowed``. It holds no value: that may be a secret."""
        found = type(self._data[name]).__name__ if name in self._data else "nothing"
        msg = f"the stored {self.what} cannot be read: field {name!r} has {found}, allowed is {allowed}"
        return LightspeedDataError(msg, field=name, found=found, allowed=(allowed,))

    def __getitem__(self, name: str) -> object:
        if name not in self._data:
            raise self.error(name, "a value")
        return self._data[name]

    def get(self, name: str) -> object:
        """Return a field as it stands, ``None`` if it is missing."""
        return self._data.get(name)

    def text(self, name: str) -> str:
        """Return a text that can be encoded: a lone surrogate cannot."""
        value = self[name]
        if not isinstance(value, str) or not _is_encodable(value):
            raise self.error(name, "text")
        return value

    def optional_text(self, name: str) -> str | None:
        """Return a text, ``None`` for ``null`` and for a missing field."""
        return None if self.get(name) is None else self.text(name)

    def texts(self, name: str, fallback: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Return a list of texts, none of them empty.

        :param fallback: what ``null`` and a missing field mean; by default they are refused.
        """
        if fallback is not None and self.get(name) is None:
            return fallback
        value = self[name]
        if not isinstance(value, list):
            raise self.error(name, "a list of texts")
        texts = tuple(each for each in value if isinstance(each, str) and each and _is_encodable(each))
        if len(texts) != len(value):
            raise self.error(name, "a list of texts")
        return texts

    def secret(self, name: str) -> Secret:
        """Return a secret of printable ASCII, which is not the mask that Airflow shows in its place."""
        value = self.text(name)
        if not _is_secret(value):
            raise self.error(name, f"a secret, not {MASK!r}")
        return Secret(value)

    def secrets(self, name: str) -> tuple[Secret, ...]:
        """Return a list of secrets."""
        values = self.texts(name)
        if not all(map(_is_secret, values)):
            raise self.error(name, f"a list of secrets, not {MASK!r}")
        return tuple(map(Secret, values))

    def count(self, name: str) -> int:
        """Return a whole number from 0 to :data:`MOST`."""
        value = self[name]
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
            raise self.error(name, f"a whole number from 0 to {MOST}")
        return value

    def number(self, name: str) -> float:
        """Return a finite number no larger than :data:`_LARGEST` either way."""
        value = self[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
            raise self.error(name, "a finite number")
        return float(value)

    def flag(self, name: str) -> bool:
        """Return ``true`` or ``false``."""
        value = self[name]
        if not isinstance(value, bool):
            raise self.error(name, "true or false")
        return value

    def moment(self, name: str) -> datetime:
        """Return an aware UTC time of the years 2000 to 9000: what is added to it stays a time."""
        try:
            moment = datetime.fromisoformat(self.text(name))
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None or not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
            raise self.error(name, "a time with its offset")
        return moment.astimezone(UTC)


def _is_secret(text: str) -> bool:
    return text not in ("", MASK) and text.isascii() and text.isprintable()


def _encodable(text: str) -> str:
    """Return a text for people with what cannot be encoded replaced."""
    return text.encode(errors="replace").decode()


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
