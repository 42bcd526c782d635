"""Connecting and disconnecting against the simulator: what can go wrong between two clicks."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests

pytest.importorskip("airflow")

from airflow_provider_lightspeed.auth.codec import load
from airflow_provider_lightspeed.auth.ledger import Failure, Ledger
from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.exceptions import (
    AccessDenied,
    InvalidArgument,
    InvalidClient,
    LightspeedError,
    ReconnectRequired,
    RefreshPending,
    ServerFault,
    Unreachable,
)
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens.answer import Answer
from airflow_provider_lightspeed.tokens.attempts import Attempt
from airflow_provider_lightspeed.tokens.connect import Consents, Departure
from airflow_provider_lightspeed.tokens.probe import probe
from airflow_provider_lightspeed.tokens.refresh import Refresher, take_over
from airflow_provider_lightspeed.tokens.status import connection_ids, status
from airflow_provider_lightspeed.tokens.store import ledger_id, locked_ledger, peek
from tests.fakes import FakeClock

Connect = Callable[..., str]
Stored = Callable[[str], dict[str, Any]]
CONN = "lightspeed_default"


@pytest.fixture
def unconnected(connection: Connect, simulator: SimulatorProcess) -> Connect:
    """Return a function that stores a connection without a grant."""

    def add(conn_id: str = CONN, *, extra: dict[str, Any] | None = None, **fields: Any) -> str:
        connection(conn_id, extra={"refresh_token": "", **(extra or {})}, **fields)
        simulator.revoke(simulator.grants()[-1]["grant_id"])  # the one that came with it
        return conn_id

    return add


def leave(departure: Departure, decision: str = "allow", account: str = "") -> str:
    """Press the button at Lightspeed and return the address that the browser is sent to."""
    url = departure.url + (f"&sim_account={account}" if account else "")
    pressed = requests.post(url, data={"decision": decision}, allow_redirects=False, timeout=30)
    return pressed.headers["Location"]


def set_out(conn_id: str = CONN) -> Departure:
    return Consents().depart(conn_id, ("employee:all",), user="1", by="Ann")


def redeem(departure: Departure, redirected: str | None = None) -> Attempt:
    redirected = leave(departure) if redirected is None else redirected
    return Consents().redeem(departure.attempt, departure.state, redirected)


def connect(conn_id: str = CONN) -> None:
    Consents().adopt(redeem(set_out(conn_id)))


def works() -> tuple[bool, str]:
    return probe(CONN)


def ledger() -> Ledger:
    return peek(CONN).ledger


def alive(simulator: SimulatorProcess) -> list[dict[str, Any]]:
    return [grant for grant in simulator.grants() if not grant["revoked"]]


def change(conn_id: str = CONN, *, extra: dict[str, Any] | None = None, **fields: Any) -> None:
    """Edit the connection as a person would."""
    from airflow.models.connection import Connection

    from airflow_provider_lightspeed.compat import new_session

    session = new_session()
    row = session.query(Connection).filter(Connection.conn_id == conn_id).one()
    for name, value in fields.items():
        setattr(row, name, value)
    if extra is not None:
        row.set_extra(json.dumps({**json.loads(row.extra or "{}"), **extra}))
    session.commit()
    session.close()


def delete(conn_id: str = CONN) -> None:
    from airflow.models.connection import Connection

    from airflow_provider_lightspeed.compat import new_session

    session = new_session()
    session.delete(session.query(Connection).filter(Connection.conn_id == conn_id).one())
    session.commit()
    session.close()


def rows() -> set[str]:
    from airflow.models.connection import Connection

    from airflow_provider_lightspeed.compat import new_session

    session = new_session()
    try:
        return {conn_id for (conn_id,) in session.query(Connection.conn_id).all()}
    finally:
        session.close()


# -- connecting ---------------------------------------------------------------------------------------------------------


def test_first_connect_stores_pair_account_and_scopes(unconnected: Connect, stored: Stored) -> None:
    """In the ledger, and what people look at in the connection itself."""
    unconnected()
    connect()
    extra = stored(CONN)
    held = load(stored(ledger_id(CONN)))
    assert held.token is not None
    assert extra["refresh_token"] == held.token.refresh_token.reveal()
    assert (extra["account_id"], extra["scope"]) == ("12345", "employee:all")
    assert (held.generation, held.refreshed_by) == (1, "Ann")
    assert works()[0]


def test_departure_names_state_and_challenge_and_no_secret(unconnected: Connect, simulator: SimulatorProcess) -> None:
    """The address goes through a browser."""
    unconnected()
    departure = set_out()
    verifier = departure.attempt.verifier.reveal()
    assert "code_challenge_method=S256" in departure.url
    assert departure.state.reveal() in departure.url
    assert "redirect_uri" not in departure.url
    for secret in (verifier, simulator.client_secret):
        assert secret not in departure.url
    for secret in (verifier, departure.state.reveal()):
        assert secret not in repr(departure)


def test_reconnect_replaces_a_dead_grant(connection: Connect, simulator: SimulatorProcess) -> None:
    """The failure is gone, and the next refresh spends the new grant."""
    connection()
    simulator.revoke()
    seed = Claim(peek(CONN).stored.settings.refresh_token.fingerprint())  # type: ignore[union-attr]
    assert Refresher().refresh(CONN, seed).outcome is Outcome.INVALID_GRANT
    connect()
    assert ledger().failure is None
    assert works()[0]


def test_another_account_is_noticed_before_anything_is_replaced(unconnected: Connect, stored: Stored) -> None:
    """A person decides; until then the connection reads what it read."""
    unconnected()
    connect()
    departure = set_out()
    attempt = redeem(departure, leave(departure, account="777"))
    assert Consents().replaces(attempt) == "12345"
    assert stored(CONN)["account_id"] == "12345"
    Consents().adopt(attempt)
    assert stored(CONN)["account_id"] == "777"
    assert status(CONN).account_id == "777"
    assert status(CONN).account_name == ""


def test_same_account_and_first_account_need_no_decision(unconnected: Connect) -> None:
    """Nothing is replaced by another."""
    unconnected()
    attempt = redeem(set_out())
    assert Consents().replaces(attempt) is None
    Consents().adopt(attempt)
    assert Consents().replaces(redeem(set_out())) is None


def test_account_typed_into_the_connection_counts_as_the_one_before(unconnected: Connect) -> None:
    """It says what the DAGs read, also before the first connect and after a disconnection."""
    unconnected(extra={"account_id": "99"})
    assert Consents().replaces(redeem(set_out())) == "99"


def test_declined_account_leaves_everything_and_its_grant_is_revoked(
    unconnected: Connect, simulator: SimulatorProcess, stored: Stored
) -> None:
    """Stay with the account before: no grant is left lying about."""
    unconnected()
    connect()
    before = stored(ledger_id(CONN))
    departure = set_out()
    attempt = redeem(departure, leave(departure, account="777"))
    Consents().discard(attempt)
    assert stored(ledger_id(CONN)) == before
    assert [grant["account_id"] for grant in alive(simulator)] == ["12345"]
    assert works()[0]


# -- what comes back from Lightspeed ------------------------------------------------------------------------------------


def test_code_lives_a_minute(unconnected: Connect, simulator: SimulatorProcess) -> None:
    """Whoever pastes it later is told to start again."""
    unconnected()
    departure = set_out()
    redirected = leave(departure)
    simulator.advance(61)
    with pytest.raises(ReconnectRequired, match="60 seconds"):
        redeem(departure, redirected)
    assert ledger() == Ledger()


def test_code_is_good_once(unconnected: Connect) -> None:
    """Replayed, it buys nothing, and what the first one bought stays."""
    unconnected()
    departure = set_out()
    redirected = leave(departure)
    Consents().adopt(redeem(departure, redirected))
    with pytest.raises(ReconnectRequired, match="good once"):
        redeem(departure, redirected)
    assert works()[0]


def test_code_of_another_consent_is_useless_without_its_verifier(unconnected: Connect) -> None:
    """Slipping an attacker's code into somebody's redirect is what PKCE prevents."""
    unconnected()
    mine, theirs = set_out(), set_out()
    code = leave(theirs).partition("code=")[2].partition("&")[0]
    with pytest.raises(LightspeedError):
        redeem(mine, f"https://x.example/?code={code}&state={mine.state.reveal()}")
    assert ledger() == Ledger()


def test_wrong_client_secret_is_named(unconnected: Connect) -> None:
    """And nothing sticks: the next consent may succeed."""
    unconnected(password="wrong")
    with pytest.raises(InvalidClient, match="client secret"):
        redeem(set_out())
    assert ledger().failure is None


def test_denied_consent_says_so(unconnected: Connect) -> None:
    """It is the merchant's decision, not a fault."""
    unconnected()
    departure = set_out()
    with pytest.raises(AccessDenied, match="refused"):
        redeem(departure, leave(departure, "deny"))


@pytest.mark.parametrize("state", ["", "another", "\u00e9", "x" * 9_999])
def test_redirect_of_another_attempt_is_not_exchanged(
    unconnected: Connect, simulator: SimulatorProcess, state: str
) -> None:
    """Its state differs; the code is not even sent."""
    unconnected()
    departure = set_out()
    with pytest.raises(InvalidArgument, match="another attempt"):
        redeem(departure, f"https://x.example/?code=c&state={state}")
    assert simulator.audit("token")["requests"] == []


@pytest.mark.parametrize(
    "pasted", ["", "code", "https://[", "http://x/?state=s", "javascript:alert(1)", "\x00", "?" * 9]
)
def test_anything_may_be_pasted(unconnected: Connect, simulator: SimulatorProcess, pasted: str) -> None:
    """It is refused with words, and nothing is sent."""
    unconnected()
    departure = set_out()
    with pytest.raises(InvalidArgument):
        redeem(departure, pasted)
    assert simulator.audit("token")["requests"] == []


# -- what changes meanwhile ---------------------------------------------------------------------------------------------


def anew(unconnected: Connect) -> None:
    unconnected("bystander")  # SQLite would give its number to the next
    delete()
    unconnected()


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


# -- at the same time ---------------------------------------------------------------------------------------------------


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


# -- disconnecting ------------------------------------------------------------------------------------------------------


def test_disconnection_revokes_and_forgets(connection: Connect, simulator: SimulatorProcess, stored: Stored) -> None:
    """Nothing is left at Lightspeed, nothing in the database; the connection itself stays."""
    connection()
    connect()
    Consents().disconnect(CONN, "Ann")
    extra = stored(CONN)
    assert "refresh_token" not in extra
    assert extra["account_id"] == "12345"
    assert ledger().token is None
    assert status(CONN).attention == ("disconnected by Ann: connect",)
    assert probe(CONN)[0] is False


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"action": "status", "status": 503}, ServerFault),
        ({"action": "reset"}, Unreachable),
        ({"action": "html"}, ServerFault),
        ({"action": "rate_limited"}, LightspeedError),
    ],
)
def test_disconnection_that_lightspeed_does_not_confirm_forgets_nothing(
    unconnected: Connect, simulator: SimulatorProcess, stored: Stored, fault: dict[str, Any], error: type[Exception]
) -> None:
    """A grant that may be alive stays known, and works."""
    unconnected()
    connect()
    before = stored(CONN), stored(ledger_id(CONN))
    simulator.faults({**fault, "path": "/oauth/revoke", "count": None})
    with pytest.raises(error):
        Consents().disconnect(CONN, "Ann")
    assert (stored(CONN), stored(ledger_id(CONN))) == before
    simulator.clear_faults()
    assert works()[0]


def test_grant_that_is_dead_already_counts_as_revoked(unconnected: Connect, simulator: SimulatorProcess) -> None:
    """Somebody ended it in Lightspeed's settings."""
    unconnected()
    connect()
    simulator.revoke()
    Consents().disconnect(CONN, "Ann")
    assert ledger().failure is Failure.DISCONNECTED


def test_connection_in_the_environment_never_sends_its_old_seed_again(
    connection: Connect, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can take the seed out of an environment variable; the ledger knows that it is over, whatever changes."""
    fields = {
        "conn_type": "lightspeed",
        "login": simulator.client_id,
        "password": simulator.client_secret,
        "host": simulator.base_url,
        "extra": {"auth_url": simulator.base_url, "refresh_token": simulator.grant()["refresh_token"]},
    }
    monkeypatch.setenv("AIRFLOW_CONN_LIGHTSPEED_DEFAULT", json.dumps(fields))
    Consents().disconnect(CONN, "Ann")
    assert alive(simulator) == []
    simulator.clear_audit()
    claim = Claim(Secret(fields["extra"]["refresh_token"]).fingerprint())  # type: ignore[index]
    assert Refresher().refresh(CONN, claim).outcome is Outcome.DISCONNECTED
    monkeypatch.setenv("AIRFLOW_CONN_LIGHTSPEED_DEFAULT", json.dumps(fields | {"password": "rotated"}))
    assert Refresher().refresh(CONN, claim).outcome is Outcome.DISCONNECTED
    assert probe(CONN)[0] is False
    assert simulator.audit()["requests"] == []
    with pytest.raises(InvalidArgument, match="no grant"):
        Consents().disconnect(CONN, "Ann")
    monkeypatch.setenv("AIRFLOW_CONN_LIGHTSPEED_DEFAULT", json.dumps(fields))
    connect()
    assert works()[0]


@pytest.mark.parametrize("name", ["nobody", "nobody/../x", "x" * 226, "a b", "\u00e9"])
def test_what_does_not_exist_is_not_disconnected_and_leaves_no_rows(connection: Connect, name: str) -> None:
    """Whoever asks for many leaves nothing in the database."""
    connection("shop")
    with pytest.raises(InvalidArgument, match="does not exist"):
        Consents().disconnect(name, "Ann")
    assert take_over(name, "Ann") is False
    assert rows() == {"shop"}
    assert connection_ids() == ["shop"]


def test_connection_without_a_grant_has_nothing_to_revoke(unconnected: Connect, simulator: SimulatorProcess) -> None:
    """Neither before the first connect nor twice."""
    unconnected()
    for _ in range(2):
        with pytest.raises(InvalidArgument, match="no grant to revoke"):
            Consents().disconnect(CONN, "Ann")
    assert simulator.audit()["requests"] == []


@pytest.mark.parametrize("field", ["auth_url", "host", "login"])
def test_old_tokens_are_not_sent_to_a_new_place_to_be_revoked(
    unconnected: Connect, simulator: SimulatorProcess, field: str
) -> None:
    """Whoever may edit the connection cannot fetch its tokens by *Disconnect*."""
    unconnected()
    connect()
    with SimulatorProcess(sales=1, items=1, customers=1, days=1) as evil:
        match field:
            case "auth_url":
                change(extra={"auth_url": evil.base_url, "refresh_token": ""})
            case "host":
                change(host=evil.base_url, extra={"refresh_token": ""})
            case _:
                change(login="another", extra={"refresh_token": ""})
        with pytest.raises(InvalidArgument, match="not sent to the new place"):
            Consents().disconnect(CONN, "Ann")
        assert evil.audit()["requests"] == []
    assert simulator.audit("revoke")["requests"] == []
    assert ledger().token is not None


def test_copy_of_a_deployment_does_not_revoke_the_originals_grant(
    unconnected: Connect, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A staging clone's *Disconnect* would end production; after a take-over it is its own."""
    unconnected()
    connect()
    monkeypatch.setenv("AIRFLOW__LIGHTSPEED__DEPLOYMENT", "staging")
    with pytest.raises(InvalidArgument, match="another deployment"):
        Consents().disconnect(CONN, "Ann")
    assert len(alive(simulator)) == 1
    assert take_over(CONN, "Ann")
    Consents().disconnect(CONN, "Ann")
    assert alive(simulator) == []


def test_connection_created_anew_does_not_revoke_what_the_deleted_one_had(
    unconnected: Connect, simulator: SimulatorProcess
) -> None:
    """Its tokens are not this one's, though the name is."""
    unconnected()
    connect()
    anew(unconnected)
    with pytest.raises(InvalidArgument, match="no grant"):
        Consents().disconnect(CONN, "Ann")
    assert len(alive(simulator)) == 1


def test_new_seed_is_what_a_disconnection_revokes(unconnected: Connect, simulator: SimulatorProcess) -> None:
    """A person has put it in, and no task has used it yet."""
    unconnected()
    connect()
    seed = simulator.grant()
    change(extra={"refresh_token": seed["refresh_token"]})
    Consents().disconnect(CONN, "Ann")
    assert next(grant for grant in simulator.grants() if grant["grant_id"] == seed["grant_id"])["revoked"]


# -- records and relations ----------------------------------------------------------------------------------------------


def test_what_people_do_is_in_the_event_log_without_secrets(unconnected: Connect, simulator: SimulatorProcess) -> None:
    """Who, what, which connection; the account's ID, and no token."""
    from airflow.models.log import Log

    from airflow_provider_lightspeed.compat import new_session

    session = new_session()
    session.query(Log).delete()
    session.commit()
    unconnected()
    connect()
    held = ledger().token
    Consents().disconnect(CONN, "Bob")
    events = session.query(Log).order_by(Log.id).all()
    session.close()
    told = [
        (each.event, each.owner, json.loads(each.extra or "")) for each in events if each.event.startswith("lightspeed")
    ]
    assert told == [
        ("lightspeed.connect", "Ann", {"conn_id": CONN, "account_id": "12345"}),
        ("lightspeed.disconnect", "Bob", {"conn_id": CONN}),
    ]
    assert held is not None
    text = " ".join(each.extra or "" for each in events)
    for secret in (held.access_token, held.refresh_token, Secret(simulator.client_secret)):
        assert secret.reveal() not in text


def test_masker_of_a_long_lived_process_does_not_grow_with_connects(unconnected: Connect) -> None:
    """Its pattern is one regular expression over everything that it was ever told."""
    unconnected()
    connect()
    before = masked()
    for _ in range(3):
        connect()
        works()
        Consents().disconnect(CONN, "Ann")
    assert masked() == before


def masked() -> int:
    """Return how many values the masks of this process know."""
    names = (
        "airflow._shared.secrets_masker.secrets_masker",
        "airflow.sdk._shared.secrets_masker.secrets_masker",
        "airflow.utils.log.secrets_masker",
    )
    import importlib

    known = 0
    for name in names:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        find = getattr(module, "_secrets_masker", None)
        known += len(find().patterns) if find else 0
    return known


def test_partners_are_the_connections_that_stop_too(connection: Connect, simulator: SimulatorProcess) -> None:
    """They hold, or held, a token of the same grant; strangers on the same client are none."""
    from airflow_provider_lightspeed.tokens.status import partners

    seed = simulator.grant()["refresh_token"]
    connection("one", extra={"refresh_token": seed})
    connection("two", extra={"refresh_token": seed})
    connection("three")
    connection("other/client", extra={"refresh_token": seed}, login="another")
    connection("broken", extra={"refresh_token": seed}, host="https://evil.example")
    assert partners("one") == ["two"]
    Refresher().refresh("one", Claim(Secret(seed).fingerprint()))
    assert partners("one") == ["two"]
    assert partners("two") == ["one"]
    assert partners("three") == []
    assert partners("nobody") == []
