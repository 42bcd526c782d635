"""Consents under way: each bound to the Airflow user who began it, good once, for ten minutes (RFC 6749, section 10.12).

They lie encrypted in the metadata database, so that any API server can take the person who comes back. The key is a hash
of the state: who can list variables cannot make a callback of it. They are signed: who can set variables cannot begin a
consent in somebody else's name, or have somebody confirm another account's tokens. They belong to the connection's team.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from airflow_provider_lightspeed.auth.codec import dump_token, load_token
from airflow_provider_lightspeed.auth.flow import query_of
from airflow_provider_lightspeed.auth.token import Token
from airflow_provider_lightspeed.compat import new_session
from airflow_provider_lightspeed.exceptions import InvalidArgument, LightspeedRetriableError
from airflow_provider_lightspeed.redact import Secret, sealed
from airflow_provider_lightspeed.tokens.dialects import database_time
from airflow_provider_lightspeed.tokens.home import team_of
from airflow_provider_lightspeed.tokens.signer import Signer

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)

LIFE: Final = timedelta(minutes=10)
#: A consent dated further ahead than its life and this was begun before the clock was set back. It is over.
_AHEAD: Final = timedelta(minutes=1)
#: Consents that one user may have under way; beyond it, the oldest are dropped.
MOST_PER_USER: Final = 20
#: With the word that makes Airflow hide a variable's value from those who may see variables.
PREFIX: Final = "lightspeed_connect_token_"
_SIGNER: Final = Signer("consent under way")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One consent that somebody went to Lightspeed for.

    :param user: who began it, named for ever; nobody else can finish it.
    :param by: the same for people to read.
    :param origin: which stored connection it is for, see ``tokens.home.Stored``.
    :param destination: host, authorization server and client ID that the consent is asked for.
    :param verifier: proves at the exchange who asked (PKCE, RFC 7636).
    :param token: the pair, once the code is exchanged and a person is to confirm.
    :param ahead: seconds that the authorization server's clock was ahead of the database's, once there is a pair.
    """

    conn_id: str
    user: str
    by: str
    origin: str
    destination: tuple[str, str, str]
    verifier: Secret
    expires_at: datetime
    token: Token | None = None
    ahead: float = 0.0

    def is_over(self, now: datetime) -> bool:
        """Tell whether it is too late for it. A pair that waits outlives a clock that is set back: nobody else has it."""
        return self.expires_at <= now or (self.token is None and self.expires_at - now > LIFE + _AHEAD)


@sealed
def keep(state: Secret, attempt: Attempt) -> None:
    """Store an attempt under its state, and drop those that are over, or too many."""
    from airflow.models.crypto import get_fernet
    from airflow.models.variable import Variable
    from sqlalchemy import insert

    with _session() as session:
        fernet, table, content = get_fernet(), Variable.__table__, json.dumps(_dump(attempt))
        signed = json.dumps({"consent": content, "signature": _SIGNER.sign(_key(state), content)})
        values = {
            "key": _key(state),
            "val": fernet.encrypt(signed.encode()).decode(),
            "is_encrypted": fernet.is_encrypted,
            "description": "A consent under way; swept by airflow-provider-lightspeed.",
        }
        if "team_name" in table.c:
            values["team_name"] = team_of(attempt.conn_id)
        session.execute(insert(table).values(values))
        session.commit()
    _sweep(attempt.user)


@sealed
def take(state: Secret, user: str) -> Attempt:
    """Return the attempt of this state and forget it: a state is good once.

    :raises InvalidArgument: it was used, is older than ten minutes, was never given out, or is somebody else's (whose
        attempt stays good).
    """
    from airflow.models.variable import Variable
    from sqlalchemy import delete

    with _session() as session:
        attempt = _read(session, _key(state))
        if attempt is None or attempt.token or attempt.is_over(database_time(session)):
            msg = "this consent was used already, or is older than 10 minutes; start again with Connect"
            raise InvalidArgument(msg, field="state", found="an unknown state", allowed=())
        if attempt.user != user:
            msg = "this consent was begun by another Airflow user; only they can finish it. Start your own with Connect"
            raise InvalidArgument(msg, field="state", found="another user's state", allowed=())
        done: Any = session.execute(delete(Variable).where(Variable.key == _key(state)))
        session.commit()
        if done.rowcount != 1:
            msg = "this consent is being finished by another request"
            raise InvalidArgument(msg, field="state", found="a state in use", allowed=())
        return attempt


@sealed
def look(state: Secret, user: str) -> Attempt | None:
    """Return an attempt without using it up, ``None`` if this user has none of that state."""
    with _session() as session:
        attempt = _read(session, _key(state))
        is_good = attempt is not None and attempt.user == user and not attempt.is_over(database_time(session))
        return attempt if is_good else None


@sealed
def waiting(key: Secret, user: str) -> Attempt:
    """Return an attempt whose pair waits to be stored, and let it wait on.

    :raises InvalidArgument: this user has none of that key (any more).
    """
    attempt = look(key, user)
    if attempt is None or attempt.token is None:
        msg = "there is nothing to confirm (any more). Start again with Connect"
        raise InvalidArgument(msg, field="key", found="an unknown key", allowed=())
    return attempt


@sealed
def forget(key: Secret) -> None:
    """Drop an attempt whose pair is stored, or given back."""
    from airflow.models.variable import Variable
    from sqlalchemy import delete

    with _session() as session:
        session.execute(delete(Variable).where(Variable.key == _key(key)))
        session.commit()


@contextmanager
def _session() -> Iterator[Session]:
    """Yield a session of its own.

    :raises LightspeedRetriableError: the database does not answer, or has no connection left.
    """
    from sqlalchemy.exc import SQLAlchemyError

    session = new_session()
    try:
        yield session
    except SQLAlchemyError as error:
        msg = f"the metadata database failed ({type(error).__name__}); try again later"
        raise LightspeedRetriableError(msg) from None  # its text holds what was to be written
    finally:
        session.close()


def state_of(redirected: str) -> Secret:
    """Return the state in a redirected URL, empty if there is none."""
    return Secret("".join(parse_qs(query_of(redirected)).get("state", [])[:1]))


def expiry() -> datetime:
    """Return when an attempt that begins now is over, by the database's clock."""
    with _session() as session:
        return database_time(session) + LIFE


def _key(state: Secret) -> str:
    return PREFIX + state.fingerprint()


def _read(session: Session, key: str) -> Attempt | None:
    from airflow.models.crypto import get_fernet
    from airflow.models.variable import Variable
    from cryptography.fernet import InvalidToken
    from sqlalchemy import select

    column = Variable.__table__.c
    found = session.execute(select(column.val, column.is_encrypted).where(column.key == key)).first()
    if found is None:
        return None
    try:
        text = get_fernet().decrypt(found[0].encode()).decode() if found[1] else found[0]
    except (InvalidToken, ValueError):  # of another Fernet key
        return None
    return parse(key, text)


def parse(key: str, text: str) -> Attempt | None:
    """Return an attempt as it was stored under a key, ``None`` if the text is not of our making."""
    try:
        signed = json.loads(text)
        content, signature = signed["consent"], signed["signature"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(content, str) or not _SIGNER.verifies(signature, key, content):
        return None
    return _load(json.loads(content))


def _sweep(user: str) -> None:
    """Tidy up, in a transaction of its own: the consent that is wanted now does not fail over others."""
    from airflow.models.variable import Variable
    from sqlalchemy import delete, select
    from sqlalchemy.exc import SQLAlchemyError

    column, session = Variable.__table__.c, new_session()
    try:
        now = database_time(session)
        keys = session.scalars(select(column.key).where(column.key.startswith(PREFIX, autoescape=True))).all()
        found = {key: _read(session, key) for key in keys}
        over = [key for key, attempt in found.items() if attempt is None or attempt.is_over(now)]
        theirs = [
            (each.expires_at, key) for key, each in found.items() if each and each.user == user and not each.token
        ]
        for key in [*over, *(key for _, key in sorted(theirs)[:-MOST_PER_USER])]:
            session.execute(delete(Variable).where(Variable.key == key))
        session.commit()
    except SQLAlchemyError as error:
        log.warning("consents that are over were not swept (%s)", type(error).__name__)
    finally:
        session.close()


def _dump(attempt: Attempt) -> dict[str, Any]:
    fields = {field.name: getattr(attempt, field.name) for field in dataclasses.fields(attempt)}
    return fields | {
        "verifier": attempt.verifier.reveal(),
        "expires_at": attempt.expires_at.isoformat(),
        "token": attempt.token and dump_token(attempt.token),
    }


def _load(data: Mapping[str, Any]) -> Attempt:
    host, auth_url, client_id = data["destination"]
    return Attempt(
        conn_id=data["conn_id"],
        user=data["user"],
        by=data["by"],
        origin=data["origin"],
        destination=(host, auth_url, client_id),
        verifier=Secret(data["verifier"]),
        expires_at=datetime.fromisoformat(data["expires_at"]).astimezone(UTC),
        token=load_token(data["token"]) if data["token"] else None,
        ahead=float(data["ahead"]),
    )
