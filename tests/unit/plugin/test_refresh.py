"""The refresh trigger as the API server mounts it: what it tells, and what it never tells."""

from __future__ import annotations

import json
import logging

import pytest

pytest.importorskip("airflow.sdk")

from fastapi.testclient import TestClient

from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.plugin.app import create_app
from airflow_provider_lightspeed.plugin.refresh import MAX_BODY
from airflow_provider_lightspeed.tokens.answer import Answer
from airflow_provider_lightspeed.tokens.asker import Asker
from airflow_provider_lightspeed.tokens.trigger import MARKER
from tests.support.fakes import FakeClock

SEEN = "a" * 64


class Recorder:
    """Stands for the refresher; remembers who asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Claim, Asker]] = []

    def refresh(self, conn_id: str, claim: Claim, asker: Asker) -> Answer:
        self.asked.append((conn_id, claim, asker))
        return self.answer


def client(answer: Answer) -> tuple[TestClient, Recorder]:
    recorder = Recorder(answer)
    return TestClient(create_app(recorder, FakeClock())), recorder  # type: ignore[arg-type]


def test_marker_names_the_protocol() -> None:
    """So that no other server is mistaken for it."""
    assert client(Answer(Outcome.FRESH))[0].get("/marker").json() == MARKER


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_a_status_and_no_more_than_four_facts(outcome: Outcome) -> None:
    """Never a token, never a detail of the authorization server."""
    http, _ = client(Answer(outcome, 3, 100.0, 7.0, detail="secret words"))
    reply = http.post("/refresh/shop", json={"seen": SEEN})
    assert set(reply.json()) == {"outcome", "generation", "expires_in", "retry_after"}
    assert reply.headers["cache-control"] == "no-store"
    assert "secret words" not in reply.text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"seen": 5}',
        b'{"seen": "short"}',
        b'{"seen": "' + b"G" * 64 + b'"}',
        json.dumps({"seen": SEEN, "by": "x" * MAX_BODY}).encode(),
        b"[" * 2000,
    ],
)
def test_malformed_claims_get_the_answer_of_strangers(body: bytes) -> None:
    """And reach nothing behind."""
    http, recorder = client(Answer(Outcome.REFRESHED))
    reply = http.post("/refresh/shop", content=body)
    assert (reply.status_code, reply.json()["outcome"]) == (404, "no_match")
    assert recorder.asked == []


def test_connection_ids_may_hold_slashes() -> None:
    """They come percent-encoded."""
    http, recorder = client(Answer(Outcome.FRESH))
    by = {"dag_id": "dag", "task_id": "task", "map_index": 0}
    http.post("/refresh/team%2Fshop%3Aone", json={"seen": SEEN, "refused": True, "by": by})
    assert recorder.asked == [("team/shop:one", Claim(SEEN, refused=True), Asker("dag", "task", map_index=0))]


def test_documentation_pages_are_not_served() -> None:
    """The trigger is no API for people."""
    http, _ = client(Answer(Outcome.FRESH))
    assert [http.get(path).status_code for path in ("/docs", "/redoc", "/openapi.json")] == [404, 404, 404]


def test_nothing_of_the_claim_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Not even the hash."""
    caplog.set_level(logging.DEBUG)
    client(Answer(Outcome.NO_MATCH))[0].post("/refresh/shop", json={"seen": SEEN})
    assert SEEN not in caplog.text


@pytest.mark.parametrize("conn_id", ["a b", "%00", "x" * 213, "caf%C3%A9 ", "'; drop table connection;--"])
def test_ids_that_airflow_does_not_know_reach_nothing(conn_id: str) -> None:
    """They get the answer of strangers."""
    http, recorder = client(Answer(Outcome.REFRESHED))
    assert http.post(f"/refresh/{conn_id}", json={"seen": SEEN}).json()["outcome"] == "no_match"
    assert recorder.asked == []


@pytest.mark.parametrize(
    "by", ["text", 5, [], {"dag_id": "x\ny", "task_id": 7, "map_index": "z"}, {"user": "u" * 9999}]
)
def test_label_that_is_none_is_left_out(by: object) -> None:
    """No line breaks into the log, nothing longer than Airflow's own names."""
    asker = Asker.parse(by)
    assert all(len(text) <= 250 and text.isprintable() for text in (asker.dag_id, asker.task_id, asker.user))


def test_stranger_behind_the_same_proxy_makes_no_task_fail() -> None:
    """When their common address has missed too often, all are told to come back, and whoever was right is let in."""
    http, recorder = client(Answer(Outcome.FRESH))
    assert http.post("/refresh/shop", json={"seen": SEEN}).json()["outcome"] == "fresh"
    recorder.answer = Answer(Outcome.NO_MATCH)
    while (reply := http.post("/refresh/shop", json={"seen": "b" * 64})).status_code == 404:
        pass
    asked = len(recorder.asked)
    others = [http.post(f"/refresh/{name}", json={"seen": "c" * 64}) for name in ("shop", "nobody", "a b")]
    others.append(http.post("/refresh/shop", content=b"{"))
    assert {(other.status_code, other.headers["retry-after"], other.text) for other in others} == {
        (503, "2", reply.text)
    }
    assert json.loads(reply.text)["outcome"] == "busy"
    assert len(recorder.asked) == asked
    recorder.answer = Answer(Outcome.FRESH)
    assert http.post("/refresh/shop", json={"seen": SEEN}).json()["outcome"] == "fresh"
    recorder.answer = Answer(Outcome.NO_MATCH)
    assert http.post("/refresh/shop", json={"seen": SEEN}).json()["outcome"] == "no_match"
    assert http.post("/refresh/shop", json={"seen": SEEN}).json()["outcome"] == "busy"  # right no more
