"""The task's side of the refresh trigger: whom it asks, what it sends, what it makes of the answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("airflow")

import requests

from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.exceptions import LightspeedRetriableError, Unreachable
from airflow_provider_lightspeed.tokens.asker import Asker
from airflow_provider_lightspeed.tokens.trigger import MARKER, RefreshTrigger, candidates

CLAIM = Claim("a" * 64)
GOOD = (200, {"outcome": "fresh", "generation": 3, "expires_in": 100.0, "retry_after": 0.0})


class Server:
    """Stands for the session: serves the marker at some addresses, and one answer to refreshes."""

    def __init__(self, *homes: str, answer: Any = GOOD) -> None:
        self.homes, self.answer = homes, answer
        self.trust_env = True
        self.asked: list[str] = []
        self.posted: list[dict[str, Any]] = []

    def mount(self, *_: Any) -> None:
        """Adapters are for real connections."""

    def get(self, url: str, **_: Any) -> Any:
        self.asked.append(url)
        base = url.removesuffix("/lightspeed/marker")
        return reply(200, MARKER) if base in self.homes else reply(404, {"detail": "Not Found"})

    def post(self, url: str, *, json: dict[str, Any], **_: Any) -> Any:
        self.asked.append(url)
        self.posted.append(json)
        if isinstance(self.answer, Exception):
            raise self.answer
        return reply(*self.answer)


def reply(status: int, body: Any) -> requests.Response:
    made = requests.Response()
    made.status_code = status
    made._content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return made


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


@pytest.mark.parametrize("answer", [requests.ConnectionError("x"), (503, b"<html>"), (429, b"")])
def test_server_that_is_busy_or_away_is_asked_again_later(answer: Any, configured: pytest.MonkeyPatch) -> None:
    """An outcome, not an error: the task waits."""
    found = RefreshTrigger(Server("http://localhost:8080", answer=answer)).ask("shop", CLAIM, Asker())
    assert (found.outcome, found.retry_after) == (Outcome.UNAVAILABLE, 2.0)


@pytest.mark.parametrize("answer", [(200, b"<html>"), (200, {"outcome": "new"}), (404, {"detail": "x"})])
def test_answer_of_another_protocol_is_an_error(answer: Any, configured: pytest.MonkeyPatch) -> None:
    """Of another release, or of a proxy in between."""
    with pytest.raises(LightspeedRetriableError, match="something else than its protocol"):
        RefreshTrigger(Server("http://localhost:8080", answer=answer)).ask("shop", CLAIM, Asker())
