"""Disconnecting: what is revoked, what is forgotten, and what is not this connection's to end."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.auth.ledger import Failure
from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.exceptions import (
    InvalidArgument,
    LightspeedError,
    ServerFault,
    Unreachable,
)
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens.connect import Consents
from airflow_provider_lightspeed.tokens.probe import probe
from airflow_provider_lightspeed.tokens.refresh import Refresher, take_over
from airflow_provider_lightspeed.tokens.status import connection_ids, status
from airflow_provider_lightspeed.tokens.store import ledger_id
from tests.support.token_steps import CONN, alive, anew, change, connect, ledger, rows, works

Connect = Callable[..., str]
Stored = Callable[[str], dict[str, Any]]


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
