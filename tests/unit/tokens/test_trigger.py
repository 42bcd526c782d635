"""The task's side of the refresh trigger: whom it asks, what it sends, what it makes of the answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.client.transport import Reply, Request
from airflow_provider_lightspeed.exceptions import LightspeedRetriableError, Unreachable
from airflow_provider_lightspeed.tokens.asker import Asker
from airflow_provider_lightspeed.tokens.trigger import MARKER, RefreshTrigger, candidates

CLAIM = Claim("a" * 64)
GOOD = (200, {"outcome": "fresh", "generation": 3, "expires_in": 100.0, "retry_after": 0.0})


class Server:
    """Stands for the transport: serves the marker at some addresses, and one answer to refreshes."""

    def __init__(self, *homes: str, answer: Any = GOOD, elsewhere: Any = (404, {"detail": "Not Found"})) -> None:
        self.homes, self.answer, self.elsewhere = homes, answer, elsewhere
        self.asked: list[str] = []
        self.posted: list[dict[str, Any]] = []

    def send(self, request: Request) -> Reply:
        """Answer, or raise the answer."""
        self.asked.append(request.url)
        base = request.url.removesuffix("/lightspeed/marker")
        answer = (200, MARKER) if base in self.homes else self.elsewhere
        if request.method == "POST":
            self.posted.append(request.json)
            answer = self.answer
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        return Reply(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("LIGHTSPEED__API_SERVER_URL", "API__BASE_URL", "CORE__EXECUTION_API_SERVER_URL"):
        monkeypatch.setenv(f"AIRFLOW__{name}", "")
    return monkeypatch


def test_server_is_looked_for_where_the_configuration_says(configured: pytest.MonkeyPatch) -> None:
    """The provider's own setting decides alone; else the two of Airflow, then the default."""
    assert [base for _, base in candidates()] == ["http://localhost:8080"]
    configured.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "http://api:8080/team/execution/")
    configured.setenv("AIRFLOW__API__BASE_URL", "https://a.example/team/")
    found = ["https://a.example/team", "http://api:8080/team", "http://localhost:8080"]
    assert [base for _, base in candidates()] == found
    configured.setenv("AIRFLOW__LIGHTSPEED__API_SERVER_URL", "http://own/")
    assert [base for _, base in candidates()] == ["http://own"]


def test_first_server_with_the_plugin_is_asked_and_remembered(configured: pytest.MonkeyPatch) -> None:
    """A server without the plugin is passed over; the ID is one segment of the path; no token is sent."""
    configured.setenv("AIRFLOW__API__BASE_URL", "https://other.example")
    server = Server("http://localhost:8080")
    trigger = RefreshTrigger(server)
    for _ in range(2):
        answer = trigger.ask("shop/eu", CLAIM, Asker("d", "t"))
        assert (answer.outcome, answer.generation) == (Outcome.FRESH, 3)
    assert server.asked == [
        "https://other.example/lightspeed/marker",
        "http://localhost:8080/lightspeed/marker",
        *["http://localhost:8080/lightspeed/refresh/shop%2Feu"] * 2,
    ]
    assert server.posted[0]["seen"] == CLAIM.seen
    assert server.posted[0]["by"]["dag_id"] == "d"


def test_no_server_with_the_plugin_is_an_error_that_lists_what_was_tried(configured: pytest.MonkeyPatch) -> None:
    """Each address with what was found there, and the setting that mends it."""
    with pytest.raises(
        Unreachable, match=r"the default http://localhost:8080: status 404.*Set \[lightspeed\] api_server_url"
    ):
        RefreshTrigger(Server()).ask("shop", CLAIM, Asker())


@pytest.mark.parametrize("answer", [Unreachable("x"), (503, b"<html>"), (429, b""), (404, {"detail": "x"})])
def test_server_that_is_busy_or_away_is_asked_again_later(answer: Any, configured: pytest.MonkeyPatch) -> None:
    """An outcome, not an error: the task waits."""
    found = RefreshTrigger(Server("http://localhost:8080", answer=answer)).ask("shop", CLAIM, Asker())
    assert (found.outcome, found.retry_after) == (Outcome.UNAVAILABLE, 2.0)


@pytest.mark.parametrize("answer", [Unreachable("x"), (503, b"<html>"), (429, b"")])
def test_configured_server_that_is_away_is_looked_for_again(answer: Any, configured: pytest.MonkeyPatch) -> None:
    """It starts anew, perhaps; that nobody listens at the default address proves nothing."""
    configured.setenv("AIRFLOW__API__BASE_URL", "https://away.example")
    server = Server(elsewhere=answer)
    trigger = RefreshTrigger(server)
    found = trigger.ask("shop", CLAIM, Asker())
    assert (found.outcome, found.retry_after) == (Outcome.UNAVAILABLE, 2.0)
    assert "[api] base_url https://away.example" in found.detail
    server.homes = ("https://away.example",)
    assert trigger.ask("shop", CLAIM, Asker()).outcome is Outcome.FRESH


def test_server_that_was_found_once_is_not_misconfigured(configured: pytest.MonkeyPatch) -> None:
    """An ingress answers 404 while the server behind it starts anew."""
    server = Server("http://localhost:8080")
    trigger = RefreshTrigger(server)
    trigger.ask("shop", CLAIM, Asker())
    server.homes, server.answer = (), (404, b"default backend - 404")
    for _ in range(2):
        assert trigger.ask("shop", CLAIM, Asker()).outcome is Outcome.UNAVAILABLE


@pytest.mark.parametrize("answer", [(200, b"<html>"), (200, {"outcome": "new"}), (422, {"detail": "x"})])
def test_answer_of_another_protocol_is_an_error(answer: Any, configured: pytest.MonkeyPatch) -> None:
    """Of another release, or of a proxy in between."""
    with pytest.raises(LightspeedRetriableError, match="something else than its protocol"):
        RefreshTrigger(Server("http://localhost:8080", answer=answer)).ask("shop", CLAIM, Asker())
