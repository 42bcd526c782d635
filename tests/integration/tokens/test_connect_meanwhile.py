"""What changes between two clicks, and who else is at it."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.auth.ledger import Failure, Ledger
from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.exceptions import (
    InvalidArgument,
    RefreshPending,
)
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens.answer import Answer
from airflow_provider_lightspeed.tokens.connect import Consents
from airflow_provider_lightspeed.tokens.probe import probe
from airflow_provider_lightspeed.tokens.refresh import Refresher
from airflow_provider_lightspeed.tokens.status import status
from airflow_provider_lightspeed.tokens.store import ledger_id, locked_ledger
from tests.support.fakes import FakeClock
from tests.support.token_steps import (
    CONN,
    alive,
    anew,
    change,
    connect,
    delete,
    leave,
    ledger,
    redeem,
    rows,
    set_out,
    works,
)

Connect = Callable[..., str]
Stored = Callable[[str], dict[str, Any]]


CHANGES = [
    pytest.param(lambda _: delete(), "does not exist", id="deleted"),
    pytest.param(anew, "created anew", id="deleted and created anew"),
    pytest.param(lambda _: change(host="http://127.0.0.1:9"), "changed", id="host"),
    pytest.param(lambda _: change(extra={"auth_url": "http://127.0.0.1:9"}), "changed", id="auth_url"),
    pytest.param(lambda _: change(login="another"), "changed", id="client ID"),
    pytest.param(lambda _: change(conn_type="http"), "type http", id="type"),
]


@pytest.mark.parametrize(("event", "words"), CHANGES)
def test_code_is_not_exchanged_for_a_connection_that_changed(
    unconnected: Connect, simulator: SimulatorProcess, event: Callable[[Connect], None], words: str
) -> None:
    """The consent was for another place."""
    unconnected()
    departure = set_out()
    redirected = leave(departure)
    event(unconnected)
    with pytest.raises(InvalidArgument, match=words):
        redeem(departure, redirected)
    assert simulator.audit("token")["requests"] == []


@pytest.mark.parametrize(("event", "words"), CHANGES)
def test_pair_in_hand_is_not_given_to_a_connection_that_changed(
    unconnected: Connect,
    simulator: SimulatorProcess,
    event: Callable[[Connect], None],
    words: str,
    request: pytest.FixtureRequest,
) -> None:
    """It is revoked where the same client can do that, is never sent to another server, and the words say which."""
    unconnected()
    attempt = redeem(set_out())
    event(unconnected)
    with pytest.raises(InvalidArgument, match=words) as caught:
        Consents().adopt(attempt)
    case = request.node.callspec.id
    is_revoked = case in ("deleted and created anew", "host", "type")
    assert ("was revoked" in str(caught.value)) is is_revoked
    assert ("still alive" in str(caught.value)) is not is_revoked
    assert len(alive(simulator)) == (0 if is_revoked else 1)
    assert len(simulator.audit("revoke")["requests"]) == is_revoked
    assert ledger_id(CONN) not in rows() or ledger() == Ledger()
    if case == "deleted":
        assert rows() == set()  # no companion of nothing is left behind


@pytest.mark.parametrize(
    "event", [lambda: change(login="another"), lambda: change(extra={"auth_url": "http://127.0.0.1:9"})]
)
def test_declined_pair_is_not_sent_to_another_server(
    unconnected: Connect, simulator: SimulatorProcess, event: Callable[[], None]
) -> None:
    """Whoever edits the connection while a decision is pending gets nothing sent."""
    unconnected()
    attempt = redeem(set_out())
    event()
    with pytest.raises(InvalidArgument, match="not sent"):
        Consents().discard(attempt)
    assert simulator.audit("revoke")["requests"] == []


def test_connection_of_another_type_is_none_of_ours(connection: Connect, simulator: SimulatorProcess) -> None:
    """Its login, password and refresh token are somebody else's: they go nowhere, and no companion is left."""
    connection("crm")
    change("crm", conn_type="google")
    with pytest.raises(InvalidArgument, match="type google"):
        set_out("crm")
    with pytest.raises(InvalidArgument, match="type google"):
        Consents().disconnect("crm", "Ann")
    found, words = probe("crm")
    assert (found, "type google" in words) == (False, True)
    assert status("crm").source == ""
    assert simulator.audit()["requests"] == []


def test_two_consents_at_once_leave_one_working_grant(unconnected: Connect) -> None:
    """Whichever is last: what is stored is one pair of one of them."""
    unconnected()
    pairs = [redeem(set_out()) for _ in range(2)]
    failed = in_threads(*(lambda pair=pair: Consents().adopt(pair) for pair in pairs))
    assert failed == []
    assert ledger().generation == 2
    assert ledger().token in [dataclasses.replace(pair.token) for pair in pairs if pair.token]
    assert works()[0]


def in_threads(*actions: Callable[[], Any]) -> list[BaseException]:
    """Run them at once and return what went wrong."""
    failed: list[BaseException] = []

    def guarded(action: Callable[[], Any]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    return failed


class Gate:
    """An exchange that tells when a grant is on its way."""

    def __init__(self) -> None:
        from airflow_provider_lightspeed.tokens.refresh import default_exchange

        self.sent = threading.Event()
        self._exchange = default_exchange()

    def __call__(self, request: Any) -> Any:
        """Send it."""
        self.sent.set()
        return self._exchange(request)


def refresh_slowly(simulator: SimulatorProcess) -> tuple[threading.Thread, list[Answer]]:
    """Start a refresh that holds the lock for a second and a half; return once its grant is on its way."""
    simulator.faults({"action": "slow", "path": "/oauth/token", "seconds": 1.5})
    held = ledger().token
    assert held is not None
    gate, answers = Gate(), []
    claim = Claim(held.access_token.fingerprint(), refused=True)
    thread = threading.Thread(target=lambda: answers.append(Refresher(gate).refresh(CONN, claim)))
    thread.start()
    assert gate.sent.wait(30)
    return thread, answers


def age() -> None:
    """Make the stored token old enough to be replaced when it is refused."""
    from datetime import timedelta

    with locked_ledger(CONN) as locked:
        found = locked.read()
        assert found.ledger.token is not None
        assert found.ledger.refreshed_at is not None
        assert found.stored is not None
        old = dataclasses.replace(found.ledger, refreshed_at=found.ledger.refreshed_at - timedelta(hours=1))
        assert locked.save(old, found.stored, expected=old.generation)


def test_consent_waits_for_a_refresh_and_has_the_last_word(unconnected: Connect, simulator: SimulatorProcess) -> None:
    """The person who has just consented gets what they consented to."""
    unconnected()
    connect()
    age()
    attempt = redeem(set_out())
    thread, answers = refresh_slowly(simulator)
    Consents().adopt(attempt)
    thread.join(60)
    assert [answer.outcome for answer in answers] == [Outcome.REFRESHED]
    assert (ledger().generation, ledger().token) == (3, attempt.token)
    assert works()[0]


def test_disconnection_waits_for_a_refresh_and_revokes_what_it_brought(
    unconnected: Connect, simulator: SimulatorProcess
) -> None:
    """No pair that was on its way outlives the disconnection."""
    unconnected()
    connect()
    age()
    thread, _ = refresh_slowly(simulator)
    Consents().disconnect(CONN, "Ann")
    thread.join(60)
    assert alive(simulator) == []
    assert (ledger().token, ledger().failure) == (None, Failure.DISCONNECTED)


def test_consent_gives_up_on_a_lock_that_is_never_free_and_keeps_its_pair(unconnected: Connect) -> None:
    """The caller is told that nothing was done, and may try again."""
    unconnected()
    attempt = redeem(set_out())
    clock = FakeClock()
    with locked_ledger(CONN) as locked:
        locked.read()
        with pytest.raises(RefreshPending):
            Consents(Refresher(clock=clock)).adopt(attempt)
    assert clock.passed >= 25
    Consents().adopt(attempt)
    assert works()[0]


def test_pair_that_was_stored_is_not_stored_again(unconnected: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request may die between storing a pair and forgetting the consent: pressed again, it must not undo a rotation."""
    unconnected()
    attempt = redeem(set_out())
    Consents().adopt(attempt)
    assert attempt.token is not None
    monkeypatch.setattr("airflow_provider_lightspeed.auth.step.FORCED_INTERVAL", timedelta(0))
    claim = Claim(attempt.token.access_token.fingerprint(), refused=True)
    assert Refresher().refresh(CONN, claim).outcome is Outcome.REFRESHED
    rotated = ledger()
    Consents().adopt(attempt)
    assert ledger() == rotated
    assert rotated.generation == 2
    assert works()[0]


def test_pair_that_was_stored_is_not_given_back(unconnected: Connect, simulator: SimulatorProcess) -> None:
    """The other button of the same page, pressed late, must not end the connection's grant."""
    unconnected()
    attempt = redeem(set_out())
    Consents().adopt(attempt)
    with pytest.raises(InvalidArgument, match="has this grant already"):
        Consents().discard(attempt)
    assert len(alive(simulator)) == 1
    assert works()[0]


def test_servers_clock_is_known_from_the_consent_on(unconnected: Connect, simulator: SimulatorProcess) -> None:
    """Whether a token is stale is judged by the server's clock; the simulator's runs minutes ahead of ours."""
    unconnected()
    skew = simulator.advance(0) - time.time()
    connect()
    assert skew > 60
    assert abs(ledger().ahead - skew) < 5
