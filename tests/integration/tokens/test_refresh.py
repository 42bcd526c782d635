"""The locked refresh against a real database and the simulator's exact rotation."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.auth.codec import load
from airflow_provider_lightspeed.auth.flow import OAuthReply, OAuthRequest
from airflow_provider_lightspeed.auth.step import ATTEMPTS_PER_MINUTE, Claim, Outcome
from airflow_provider_lightspeed.exceptions import (
    InvalidClient,
    LightspeedAuthError,
    LightspeedRetriableError,
    ReconnectRequired,
    Unreachable,
)
from airflow_provider_lightspeed.hooks.lightspeed import LightspeedHook
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens.answer import failure
from airflow_provider_lightspeed.tokens.asker import Asker
from airflow_provider_lightspeed.tokens.refresh import Refresher, default_exchange
from airflow_provider_lightspeed.tokens.source import DatabaseDesk, LedgerTokenSource
from airflow_provider_lightspeed.tokens.status import connection_ids, status
from airflow_provider_lightspeed.tokens.store import ledger_id, locked_ledger
from tests.support.fakes import FakeClock

Connect = Callable[..., str]
Stored = Callable[[str], dict[str, Any]]


def seed_of(stored: Stored) -> str:
    return Secret(stored("lightspeed_default")["refresh_token"]).fingerprint()


def grants(simulator: SimulatorProcess) -> list[int]:
    return [entry["status"] for entry in simulator.audit("token")["requests"]]


def held(stored: Stored) -> str:
    token = load(stored(ledger_id("lightspeed_default"))).token
    assert token is not None
    return token.access_token.fingerprint()


def test_refresh_stores_the_pair_and_writes_the_rotated_token_back(connection: Connect, stored: Stored) -> None:
    """Ledger and connection in one transaction; the account's ID comes with it."""
    connection()
    before = stored("lightspeed_default")["refresh_token"]
    answer = Refresher().refresh("lightspeed_default", Claim(seed_of(stored)), Asker("dag", "task"))
    after = stored("lightspeed_default")
    ledger = load(stored(ledger_id("lightspeed_default")))
    assert (answer.outcome, answer.generation) == (Outcome.REFRESHED, 1)
    assert ledger.token is not None
    assert ledger.token.refresh_token.reveal() == after["refresh_token"] != before
    assert (ledger.refreshed_by, after["account_id"]) == ("dag.task", "12345")


def test_second_request_finds_it_done(connection: Connect, simulator: SimulatorProcess, stored: Stored) -> None:
    """Whoever holds the new token is told that it is fresh; no grant is spent."""
    connection()
    Refresher().refresh("lightspeed_default", Claim(seed_of(stored)))
    answer = Refresher().refresh("lightspeed_default", Claim(held(stored)))
    assert answer.outcome is Outcome.FRESH
    assert answer.expires_in > 0
    assert grants(simulator) == [200]


def test_stranger_costs_nothing(connection: Connect, simulator: SimulatorProcess, stored: Stored) -> None:
    """No grant, no row, no difference between an unknown connection and a wrong hash."""
    connection()
    assert Refresher().refresh("lightspeed_default", Claim("0" * 64)) == Refresher().refresh("nobody", Claim("0" * 64))
    assert grants(simulator) == []
    with pytest.raises(Exception, match="No row"):
        stored(ledger_id("lightspeed_default"))


def test_crash_between_grant_and_commit_loses_nothing(
    connection: Connect, simulator: SimulatorProcess, stored: Stored
) -> None:
    """The unsaved pair was never used, so the spent token still buys the next one."""
    connection()
    exchange = default_exchange()

    def die_after_the_grant(request: OAuthRequest) -> OAuthReply:
        exchange(request)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Refresher(die_after_the_grant).refresh("lightspeed_default", Claim(seed_of(stored)))
    answer = Refresher().refresh("lightspeed_default", Claim(seed_of(stored)))
    assert answer.outcome is Outcome.REFRESHED
    assert grants(simulator) == [200, 200]


def test_loop_of_crashes_stays_below_the_servers_limit(
    connection: Connect, simulator: SimulatorProcess, stored: Stored
) -> None:
    """Each attempt is on record before it is sent."""
    connection()

    def unreachable(_: OAuthRequest) -> OAuthReply:
        sent.append(1)
        raise Unreachable("nobody answers")

    sent: list[int] = []
    answers = [Refresher(unreachable).refresh("lightspeed_default", Claim(seed_of(stored))) for _ in range(8)]
    assert len(sent) == ATTEMPTS_PER_MINUTE
    assert {answer.outcome for answer in answers} == {Outcome.UNAVAILABLE}
    assert answers[-1].retry_after > 1


@pytest.mark.parametrize(
    ("spoil", "outcome", "error"),
    [
        ("revoke", Outcome.INVALID_GRANT, ReconnectRequired),
        ("secret", Outcome.INVALID_CLIENT, InvalidClient),
    ],
)
def test_dead_credentials_cost_one_grant_and_then_none(
    spoil: str,
    outcome: Outcome,
    error: type[LightspeedAuthError],
    connection: Connect,
    simulator: SimulatorProcess,
    stored: Stored,
) -> None:
    """The failure sticks until somebody changes the connection."""
    connection(**({"password": "wrong"} if spoil == "secret" else {}))
    if spoil == "revoke":
        simulator.revoke()
    answers = [Refresher().refresh("lightspeed_default", Claim(seed_of(stored))) for _ in range(5)]
    assert {answer.outcome for answer in answers} == {outcome}
    assert len(grants(simulator)) == 1
    assert isinstance(failure("lightspeed_default", answers[0]), error)


def test_new_grant_put_in_by_hand_is_used_next(
    connection: Connect, simulator: SimulatorProcess, stored: Stored
) -> None:
    """After a revocation, a person pastes a new refresh token; nothing else is to be done."""
    from airflow.models.connection import Connection

    from airflow_provider_lightspeed.compat import new_session

    connection()
    simulator.revoke()
    assert Refresher().refresh("lightspeed_default", Claim(seed_of(stored))).outcome is Outcome.INVALID_GRANT
    session = new_session()
    row = session.query(Connection).filter(Connection.conn_id == "lightspeed_default").one()
    row.set_extra(
        '{{"auth_url": "{}", "refresh_token": "{}"}}'.format(simulator.base_url, simulator.grant()["refresh_token"])
    )
    session.commit()
    session.close()
    assert Refresher().refresh("lightspeed_default", Claim(seed_of(stored))).outcome is Outcome.REFRESHED


def test_writer_that_lost_the_race_keeps_off(connection: Connect, stored: Stored) -> None:
    """A pair is saved only over the generation that was read."""
    connection()
    Refresher().refresh("lightspeed_default", Claim(seed_of(stored)))
    with locked_ledger("lightspeed_default") as locked:
        found = locked.read()
        assert found.stored is not None
        other = dataclasses.replace(found.ledger, generation=7)
        assert not locked.save(other, found.stored, expected=found.ledger.generation - 1)
        assert locked.save(other, found.stored, expected=found.ledger.generation)


def test_waiting_for_the_lock_ends_in_busy(connection: Connect, stored: Stored) -> None:
    """The caller is told to come back, not kept."""
    connection()
    with locked_ledger("lightspeed_default") as locked:
        locked.read()
        assert Refresher().refresh("lightspeed_default", Claim(seed_of(stored))).outcome is Outcome.BUSY


def source(clock: FakeClock, refresher: Refresher | None = None, **options: Any) -> LedgerTokenSource:
    desk = DatabaseDesk("lightspeed_default", Asker(user="test"), refresher)
    return LedgerTokenSource(desk, clock, mask=lambda _: None, **options)


def test_stored_token_costs_no_grant(connection: Connect, simulator: SimulatorProcess) -> None:
    """Tasks that follow one another share it."""
    from airflow_provider_lightspeed.clock import SystemClock

    connection()
    desk = DatabaseDesk("lightspeed_default", Asker(user="test"))
    tokens = [LedgerTokenSource(desk, SystemClock(), mask=lambda _: None).token() for _ in range(3)]
    assert len({token.access_token for token in tokens}) == 1
    assert grants(simulator) == [200]


def test_outage_of_the_authorization_server_is_waited_out(connection: Connect) -> None:
    """Up to the patience; then an error that Airflow may retry."""
    connection()

    def unreachable(_: OAuthRequest) -> OAuthReply:
        raise Unreachable("nobody answers")

    clock = FakeClock()
    with pytest.raises(LightspeedRetriableError, match="could not be refreshed in time"):
        source(clock, Refresher(unreachable), patience=300).token()
    assert 0 < clock.passed <= 300


def test_connection_from_the_environment_keeps_its_rotated_token_in_the_ledger(
    connection: Connect, simulator: SimulatorProcess, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can write to an environment variable; the next process still finds the newest pair."""
    connection()
    extra = stored("lightspeed_default")
    fields = {
        "conn_type": "lightspeed",
        "login": simulator.client_id,
        "password": simulator.client_secret,
        "host": simulator.base_url,
        "extra": extra,
    }
    monkeypatch.setenv("AIRFLOW_CONN_LIGHTSPEED_DEFAULT", json.dumps(fields))
    answer = Refresher().refresh("lightspeed_default", Claim(Secret(extra["refresh_token"]).fingerprint()))
    assert answer.outcome is Outcome.REFRESHED
    assert stored("lightspeed_default") == extra
    assert Refresher().refresh("lightspeed_default", Claim(held(stored))).outcome is Outcome.FRESH


def test_connection_of_a_secrets_backend_keeps_its_rotated_token_in_the_ledger(
    connection: Connect, simulator: SimulatorProcess, stored: Stored, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nobody writes to the backend, and the token there is soon spent; ``status`` lists the connection and names it."""
    file = tmp_path / "connections.json"
    extra = {"auth_url": simulator.base_url, "refresh_token": simulator.grant()["refresh_token"]}
    fields = {"login": simulator.client_id, "password": simulator.client_secret, "host": simulator.base_url}
    file.write_text(json.dumps({"vaulted": {"conn_type": "lightspeed", **fields, "extra": json.dumps(extra)}}))
    before = file.read_text()
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", "airflow.secrets.local_filesystem.LocalFilesystemBackend")
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND_KWARGS", json.dumps({"connections_file_path": str(file)}))
    assert LightspeedHook("vaulted").count("Shop") > 0  # whose token kills the one in the file
    with locked_ledger("vaulted") as locked:
        found = locked.read()
        assert found.stored is not None
        assert found.ledger.token is not None
        expired = dataclasses.replace(found.ledger.token, expires_at=found.ledger.token.issued_at)
        assert locked.save(dataclasses.replace(found.ledger, token=expired), found.stored, expected=1)
    assert LightspeedHook("vaulted").count("Shop") > 0
    assert grants(simulator) == [200, 200]
    assert simulator.counters().get("dead_refresh_tokens", 0) == 0
    assert (status("vaulted").source, status("vaulted").attention) == ("LocalFilesystemBackend", ())
    assert connection_ids() == ["vaulted"]
    assert file.read_text() == before
