"""Consents under way: single use, ten minutes, one user, and nothing of it readable in the database."""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import ANY

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.compat import AIRFLOW_V_3_0_PLUS
from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.tokens import attempts
from airflow_provider_lightspeed.tokens.attempts import (
    LIFE,
    MOST_PER_USER,
    PREFIX,
    Attempt,
    expiry,
    forget,
    keep,
    look,
    take,
    waiting,
)
from airflow_provider_lightspeed.tokens.dialects import database_time
from tests.support.fakes import make_token

STATE = Secret("state-of-ann")
VERIFIER = "verifier-that-nobody-may-read"
DESTINATION = ("https://api.example", "https://auth.example", "client")


def make(user: str = "ann", **changes: Any) -> Attempt:
    fields = {"expires_at": expiry(), "token": None} | changes
    return Attempt("shop", user, "Ann", "row:1", DESTINATION, Secret(VERIFIER), **fields)


@pytest.fixture
def rows(airflow_database: None) -> Iterator[Callable[[], list[Any]]]:
    """Return a function that reads all stored attempts, by column; the table is empty before and after."""
    from airflow.models.variable import Variable
    from sqlalchemy import delete, select

    from airflow_provider_lightspeed.compat import new_session

    def read() -> list[Any]:
        session = new_session()
        try:
            return list(session.execute(select(Variable.__table__)).mappings())
        finally:
            session.close()

    def clear() -> None:
        session = new_session()
        session.execute(delete(Variable))
        session.commit()
        session.close()

    clear()
    yield read
    clear()


def test_attempt_comes_back_as_it_was_kept_and_only_once(rows: Callable[[], list[Any]]) -> None:
    """With the pair, once there is one."""
    keep(STATE, make())
    assert take(STATE, "ann") == make(expires_at=ANY)
    with pytest.raises(InvalidArgument, match="used already"):
        take(STATE, "ann")
    assert rows() == []


def test_pair_waits_until_it_is_forgotten_and_is_no_consent_to_come_back_with(rows: Callable[[], list[Any]]) -> None:
    """Its key stands in an address; pasted as a state, it must not use up the pair."""
    waits = make(token=make_token(), ahead=12.5)
    keep(STATE, waits)
    with pytest.raises(InvalidArgument, match="used already"):
        take(STATE, "ann")
    assert waiting(STATE, "ann") == waiting(STATE, "ann") == waits
    with pytest.raises(InvalidArgument, match="nothing to confirm"):
        waiting(STATE, "eve")
    forget(STATE)
    with pytest.raises(InvalidArgument, match="nothing to confirm"):
        waiting(STATE, "ann")
    assert rows() == []


def test_of_two_requests_at_the_same_moment_one_gets_it(
    rows: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have read it before either takes it away."""
    keep(STATE, make())
    both, read, ends = threading.Barrier(2), attempts._read, []

    def meet(*args: Any) -> Any:
        found = read(*args)
        both.wait(30)
        return found

    def run() -> None:
        try:
            ends.append(take(STATE, "ann").conn_id)
        except InvalidArgument as error:
            ends.append(error.found)

    monkeypatch.setattr(attempts, "_read", meet)
    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(ends) == ["a state in use", "shop"]


def test_it_lives_ten_minutes_by_the_databases_clock(
    rows: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API servers' clocks have no say."""
    keep(STATE, make())
    real = database_time
    monkeypatch.setattr(attempts, "database_time", lambda session: real(session) + LIFE - timedelta(seconds=30))
    assert look(STATE, "ann") is not None
    monkeypatch.setattr(attempts, "database_time", lambda session: real(session) + LIFE)
    assert look(STATE, "ann") is None
    with pytest.raises(InvalidArgument, match="10 minutes"):
        take(STATE, "ann")


def test_consent_does_not_outlive_a_clock_that_is_set_back(
    rows: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state is good for ten minutes, not for two hours and ten; a pair that waits to be stored is not thrown away."""
    keep(STATE, make())
    keep(Secret("pair"), make(token=make_token()))
    real = database_time
    monkeypatch.setattr(attempts, "database_time", lambda session: real(session) - timedelta(seconds=50))
    assert look(STATE, "ann") is not None
    monkeypatch.setattr(attempts, "database_time", lambda session: real(session) - timedelta(hours=2))
    assert look(STATE, "ann") is None
    with pytest.raises(InvalidArgument, match="10 minutes"):
        take(STATE, "ann")
    assert waiting(Secret("pair"), "ann").token == make_token()
    keep(Secret("another"), make(user="bob"))
    assert len(rows()) == 2  # the consent that is over was swept


def test_stranger_cannot_finish_it_and_it_stays_good(rows: Callable[[], list[Any]]) -> None:
    """Whoever is lured to somebody else's redirect gets nothing, and costs the other nothing."""
    keep(STATE, make())
    assert look(STATE, "eve") is None
    with pytest.raises(InvalidArgument, match="another Airflow user"):
        take(STATE, "eve")
    assert take(STATE, "ann").user == "ann"


@pytest.mark.parametrize("state", ["", "no such state", "\u00e9\ud83d", "x" * 100_000])
def test_state_that_was_never_given_out_is_refused(rows: Callable[[], list[Any]], state: str) -> None:
    """Whatever is in the address."""
    keep(STATE, make())
    state = state.encode(errors="replace").decode()
    with pytest.raises(InvalidArgument, match="start again"):
        take(Secret(state), "ann")


def test_nothing_of_it_can_be_read_in_the_database(rows: Callable[[], list[Any]]) -> None:
    """Neither state nor verifier nor token, whoever may list variables."""
    keep(STATE, make(token=make_token()))
    (row,) = rows()
    assert row["is_encrypted"]
    text = str(dict(row))
    assert not any(secret in text for secret in (STATE.reveal(), VERIFIER, "access-1", "refresh-1", "shop"))


def test_airflow_hides_its_value(rows: Callable[[], list[Any]]) -> None:
    """In its API, in its page of variables: the name has a word that its masking knows."""
    keep(STATE, make())
    name = "airflow._shared.secrets_masker" if AIRFLOW_V_3_0_PLUS else "airflow.utils.log.secrets_masker"
    (row,) = rows()
    assert row["key"].startswith(PREFIX)
    assert importlib.import_module(name).redact("value", row["key"]) == "***"


def test_what_is_over_is_swept_with_the_next_one(rows: Callable[[], list[Any]]) -> None:
    """Also what nobody can read any more: another Fernet key must not stop people from connecting."""
    from airflow.models.variable import Variable
    from sqlalchemy import insert

    from airflow_provider_lightspeed.compat import new_session

    keep(Secret("over"), make(expires_at=expiry() - LIFE))
    session = new_session()
    others = {
        f"{PREFIX}mine": ("not json", False),
        f"{PREFIX}list": ("[1]", False),
        f"{PREFIX}lost": ("gAAAAA-of-another-key", True),
        PREFIX.replace("_", "x"): ("somebody else's, with a similar name", False),
    }
    for key, (value, is_encrypted) in others.items():
        session.execute(insert(Variable.__table__).values(key=key, val=value, is_encrypted=is_encrypted))
    session.commit()
    session.close()
    with pytest.raises(InvalidArgument):
        take(Secret("over"), "ann")
    keep(STATE, make())
    assert {row["key"] for row in rows()} == {PREFIX + STATE.fingerprint(), PREFIX.replace("_", "x")}


def test_one_user_cannot_fill_the_table(rows: Callable[[], list[Any]]) -> None:
    """Their oldest give way; a pair that waits for a decision, and other people's, stay."""
    began = expiry()
    keep(Secret("bob"), make("bob", expires_at=began - timedelta(seconds=300)))
    keep(Secret("pair"), make(token=make_token(), expires_at=began - timedelta(seconds=299)))
    for number in range(MOST_PER_USER + 5):
        keep(Secret(f"ann-{number}"), make(expires_at=began + timedelta(seconds=number)))
    assert len(rows()) == MOST_PER_USER + 2
    assert look(Secret("ann-4"), "ann") is None
    assert look(Secret("ann-5"), "ann") is not None
    assert look(Secret("pair"), "ann") is not None
    assert look(Secret("bob"), "bob") is not None


def test_sweeping_that_fails_stops_nobody(rows: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that sweep at once may hinder each other; the consent is stored all the same."""
    from sqlalchemy.exc import OperationalError

    def deadlock(session: Any) -> Any:
        raise OperationalError("DELETE", {}, Exception("deadlock"))

    attempt = make()
    monkeypatch.setattr(attempts, "database_time", deadlock)
    keep(STATE, attempt)
    assert len(rows()) == 1


def test_masker_is_told_nothing(rows: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """In the API server every value would lengthen its one regular expression for ever."""
    told: list[str] = []
    monkeypatch.setattr("airflow.models.variable.mask_secret", lambda value, *_: told.append(value))
    keep(STATE, make())
    look(STATE, "ann")
    keep(Secret("next"), make())
    take(STATE, "ann")
    assert told == []


def plant(state: Secret, content: str, *, signature: str | None = None, row: Any = None) -> None:
    """Set the variable of a state, as somebody does who may set variables."""
    from airflow.models.crypto import get_fernet
    from airflow.models.variable import Variable
    from sqlalchemy import insert

    from airflow_provider_lightspeed.compat import new_session

    text = content if signature is None else json.dumps({"consent": content, "signature": signature})
    fernet, session = get_fernet(), new_session()
    value = row["val"] if row else fernet.encrypt(text.encode()).decode()
    values = {"key": PREFIX + state.fingerprint(), "val": value, "is_encrypted": fernet.is_encrypted}
    session.execute(insert(Variable.__table__).values(values))
    session.commit()
    session.close()


@pytest.mark.parametrize("kind", ["not signed", "signed by somebody else", "another state's"])
@pytest.mark.parametrize("token", [None, make_token("evil")], ids=["a consent", "a pair that waits"])
def test_consent_that_somebody_plants_is_none(rows: Callable[[], list[Any]], kind: str, token: Any) -> None:
    """With it, a victim would connect the attacker's account, or finish what another user has begun."""
    content, evil = json.dumps(attempts._dump(make("ann", token=token))), Secret("state-of-eve")
    if kind == "another state's":
        keep(STATE, make("ann", token=token))
        plant(evil, "", row=rows()[0])
    else:
        plant(evil, content, signature=None if kind == "not signed" else "0" * 64)
    assert look(evil, "ann") is None
    with pytest.raises(InvalidArgument, match="start again"):
        take(evil, "ann")
    with pytest.raises(InvalidArgument, match="nothing to confirm"):
        waiting(evil, "ann")


def test_consent_belongs_to_the_team_of_its_connection(
    connection: Callable[..., str], rows: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other teams' tasks may read variables without a team; this one may hold tokens."""
    pytest.importorskip("airflow.models.team")
    from airflow.models.connection import Connection
    from airflow.models.team import Team
    from sqlalchemy import delete, update

    from airflow_provider_lightspeed.compat import new_session

    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    connection("shop")
    session = new_session()
    session.add(Team(name="team_a"))
    session.commit()
    session.execute(update(Connection).where(Connection.conn_id == "shop").values(team_name="team_a"))
    session.commit()
    keep(STATE, make(token=make_token()))
    assert [row["team_name"] for row in rows()] == ["team_a"]
    assert waiting(STATE, "ann").token == make_token()
    session.execute(update(Connection).values(team_name=None))
    session.execute(delete(Team))
    session.commit()
    session.close()
