"""A person saves the connection while a grant is on its way: what they saved stays, and nothing that lives is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.auth.flow import OAuthReply, OAuthRequest
from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens.connect import Consents
from airflow_provider_lightspeed.tokens.refresh import Refresher, default_exchange
from airflow_provider_lightspeed.tokens.store import LockedLedger, peek
from tests.support.token_steps import (
    CONN,
    alive,
    delete,
    ledger,
    patch,
    recreate,
    redeem,
    row_of,
    set_out,
    stored_pair,
)

Connect = Callable[..., str]


@dataclass(frozen=True)
class Scene:
    """A connection whose stored grant is about to be renewed, and what a person may save meanwhile.

    :param read: the refresh token that stands in the row when the refresh reads it.
    :param new: the refresh token of another grant, which the person puts in.
    """

    simulator: SimulatorProcess
    read: str
    new: dict[str, Any]

    def form(self, token: str | None) -> str:
        found = {"auth_url": self.simulator.base_url, "account_id": "12345"}
        return json.dumps(found if token is None else {**found, "refresh_token": token})


@pytest.fixture
def scene(connection: Connect, simulator: SimulatorProcess) -> Scene:
    connection()
    row = row_of()
    assert row is not None
    return Scene(simulator, json.loads(row["extra"])["refresh_token"], simulator.grant())


Edit = Callable[[Scene], None]

#: What a person may save, and whether the row is another one afterwards, for the write-back.
EDITS: dict[str, tuple[Edit, bool]] = {
    "new token": (lambda s: patch(extra=s.form(s.new["refresh_token"])), True),
    "token taken out": (lambda s: patch(extra=s.form(None)), True),
    "client ID": (lambda _: patch(login="another"), True),
    "client ID and token": (lambda s: patch(login="another", extra=s.form(s.new["refresh_token"])), True),
    "host": (lambda _: patch(host="http://127.0.0.1:9"), True),
    "type": (lambda _: patch(conn_type="http"), True),
    "deleted": (lambda _: delete(), True),
    "created anew with a new token": (lambda s: recreate(extra=s.form(s.new["refresh_token"])), True),
    "created anew with the old token": (lambda s: recreate(extra=s.form(s.read)), True),
    "created anew without a token": (lambda s: recreate(extra=s.form(None)), True),
    "created anew for another client": (lambda s: recreate(extra=s.form(s.read), login="another"), True),
    "masked token": (lambda s: patch(extra=s.form("***")), True),
    "empty extra": (lambda _: patch(extra="{}"), True),
    "the old token once more": (lambda s: patch(extra=s.form(s.read)), False),
    "description": (lambda _: patch(description="our shop"), False),
}
EVERY_EDIT = pytest.mark.parametrize("name", list(EDITS))


class Meanwhile:
    """An exchange that does something once, before a request is sent or after its answer has come."""

    def __init__(self, deed: Callable[[], None], *, is_early: bool) -> None:
        self._deed = deed
        self._is_early = is_early
        self._done = False
        self._exchange = default_exchange()

    def __call__(self, request: OAuthRequest) -> OAuthReply:
        if self._is_early:
            self._act()
        reply = self._exchange(request)
        self._act()
        return reply

    def _act(self) -> None:
        if not self._done:
            self._done = True
            self._deed()


def saved(scene: Scene, name: str, into: list[Any]) -> Callable[[], None]:
    """Return the deed that saves an edit and notes what the row says then."""

    def deed() -> None:
        EDITS[name][0](scene)
        into.append(row_of())

    return deed


def refresh(claim: str, exchange: Any = None) -> Outcome:
    return Refresher(exchange).refresh(CONN, Claim(Secret(claim).fingerprint())).outcome


def is_alive(scene: Scene, token: str) -> bool:
    mark = Secret(token).fingerprint()
    return any(mark in grant["live_refresh_tokens"] for grant in scene.simulator.grants())


@EVERY_EDIT
def test_refresh_leaves_a_row_that_was_saved_meanwhile(
    scene: Scene, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The pair is kept in the ledger; a row that is another one by then stays as it was saved, and one line says so."""
    after: list[Any] = []
    assert refresh(scene.read, Meanwhile(saved(scene, name, after), is_early=False)) is Outcome.REFRESHED
    pair = stored_pair()
    assert pair is not None
    is_left = EDITS[name][1]
    assert caplog.text.count("changed or deleted meanwhile") == is_left
    if is_left:
        assert row_of() == after[0]
    else:
        row = row_of()
        assert row is not None
        assert json.loads(row["extra"])["refresh_token"] == pair.refresh_token.reveal()
    assert is_alive(scene, pair.refresh_token.reveal())


@pytest.mark.parametrize("is_early", [True, False], ids=["before the grant", "after the answer"])
@pytest.mark.parametrize("name", ["new token", "created anew with a new token"])
def test_next_refresh_adopts_the_grant_that_was_put_in_meanwhile(scene: Scene, name: str, is_early: bool) -> None:
    """Whoever asks next, with the old pair or with the new token, gets the new grant; the old one was not ended."""
    refresh(scene.read, Meanwhile(saved(scene, name, []), is_early=is_early))
    old = ledger().token
    assert old is not None
    assert refresh(scene.new["refresh_token"]) is Outcome.REFRESHED
    pair, row = ledger().token, row_of()
    assert pair is not None
    assert row is not None
    assert json.loads(row["extra"])["refresh_token"] == pair.refresh_token.reveal()
    adopted = next(grant for grant in scene.simulator.grants() if grant["grant_id"] == scene.new["grant_id"])
    assert pair.refresh_token.fingerprint() in adopted["live_refresh_tokens"]
    assert is_alive(scene, old.refresh_token.reveal())


def test_deploy_tool_that_creates_the_connection_anew_keeps_its_grant(scene: Scene) -> None:
    """Deleted and posted with the token of the beginning, in the middle of a refresh: the ledger goes on with its pair."""
    refresh(scene.read, Meanwhile(saved(scene, "created anew with the old token", []), is_early=False))
    pair = ledger().token
    assert pair is not None
    assert refresh(pair.access_token.reveal()) is Outcome.FRESH
    sent = len(scene.simulator.audit("token")["requests"])
    assert refresh(scene.read) is Outcome.NO_MATCH  # an old token is no claim on a newer pair
    assert len(scene.simulator.audit("token")["requests"]) == sent == 1


@pytest.mark.parametrize("name", ["client ID", "host", "created anew for another client"])
def test_pair_of_the_old_client_is_not_sent_for_the_new_one(scene: Scene, name: str) -> None:
    """The row names another client, or another host, by then: nothing of the old pair goes there."""
    refresh(scene.read, Meanwhile(saved(scene, name, []), is_early=False))
    pair = ledger().token
    assert pair is not None
    scene.simulator.clear_audit()
    assert refresh(pair.access_token.reveal()) is Outcome.NO_GRANT
    assert scene.simulator.audit("token")["requests"] == []


def meanwhile_saved(monkeypatch: pytest.MonkeyPatch, deed: Callable[[], None]) -> None:
    """Do something between what a writer of the ledger has read and what it saves."""
    save = LockedLedger.save
    done: list[int] = []

    def late(self: LockedLedger, *args: Any, **named: Any) -> bool:
        if not done:
            done.append(1)
            deed()
        return save(self, *args, **named)

    monkeypatch.setattr(LockedLedger, "save", late)


#: Of these, Connect takes back the grant that it cannot store, as the client still is the consent's.
RETURNED = {name for name in EDITS if EDITS[name][1]} - {
    "client ID",
    "client ID and token",
    "created anew for another client",
    "deleted",
    "empty extra",
    "masked token",
}


@EVERY_EDIT
def test_consent_is_not_stored_in_a_row_that_was_saved_meanwhile(
    scene: Scene, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not as if all were well: nothing is stored, the new grant is given back where that can be done, and it is said."""
    attempt = redeem(set_out())
    assert attempt.token is not None
    grant = scene.simulator.grants()[-1]["grant_id"]
    after: list[Any] = []
    meanwhile_saved(monkeypatch, saved(scene, name, after))
    if not EDITS[name][1]:
        Consents().adopt(attempt)
        assert ledger().token == attempt.token
        return
    with pytest.raises(InvalidArgument, match="changed or deleted meanwhile") as caught:
        Consents().adopt(attempt)
    assert row_of() == after[0]
    assert stored_pair() is None
    is_revoked = name in RETURNED
    assert ("was revoked" in str(caught.value)) is is_revoked
    assert ("still alive" in str(caught.value)) is not is_revoked
    assert (grant in [each["grant_id"] for each in alive(scene.simulator)]) is not is_revoked
    assert is_alive(scene, scene.read)
    assert is_alive(scene, scene.new["refresh_token"])


@EVERY_EDIT
def test_disconnection_takes_out_only_a_token_that_it_knows(scene: Scene, name: str) -> None:
    """What a person saves while the grant is being revoked stays, and is adopted next."""
    after: list[Any] = []
    Consents(Refresher(Meanwhile(saved(scene, name, after), is_early=False))).disconnect(CONN, "Ann")
    row = row_of()
    if EDITS[name][1]:
        assert row == after[0]
    else:
        assert row is not None
        assert "refresh_token" not in json.loads(row["extra"])
    if name in ("new token", "created anew with a new token"):
        assert refresh(scene.new["refresh_token"]) is Outcome.REFRESHED
        assert peek(CONN).ledger.failure is None
