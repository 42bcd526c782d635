"""Token sources without Airflow: one refresh however many ask, stored before it is used."""

from __future__ import annotations

import threading

import orjson
import pytest

from airflow_provider_lightspeed.auth.flow import OAuthClient, OAuthReply, OAuthRequest
from airflow_provider_lightspeed.auth.source import RefreshingTokenSource, StaticTokenSource
from airflow_provider_lightspeed.auth.token import Token
from airflow_provider_lightspeed.exceptions import ReconnectRequired
from airflow_provider_lightspeed.redact import Secret
from tests.support.fakes import FakeClock, make_token


class Server:
    """Hands out numbered pairs."""

    def __init__(self) -> None:
        self.spent: list[str] = []

    def __call__(self, request: OAuthRequest) -> OAuthReply:
        self.spent.append(request.json["refresh_token"])
        number = len(self.spent)
        body = {"access_token": f"access-{number}", "refresh_token": f"refresh-{number}", "expires_in": 3600}
        return OAuthReply(200, {}, orjson.dumps(body))


def source(server: Server, clock: FakeClock, saved: list[Token]) -> RefreshingTokenSource:
    client = OAuthClient("id", Secret("secret"))
    return RefreshingTokenSource(client, Secret("seed"), exchange=server, clock=clock, save=saved.append)


def test_chain_of_refreshes_spends_each_token_once() -> None:
    """Each pair buys the next when its time has come, not before."""
    server, clock, saved = Server(), FakeClock(), list[Token]()
    tokens = source(server, clock, saved)
    assert tokens.token() is tokens.token()
    clock.sleep(3541)
    assert tokens.token().access_token == Secret("access-2")
    assert server.spent == ["seed", "refresh-1"]
    assert [token.access_token.reveal() for token in saved] == ["access-1", "access-2"]


def test_threads_with_one_refused_token_cause_one_refresh() -> None:
    """The second thread finds the token already replaced."""
    server = Server()
    tokens = source(server, FakeClock(), [])
    old = tokens.token()
    found: list[Token] = []
    threads = [threading.Thread(target=lambda: found.append(tokens.refused(old))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.spent == ["seed", "refresh-1"]
    assert {token.access_token.reveal() for token in found} == {"access-2"}


def test_pair_that_cannot_be_stored_is_never_used() -> None:
    """Using it would kill the refresh token that is still stored."""
    server = Server()

    def fail(_: Token) -> None:
        raise OSError("disk full")

    tokens = RefreshingTokenSource(
        OAuthClient("id", Secret("s")), Secret("seed"), exchange=server, clock=FakeClock(), save=fail
    )
    for _ in range(2):
        with pytest.raises(OSError, match="disk full"):
            tokens.token()
    assert server.spent == ["seed", "seed"]


def test_static_token_cannot_be_replaced() -> None:
    """Says so instead of looping."""
    tokens = StaticTokenSource(make_token())
    assert tokens.token() == make_token()
    with pytest.raises(ReconnectRequired):
        tokens.refused(tokens.token())
