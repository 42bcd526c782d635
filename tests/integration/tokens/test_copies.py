"""Safety copies prove themselves: whoever may set variables changes no ledger, stops no refresh, and sees no secret."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow.models.variable import Variable
from cryptography.fernet import Fernet
from sqlalchemy import delete, insert, select, update

from airflow_provider_lightspeed.auth.codec import VERSION, dump
from airflow_provider_lightspeed.auth.ledger import Failure, Ledger
from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.compat import new_session
from airflow_provider_lightspeed.exceptions import LightspeedDataError
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens import copies
from airflow_provider_lightspeed.tokens.copies import Copy, copy_key
from airflow_provider_lightspeed.tokens.refresh import Refresher
from airflow_provider_lightspeed.tokens.store import locked_ledger, peek
from tests.support.fakes import make_token
from tests.support.fernet import forget_fernet

Connect = Callable[..., str]
CONN = "envshop"
#: What the attacker would have the ledger say.
EVIL = dataclasses.replace(Ledger(), token=make_token("evil"), failure=Failure.DISCONNECTED, refreshed_by="eve")


@pytest.fixture(params=["row", "environment"])
def shop(
    request: pytest.FixtureRequest, connection: Connect, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A connection that was refreshed once, and whose access token is over."""
    copies._warn.cache_clear()
    if request.param == "row":
        connection(CONN)
    else:
        fields = simulator.connection(refresh_token=simulator.grant()["refresh_token"])
        monkeypatch.setenv("AIRFLOW_CONN_ENVSHOP", json.dumps({"conn_type": "lightspeed", **fields}))
    assert Refresher().refresh(CONN, held()).outcome is Outcome.REFRESHED
    expire()
    yield CONN
    forget()


def held(conn_id: str = CONN) -> Claim:
    found = peek(conn_id)
    assert found.stored is not None
    token = found.ledger.token
    return Claim((token.access_token if token else found.stored.settings.refresh_token).fingerprint())


def expire() -> None:
    """Let the access token's life be over."""
    with locked_ledger(CONN) as locked:
        found = locked.read()
        assert found.stored is not None
        assert found.ledger.token is not None
        over = dataclasses.replace(found.ledger.token, expires_at=found.ledger.token.issued_at)
        ledger = dataclasses.replace(found.ledger, token=over)
        assert locked.save(ledger, found.stored, expected=ledger.generation)


def forget() -> None:
    session = new_session()
    session.execute(delete(Variable.__table__))
    session.commit()
    session.close()


def rows() -> list[Any]:
    """Return the variables, the newest copy first."""
    session, table = new_session(), Variable.__table__
    try:
        return list(session.execute(select(table).order_by(table.c.key.desc())).mappings())
    finally:
        session.close()


def plant(*keys: str, value: str | None = None, **fields: Any) -> None:
    """Set variables as Airflow's API does: encrypted; ``fields`` are columns to set otherwise."""
    from airflow.models.crypto import get_fernet

    fernet, session, table = get_fernet(), new_session(), Variable.__table__
    encrypted = fernet.encrypt((value or "").encode()).decode()
    session.execute(delete(table).where(table.c.key.in_(keys)))
    session.execute(
        insert(table), [{"key": key, "val": encrypted, "is_encrypted": fernet.is_encrypted, **fields} for key in keys]
    )
    session.commit()
    session.close()


def next_key(generation: int = 1, turn: int = 0) -> str:
    """Return the key of another copy, counted from the present ledger."""
    found = peek(CONN).ledger.generation
    newest = max(int(row["key"][-8:]) for row in rows() if row["key"].startswith(copy_key(CONN, found, 0)[:-8]))
    return copy_key(CONN, found + generation, 0 if generation else newest + turn)


def old_form(**changes: Any) -> str:
    """Return an attacker's ledger in the form without a signature."""
    return json.dumps({"ledger": {**dump(EVIL), **changes}, "attempts": [], "pause": None})


def new_form(**changes: Any) -> str:
    """Return an attacker's ledger with a signature of their making."""
    return json.dumps({"copy": old_form(**changes), "signature": "0" * 64})


VALUES = {
    "a ledger": new_form(generation=2),
    "a ledger without a signature": old_form(generation=2),
    "a ledger of a newer version": old_form(version=VERSION + 1),
    "a signature that is no text": json.dumps({"copy": old_form(), "signature": {"a": None}}),
    "a signature that is not ASCII": json.dumps({"copy": old_form(), "signature": "\u00e9" * 64}),
    "garbage": "\u00e9\u0000 garbage",
    "nothing": "",
    "not JSON": "{'ledger': None}",
    "a list": "[1, 2]",
    "a number": "17",
    "a text": '"ledger"',
    "null": "null",
    "too deep": "[" * 100_000,
    "a content that is no text": json.dumps({"copy": {"ledger": 1}, "signature": "0" * 64}),
    "a bool for a number": old_form(generation=True),
    "no number": old_form(generation=float("nan")),
    "a huge number": old_form(generation=10**300, ahead=1e308),
    "endless digits": '{"ledger": {"version": 1, "generation": ' + "9" * 10_000 + "}}",
    "a lone surrogate": old_form(owner="\ud83d"),
}


def withstands(simulator: SimulatorProcess, before: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """See that the ledger is the same, the next refresh works, and no log has a secret."""
    after = peek(CONN)
    assert dump(after.ledger) == before
    spent = [entry["status"] for entry in simulator.audit("token")["requests"]]
    assert Refresher().refresh(CONN, held()).outcome is Outcome.REFRESHED
    assert [entry["status"] for entry in simulator.audit("token")["requests"]] == [*spent, 200]
    assert peek(CONN).ledger.generation == before["generation"] + 1
    assert simulator.counters().get("dead_refresh_tokens", 0) == 0
    token = peek(CONN).ledger.token
    assert token is not None
    secrets = [token.access_token.reveal(), token.refresh_token.reveal(), before["token"]["refresh_token"]]
    assert not any(secret in caplog.text for secret in [*secrets, simulator.client_secret, "access-evil"])


@pytest.mark.parametrize("shop", ["row"], indirect=True)
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_planted_row_changes_nothing_whatever_it_holds(
    shop: str, simulator: SimulatorProcess, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    """It stands where the next turn's copy would go."""
    before = dump(peek(CONN).ledger)
    plant(next_key(0, 1), value=value)
    withstands(simulator, before, caplog)


@pytest.mark.parametrize("place", [(1, 0), (7, 0), (0, 1)], ids=["next generation", "later", "next turn"])
@pytest.mark.parametrize("value", ["a ledger", "garbage"])
def test_planted_row_changes_nothing_wherever_it_stands(
    shop: str, simulator: SimulatorProcess, caplog: pytest.LogCaptureFixture, value: str, place: tuple[int, int]
) -> None:
    """Where the next copy would go too. The log names it, once."""
    before, key = dump(peek(CONN).ledger), next_key(*place)
    plant(key, value=VALUES[value])
    caplog.set_level(logging.WARNING)
    peek(CONN)
    withstands(simulator, before, caplog)
    assert caplog.text.count("does not verify") == 1
    assert key in caplog.text


@pytest.mark.parametrize("field", ["generation", "turn", "connection"])
def test_genuine_row_under_another_key_changes_nothing(
    shop: str, simulator: SimulatorProcess, caplog: pytest.LogCaptureFixture, connection: Connect, field: str
) -> None:
    """An older state of the same ledger, or another connection's, would bring dead tokens back."""
    oldest = rows()[-1]
    if field == "connection":
        connection("other")
        Refresher().refresh("other", held("other"))
        oldest = next(row for row in rows() if row["key"].startswith("other"))
    before = dump(peek(CONN).ledger)
    key = next_key(1) if field == "connection" else next_key(int(field == "generation"), 1)
    plant(key, val=oldest["val"])
    withstands(simulator, before, caplog)


def test_thousands_of_planted_rows_change_nothing(
    shop: str, simulator: SimulatorProcess, caplog: pytest.LogCaptureFixture
) -> None:
    """After the newest copy and between the old ones; what is left of the latter goes with the next refresh."""
    before = dump(peek(CONN).ledger)
    later = [copy_key(CONN, generation, 0) for generation in range(5, 1005)]
    between = [copy_key(CONN, 0, turn) for turn in range(50, 1050)]
    plant(*later, *between, value=new_form())
    withstands(simulator, before, caplog)
    left = {row["key"] for row in rows()}
    assert left >= set(later)
    assert len(left) <= len(later) + 8


@pytest.mark.parametrize("kind", ["in clear", "another key", "in clear, but marked as encrypted"])
def test_row_that_is_encrypted_otherwise_changes_nothing(
    shop: str, simulator: SimulatorProcess, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """Written past Airflow, or by a process with a wrong Fernet key; that one's row stays where it is."""
    before, text = dump(peek(CONN).ledger), new_form(generation=9)
    key = copy_key(CONN, 9, 0)
    value = Fernet(Fernet.generate_key()).encrypt(text.encode()).decode() if kind == "another key" else text
    plant(key, val=value, is_encrypted=kind != "in clear")
    withstands(simulator, before, caplog)
    assert key in {row["key"] for row in rows()}


@pytest.mark.parametrize("which", ["all", "newest", "all but the oldest"])
def test_deleted_copies_change_nothing(
    shop: str, simulator: SimulatorProcess, caplog: pytest.LogCaptureFixture, which: str
) -> None:
    """The companion knows how new it is: an older turn of the same generation does not replace it."""
    before, keys = dump(peek(CONN).ledger), [row["key"] for row in rows()]
    gone = {"all": keys, "newest": keys[:1], "all but the oldest": keys[:-1]}[which]
    session = new_session()
    session.execute(delete(Variable.__table__).where(Variable.__table__.c.key.in_(gone)))
    session.commit()
    session.close()
    withstands(simulator, before, caplog)


@pytest.mark.parametrize("what", ["attempts", "pause"])
def test_attempts_and_pause_cannot_be_set_by_others(shop: str, simulator: SimulatorProcess, what: str) -> None:
    """Whoever could write them would stop every refresh."""
    found = peek(CONN)
    now = found.now.isoformat()
    limits = {"attempts": [now] * 9, "pause": None} if what == "attempts" else {"attempts": [], "pause": [now, 3600]}
    content = {"ledger": dump(found.ledger), **limits}
    forged = [{**content}, {"copy": json.dumps(content), "signature": "f" * 64}]
    for turn, value in enumerate(forged, 5):
        plant(copy_key(CONN, found.ledger.generation, turn), value=json.dumps(value))
    assert Refresher().refresh(CONN, held()).outcome is Outcome.REFRESHED


def test_signed_copy_of_a_newer_version_is_an_error(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a deployment upgraded: nothing is written back that would lose what the newer one knows."""
    found, session = peek(CONN), new_session()
    with monkeypatch.context() as newer:
        newer.setattr("airflow_provider_lightspeed.auth.codec.VERSION", VERSION + 1)
        copies.append(session, CONN, Copy(found.ledger, found.turn + 5))
    session.commit()
    session.close()
    with pytest.raises(LightspeedDataError, match="same version"):
        peek(CONN)


def test_another_processs_rows_are_not_deleted_for_a_wrong_key(
    shop: str, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader with a wrong Fernet key, and one that writes, leave the good copies: afterwards the ledger is as it was."""
    before, good = dump(peek(CONN).ledger), {row["key"]: row["val"] for row in rows()}
    with monkeypatch.context() as wrong:
        wrong.setenv("AIRFLOW__CORE__FERNET_KEY", Fernet.generate_key().decode())
        forget_fernet()
        Refresher().refresh(CONN, Claim(Secret("nothing").fingerprint()))
    forget_fernet()
    assert {row["key"]: row["val"] for row in rows()} == good
    assert dump(peek(CONN).ledger) == before


def test_copies_are_signed_anew_before_a_key_goes(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While both keys are configured, any look at the connection does it; afterwards the new key alone is enough."""
    from airflow.models.crypto import get_fernet

    old, new = get_fernet(), Fernet.generate_key().decode()
    assert old.is_encrypted
    both = f"{new},{os.environ['AIRFLOW__CORE__FERNET_KEY']}"
    before = dump(peek(CONN).ledger)
    try:
        monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", both)
        forget_fernet()
        assert dump(peek(CONN).ledger) == before
        monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", new)
        forget_fernet()
        session = new_session()
        copy = copies.newest(session, CONN)
        session.close()
        assert copy is not None
        assert dump(copy.ledger) == before
    finally:
        monkeypatch.undo()
        forget_fernet()


def test_masker_is_told_nothing(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the API server every value would lengthen its one regular expression for ever."""
    told: list[Any] = []
    monkeypatch.setattr("airflow.models.variable.mask_secret", lambda value, *_: told.append(value))
    peek(CONN)
    expire()
    assert told == []


def test_row_that_somebody_adds_in_between_is_not_replaced(shop: str) -> None:
    """Two writers of the same copy: the second one fails, as it must."""
    from sqlalchemy.exc import IntegrityError

    session = new_session()
    copy = copies.newest(session, CONN)
    assert copy is not None
    with pytest.raises(IntegrityError):
        copies.append(session, CONN, copy)
    session.close()


def test_description_may_be_changed(shop: str) -> None:
    """It is not signed: nothing goes by it."""
    session = new_session()
    session.execute(update(Variable.__table__).values(description="mine"))
    session.commit()
    session.close()
    assert peek(CONN).copy is not None
