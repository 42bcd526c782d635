"""The refresh trigger as the API server mounts it: what it tells, and what it never tells."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("airflow.sdk")

from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.exceptions import RefreshPending
from airflow_provider_lightspeed.plugin.app import create_app
from airflow_provider_lightspeed.plugin.refresh import MAX_BODY, Trigger
from airflow_provider_lightspeed.tokens.answer import Answer
from airflow_provider_lightspeed.tokens.asker import Asker
from airflow_provider_lightspeed.tokens.trigger import MARKER
from tests.support.asgi import post
from tests.support.fakes import FakeClock

SEEN = "a" * 64


class Recorder:
    """Stands for the refresher and for what is stored; remembers who asked, and what was read."""

    def __init__(self, answer: Answer, *conn_ids: str) -> None:
        self.answer: Answer | Exception = answer
        self.asked: list[tuple[str, Claim, Asker]] = []
        self.stored = {conn_id: {SEEN} for conn_id in conn_ids}
        self.fails: Exception | None = None
        self.reads: list[str] = []

    def refresh(self, conn_id: str, claim: Claim, asker: Asker) -> Answer:
        self.asked.append((conn_id, claim, asker))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def hashes(self, conn_id: str) -> frozenset[str]:
        self.reads.append(conn_id)
        if self.fails:
            raise self.fails
        return frozenset(self.stored.get(conn_id, ()))

    def listed(self) -> list[str]:
        return list(self.stored)


def client(answer: Answer, *conn_ids: str, clock: FakeClock | None = None) -> tuple[TestClient, Recorder]:
    recorder = Recorder(answer, *(conn_ids or ("shop", "team/shop:one")))
    trigger = Trigger(recorder, clock or FakeClock(), hashes=recorder.hashes, listed=recorder.listed)  # type: ignore[arg-type]
    return TestClient(create_app(trigger)), recorder


def test_marker_names_the_protocol() -> None:
    """So that no other server is mistaken for it."""
    assert client(Answer(Outcome.FRESH))[0].get("/marker").json() == MARKER


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_a_status_and_no_more_than_four_facts(outcome: Outcome) -> None:
    """Never a token, never a detail of the authorization server; only ``shared`` names the other connection."""
    http, _ = client(Answer(outcome, 3, 100.0, 7.0, detail="secret words"))
    reply = http.post("/refresh/shop", json={"seen": SEEN})
    is_shared = outcome is Outcome.SHARED
    assert set(reply.json()) - ({"detail"} if is_shared else set()) == {
        "outcome", "generation", "expires_in", "retry_after",
    }  # fmt: skip
    assert reply.headers["cache-control"] == "no-store"
    assert ("secret words" in reply.text) == is_shared


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
    """When their common address has missed too often, whoever is right is let in, and who is right no more is not."""
    http, recorder = client(Answer(Outcome.FRESH))
    for _ in range(400):
        http.post("/refresh/shop", content=b"{")
    assert recorder.asked == []
    assert http.post("/refresh/shop", json={"seen": SEEN}).json()["outcome"] == "fresh"
    recorder.stored["shop"] = {"d" * 64}
    recorder.answer = Answer(Outcome.NO_MATCH)
    asked = [http.post("/refresh/shop", json={"seen": SEEN}).json()["outcome"] for _ in range(2)]
    assert (asked, len(recorder.asked)) == (["no_match"] * 2, 2)  # the second time it is not let in


def test_whatever_is_wrong_the_answer_is_the_same() -> None:
    """Unknown connection, unreadable connection, wrong hash, malformed body: status, body and headers are alike."""
    http, recorder = client(Answer(Outcome.REFRESHED), "shop", "unreadable")
    recorder.stored["unreadable"] = set()
    claims = [("shop", "b" * 64), ("unreadable", SEEN), ("nobody", SEEN), ("a b", SEEN)]
    replies = [http.post(f"/refresh/{conn_id}", json={"seen": seen}) for conn_id, seen in claims]
    replies.append(http.post("/refresh/shop", content=b"{"))
    assert {(reply.status_code, reply.text, tuple(reply.headers.multi_items())) for reply in replies} == {
        (404, replies[0].text, tuple(replies[0].headers.multi_items()))
    }
    assert recorder.asked == []


NUMBERS = ["1e400", "-1e400", "NaN", "Infinity", "1" * 400, "1" * 5_000, "-0.0", "[[[]]]", '{"a": 1}', "true", "null"]
LABELS = ['"\\ud800"', '"\\u0000"', '"a\\nb"', "[1]", "{}", "1e400", "true", f'"{"x" * 5000}"', '"\\u202e"']


def test_odd_labels_and_numbers_are_answered_and_counted() -> None:
    """Never a fault of the server: a right hash is answered without the label, a wrong one is a miss."""
    http, recorder = client(Answer(Outcome.FRESH))

    async def ask() -> None:
        for number, label in itertools.product(NUMBERS, LABELS):
            by = f'"by": {{"map_index": {number}, "dag_id": {label}}}'
            _, right = await post(http.app, "/refresh/shop", f'{{"seen": "{SEEN}", {by}}}'.encode())
            _, wrong = await post(http.app, "/refresh/shop", f'{{"seen": {number}, {by}}}'.encode())
            # The former does not reach the refresh where the body is no JSON for Python.
            assert (right["outcome"], wrong["outcome"]) in (("fresh", "no_match"), ("no_match", "no_match"))

    asyncio.run(ask())
    assert len(recorder.asked) >= len(LABELS) * (len(NUMBERS) - 1)
    for _, _, asker in recorder.asked:
        assert (asker.map_index, asker.dag_id.strip("x"), len(asker.dag_id) <= 250) == (-1, "", True)


def test_strangers_get_one_answer_however_often_they_ask() -> None:
    """Malformed, wrong or about nothing: the thousandth is answered like the first, while checking is no burden."""
    http, _ = client(Answer(Outcome.FRESH))
    bodies = [b"{", b'{"seen": 1e400}', json.dumps({"seen": "0" * 64}).encode()]

    async def ask() -> set[tuple[int, str]]:
        found = set()
        for number in range(1_000):
            status, reply = await post(http.app, ("/refresh/shop", "/refresh/nobody")[number % 2], bodies[number % 3])
            found.add((status, json.dumps(reply)))
        return found

    assert {status for status, _ in asyncio.run(ask())} == {404}
    assert len(asyncio.run(ask())) == 1


def test_strangers_that_keep_the_checks_busy_are_told_to_come_back() -> None:
    """All alike, malformed ones too: among them may be tasks whose claims could not be checked."""
    goes_on, recorder = threading.Event(), Recorder(Answer(Outcome.FRESH), "shop")

    def hashes(conn_id: str) -> frozenset[str]:
        goes_on.wait(20)
        return recorder.hashes(conn_id)

    trigger = Trigger(recorder, FakeClock(), hashes=hashes, listed=recorder.listed)  # type: ignore[arg-type]
    app, claim = create_app(trigger), json.dumps({"seen": SEEN}).encode()

    async def ask() -> set[str]:
        for _ in range(301):
            await post(app, "/refresh/shop", b"{")
        waiting = [asyncio.create_task(post(app, f"/refresh/random-{number}", claim)) for number in range(20)]
        while not trigger.is_busy:  # noqa: ASYNC110 - nothing tells when
            await asyncio.sleep(0)
        later = [await post(app, *request) for request in (("/refresh/shop", b"{"), ("/refresh/nobody", claim))]
        goes_on.set()
        await asyncio.gather(*waiting)
        return {reply["outcome"] for _, reply in later}

    assert asyncio.run(ask()) == {"busy"}


def test_wrong_hash_never_takes_a_connections_place() -> None:
    """It is checked before: while a grant of ten seconds is under way, and when nobody is inside."""
    http, recorder = client(Answer(Outcome.FRESH))
    inside, goes_on = threading.Event(), threading.Event()
    refresh = recorder.refresh

    def slow(conn_id: str, claim: Claim, asker: Asker) -> Answer:
        inside.set()
        goes_on.wait(20)
        return refresh(conn_id, claim, asker)

    recorder.refresh = slow  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(http.post, "/refresh/shop", json={"seen": SEEN})
        assert inside.wait(20)
        wrong = [http.post("/refresh/shop", json={"seen": f"{number:064x}"}).status_code for number in range(20)]
        right = http.post("/refresh/shop", json={"seen": SEEN})
        goes_on.set()
        assert first.result(20).json()["outcome"] == "fresh"
    assert wrong == [404] * 20
    assert (right.status_code, right.json()["outcome"]) == (503, "busy")
    assert len(recorder.asked) == 1


def test_new_tokens_hash_is_known_at_once_after_a_rotation() -> None:
    """Behind a proxy through which wrong hashes pour, the task that asks with it is not told to come back."""
    http, recorder = client(Answer(Outcome.REFRESHED))
    for _ in range(400):
        http.post("/refresh/nobody", json={"seen": "b" * 64})
    new = "e" * 64
    refresh = recorder.refresh

    def rotate(conn_id: str, claim: Claim, asker: Asker) -> Answer:
        recorder.stored[conn_id] = {new}
        return refresh(conn_id, claim, asker)

    recorder.refresh = rotate  # type: ignore[method-assign]
    assert http.post("/refresh/shop", json={"seen": SEEN}).json()["outcome"] == "refreshed"
    reads = len(recorder.reads)
    recorder.answer = Answer(Outcome.FRESH)
    assert http.post("/refresh/shop", json={"seen": new}).json()["outcome"] == "fresh"
    assert len(recorder.reads) == reads


@pytest.mark.parametrize("targets", [("shop",), ("nobody", "nothing"), ("shop", "other", "nobody", "a b")])
def test_right_claim_gets_through_a_flood_within_fifteen_seconds(targets: tuple[str, ...]) -> None:
    """300 wrong hashes a second through one proxy; another API server rotates the token in the midst of it.

    Each second of the test's clock holds 300 wrong claims and one right one. A connection is read a few times a second
    at most, however many wrong claims name it.
    """
    clock = FakeClock()
    http, recorder = client(Answer(Outcome.FRESH), "shop", "other", clock=clock)

    async def flood() -> list[str]:
        outcomes, wrong = [], itertools.count()
        for second in range(10):
            held = SEEN
            if second >= 5:  # rotated elsewhere: nothing tells this server
                held = "f" * 64
                recorder.stored["shop"] = {held}
            for number in range(300):
                conn_id = targets[number % len(targets)]
                _, refusal = await post(http.app, f"/refresh/{conn_id}", {"seen": f"{next(wrong):064x}"})
                assert refusal["outcome"] in ("no_match", "busy")
                clock.sleep(1 / 300)
            _, answer = await post(http.app, "/refresh/shop", {"seen": held})
            outcomes.append(answer["outcome"])
        return outcomes

    outcomes = asyncio.run(flood())
    assert "fresh" in outcomes[:3]
    assert "fresh" in outcomes[5:8]
    existing = [conn_id for conn_id in recorder.reads if conn_id in ("shop", "other")]
    assert len(existing) <= 2 * 2.5 * 10
    assert len(recorder.reads) - len(existing) <= 300 + 5.5 * 10


@pytest.mark.parametrize("error", [RefreshPending("busy"), OperationalError("SELECT", {}, Exception())])
def test_claim_that_cannot_be_checked_is_to_come_back(error: Exception) -> None:
    """The database or a secrets backend is away: the same for the right hash and for a wrong one."""
    http, recorder = client(Answer(Outcome.FRESH))
    recorder.fails = error
    replies = [http.post("/refresh/shop", json={"seen": seen}) for seen in (SEEN, "b" * 64)]
    assert [(reply.status_code, reply.headers["retry-after"]) for reply in replies] == [(503, "2")] * 2
    recorder.fails = None
    assert http.post("/refresh/shop", json={"seen": SEEN}).json()["outcome"] == "fresh"


def test_fault_of_a_refresh_is_one_bad_answer_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Without the error's text, which may quote a secret. The place is free again."""
    http, recorder = client(Answer(Outcome.FRESH))
    recorder.answer = TypeError("a secret word")
    for _ in range(2):
        reply = http.post("/refresh/shop", json={"seen": SEEN})
        assert (reply.status_code, reply.json()["outcome"]) == (503, "busy")
    assert "unexpected error: TypeError (" in caplog.text
    assert "secret word" not in caplog.text
    recorder.answer = Answer(Outcome.FRESH)
    assert http.post("/refresh/shop", json={"seen": SEEN}).json()["outcome"] == "fresh"
