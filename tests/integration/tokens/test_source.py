"""Tokens in a task of Airflow 3 while its API server fails: a failure is waited out, and never taken for an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("airflow.sdk")

from airflow_provider_lightspeed.auth.ledger import Ledger, Place
from airflow_provider_lightspeed.compat import AirflowNotFoundException
from airflow_provider_lightspeed.exceptions import (
    InvalidArgument,
    LightspeedAuthError,
    LightspeedRetriableError,
    Unreachable,
)
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.settings import ConnectionSettings
from airflow_provider_lightspeed.tokens.keep_alive import keep_alive
from airflow_provider_lightspeed.tokens.probe import probe
from airflow_provider_lightspeed.tokens.source import LedgerTokenSource, TaskDesk
from tests.support.api_server import EXECUTION, REFRESH, ApiServer, supervised
from tests.support.fakes import NOON, FakeClock, make_token
from tests.support.masks import forget_secrets

CONN = "shop"
COMPANION = f"{EXECUTION}{CONN}__lightspeed_tokens"
#: What a refresh has written back to the connection.
SEED = "refresh-old"
#: What fails, by name: the longer path first.
CALLS = {
    "connection": EXECUTION + CONN,
    "companion": COMPANION,
    "trigger": REFRESH,
    "marker": "/lightspeed/marker",
    "all": "/",
}
FAULTS: list[int | str] = [500, "refuse", "hang"]


class Outage(FakeClock):
    """A clock that ends the server's faults after some seconds."""

    def __init__(self, server: ApiServer, seconds: float, also: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._server, self._seconds, self._also = server, seconds, also

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.passed >= self._seconds:
            self._server.faults.clear()
            self._also()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """An API server that knows a connection with a token that is due, and brings a fresh one."""
    server = ApiServer(connections={CONN: {"refresh_token": SEED}})
    old = _granted(Ledger(), "old")
    server.store(CONN, old)
    server.refreshes = [_granted(old, "new")]
    with server, supervised(server):
        monkeypatch.setenv("AIRFLOW__LIGHTSPEED__API_SERVER_URL", server.url)
        yield server
    forget_secrets()


def _granted(ledger: Ledger, name: str) -> Ledger:
    settings = ConnectionSettings(CONN, "id", Secret("hush-hush"))
    spent = ledger.token.refresh_token if ledger.token else Secret("first")
    return ledger.granted(settings, make_token(name), spent, place=Place("row:1", "here"), by="test")


def source_of(clock: FakeClock, *, patience: float = 300.0) -> LedgerTokenSource:
    clock.passed += 3590  # the old token is due
    return LedgerTokenSource(TaskDesk(CONN), clock, mask=lambda _: None, patience=patience, chance=lambda: 0.0)


@pytest.mark.parametrize(("fault", "call"), [(503, call) for call in CALLS] + [(fault, "all") for fault in FAULTS])
def test_outage_of_the_api_server_is_waited_out(server: ApiServer, fault: int | str, call: str) -> None:
    """Any call, any failure, for 12 seconds: the task then has its token, and no attempt is lost."""
    server.faults[CALLS[call]] = fault
    clock = Outage(server, 3590 + 12)
    source = source_of(clock)
    assert source.view().settings.client_id == "id"
    assert source.token().access_token.reveal() == "access-new"
    assert 12 <= clock.passed - 3590 < 30


@pytest.mark.parametrize("fault", [503, "refuse"])
def test_read_after_a_refresh_may_fail_too(server: ApiServer, fault: int | str) -> None:
    """The new pair is stored and the call that reads it fails: it is read again."""
    refresh = server.refresh

    def refresh_and_fail(conn_id: str, seen: str) -> dict[str, object]:
        server.faults["/execution/"] = fault
        return refresh(conn_id, seen)

    server.refresh = refresh_and_fail  # type: ignore[method-assign]
    clock = Outage(server, 3590 + 12)
    assert source_of(clock).token().access_token.reveal() == "access-new"
    assert clock.passed - 3590 >= 12


@pytest.mark.parametrize("call", CALLS)
def test_outage_that_lasts_is_an_error_worth_a_retry(server: ApiServer, call: str) -> None:
    """After ``patience`` seconds; it names the cause, and is no matter for a person."""
    server.faults[CALLS[call]] = 503
    with pytest.raises(LightspeedRetriableError, match="503") as caught:
        source_of(FakeClock(), patience=20).token()
    assert CONN in str(caught.value)


def test_missing_connection_is_believed_at_once(server: ApiServer) -> None:
    """The API server answers 404: that is an answer."""
    del server.connections[CONN]
    clock = FakeClock()
    with pytest.raises(AirflowNotFoundException, match="isn't defined"):
        source_of(clock).view()
    assert clock.sleeps == []


def test_missing_companion_is_believed_at_once(server: ApiServer) -> None:
    """Before the first refresh there is none: the task asks with the connection's own token."""
    del server.connections[f"{CONN}__lightspeed_tokens"]
    clock = FakeClock()
    assert source_of(clock).token().access_token.reveal() == "access-new"
    assert clock.sleeps == []


@pytest.mark.parametrize("status", [401, 403])
def test_denied_connection_needs_a_person(server: ApiServer, status: int) -> None:
    """Of another team, say: waiting does not help, and the error is no other package's."""
    server.faults[EXECUTION] = status
    clock = FakeClock()
    with pytest.raises(LightspeedAuthError, match="does not let this task read it"):
        source_of(clock).view()
    assert clock.sleeps == []


def test_ledger_that_airflow_cannot_decrypt_is_put_back_on_request(server: ApiServer) -> None:
    """The API server answers 500 for it, every time; the trigger knows it from a copy, and mends it when asked."""
    server.faults[COMPANION] = 500

    def heal(conn_id: str, seen: str) -> dict[str, object]:
        del conn_id, seen
        server.faults.clear()
        return {"outcome": "busy", "retry_after": 0.2}

    refresh = server.refresh
    server.refresh = heal  # type: ignore[method-assign]
    clock = Outage(server, 3590, also=lambda: setattr(server, "refresh", refresh))
    assert source_of(clock).token().access_token.reveal() == "access-new"
    assert clock.passed - 3590 < 5


class SealedVault:
    """A secrets backend that does not answer."""

    def get_connection(self, conn_id: str, **_: object) -> None:
        raise RuntimeError(f"no {conn_id}: the vault is sealed")


def test_backend_that_fails_does_not_make_a_connection_undefined(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow drops a backend's error, asks the API server, and that does not know what lies in the backend."""
    from airflow.sdk.execution_time import supervisor

    load = supervisor.ensure_secrets_backend_loaded
    del server.connections[CONN]
    monkeypatch.setattr(supervisor, "ensure_secrets_backend_loaded", lambda: [SealedVault(), *load()])
    with pytest.raises(Unreachable, match=r"SealedVault failed \(RuntimeError\)"):
        source_of(FakeClock(), patience=5).view()


def test_environment_variable_that_is_no_connection_is_named_at_once(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked for it, so it will not be there a little later."""
    del server.connections[CONN]
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", '{"conn_type": "lightspeed", "password": "hush-hush"')
    clock = FakeClock()
    with pytest.raises(InvalidArgument, match="AIRFLOW_CONN_SHOP: it cannot be read") as caught:
        source_of(clock).view()
    assert "hush" not in str(caught.value)
    assert clock.sleeps == []


def test_connection_test_and_keep_alive_wait_too(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both read through the same source."""
    clock = Outage(server, 12)
    monkeypatch.setattr("airflow_provider_lightspeed.tokens.source.SystemClock", lambda: clock)
    monkeypatch.setattr("airflow_provider_lightspeed.tokens.source.database_is_reachable", lambda: False)
    monkeypatch.setattr("airflow_provider_lightspeed.tokens.probe.database_is_reachable", lambda: False)
    server.faults["/execution/"] = 503
    assert keep_alive(CONN).generation == 1
    assert clock.passed >= 12
    server.faults["/execution/"] = 404
    assert "isn't defined" in probe(CONN)[1]
    assert clock.now() > NOON
