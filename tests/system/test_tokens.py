"""Tokens in a whole Airflow 3: two API server processes below a path, on Postgres, and tasks that cannot reach it."""

from __future__ import annotations

import base64
import json
import random
import re
import string
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

pytest.importorskip("airflow.sdk")

from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.exceptions import Unreachable
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens.asker import Asker
from airflow_provider_lightspeed.tokens.trigger import RefreshTrigger
from tests.system.conftest import RunningAirflow
from tools.airflow_api import wait_until
from tools.reverse_proxy import reverse_proxy

pytestmark = [pytest.mark.timeout(420), pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR")]
CONN = "tokens"
LEDGER = f"{CONN}__lightspeed_tokens"
#: A JWT that this provider's server signed: its payload names the account.
JWT = re.compile(r"eyJ[\w-]{8,}\.(eyJ[\w-]{8,})\.[\w-]+")


class Deployment:
    """The stack, the account and what was put into the connection."""

    def __init__(self, airflow: RunningAirflow, simulator: SimulatorProcess, extra: dict[str, Any]) -> None:
        self.airflow, self.stack, self.simulator, self.extra = airflow, airflow.stack, simulator, extra

    def post(self, body: bytes, conn_id: str = CONN) -> requests.Response:
        """Send something to the refresh trigger."""
        headers = {"Content-Type": "application/json"}
        return requests.post(f"{self.stack.url}/lightspeed/refresh/{conn_id}", body, headers=headers, timeout=60)

    def grants(self) -> int:
        """Return how many requests the token endpoint has seen."""
        return len(self.simulator.audit("token")["requests"])


@pytest.fixture(scope="module")
def deployment(airflow: RunningAirflow) -> Iterator[Deployment]:
    with SimulatorProcess(sales=20, items=5, customers=5, days=3, no_limits=True) as simulator:
        fields = simulator.connection(refresh_token=simulator.grant()["refresh_token"])
        airflow.stack.api.add_connection(CONN, "lightspeed", **fields)
        yield Deployment(airflow, simulator, json.loads(fields["extra"]))


def test_stranger_learns_nothing_whatever_they_send(deployment: Deployment) -> None:
    """No hash, a wrong one, another connection's, a replayed one, too much, and 1,000 random bodies: one answer."""
    first = {"seen": deployment.stack.seen(CONN)}
    assert deployment.stack.refresh(CONN) == "refreshed"
    before, grants = deployment.stack.stored_extra(LEDGER), deployment.grants()
    other = {"auth_url": deployment.simulator.base_url, "refresh_token": "another-connections-token"}
    deployment.stack.api.add_connection("other", "lightspeed", login="x", password="y", extra=json.dumps(other))
    chance = random.Random(1)  # noqa: S311 - bodies, not secrets
    bodies = [
        b"",
        b"{}",
        json.dumps({"seen": "0" * 64}).encode(),
        json.dumps({"seen": deployment.stack.seen("other")}).encode(),
        json.dumps(first).encode(),
        json.dumps({"seen": deployment.stack.seen(CONN), "by": "x" * 9_000}).encode(),
        b"[" * 8_000,
        *(chance.randbytes(chance.randrange(200)) for _ in range(500)),
        *(
            json.dumps({chance.choice(["seen", "refused", "by", "x"]): _junk(chance) for _ in range(3)}).encode()
            for _ in range(500)
        ),
    ]
    answers = {_answer(deployment.post(body)) for body in bodies}
    answers |= {_answer(deployment.post(bodies[2], name)) for name in ("nobody", LEDGER, "a%00b", "x" * 300)}
    assert len(answers) == 1
    status, text, _ = next(iter(answers))
    assert status == 404
    assert json.loads(text) == {"outcome": "no_match", "generation": 0, "expires_in": 0.0, "retry_after": 0.0}
    assert deployment.stack.stored_extra(LEDGER) == before
    assert deployment.grants() == grants


def _junk(chance: random.Random) -> Any:
    kinds: list[Any] = [
        None,
        True,
        1e300,
        "a" * 64,
        "".join(chance.choices(string.printable, k=64)),
        [],
        {"seen": "0" * 64},
    ]
    return chance.choice([*kinds, "".join(chance.choices("0123456789abcdef", k=64))])


def _answer(reply: requests.Response) -> tuple[int, str, str]:
    varying = {"date", "server", "content-length", "connection"}
    headers = sorted(f"{name}: {value}" for name, value in reply.headers.items() if name.lower() not in varying)
    return reply.status_code, reply.text, "\n".join(headers)


def test_changed_destination_sends_nothing(deployment: Deployment) -> None:
    """Somebody who may edit the connection points it elsewhere: no secret goes there until a person reconnects."""
    with SimulatorProcess(sales=5, items=5, customers=5, days=3) as evil:
        for change in ({"host": evil.base_url}, {"extra": json.dumps({**deployment.extra, "auth_url": evil.base_url})}):
            kept = deployment.stack.api.call("GET", f"connections/{CONN}")
            mask = list(change)
            body = {"connection_id": CONN, "conn_type": "lightspeed", **change}
            deployment.stack.api.call("PATCH", f"connections/{CONN}", body, update_mask=mask)
            assert deployment.stack.refresh(CONN) == "no_grant"
            back = {"host": kept["host"], "extra": json.dumps(deployment.extra)}
            body = {"connection_id": CONN, "conn_type": "lightspeed", **back}
            deployment.stack.api.call("PATCH", f"connections/{CONN}", body, update_mask=["host", "extra"])
        assert evil.audit()["requests"] == []
    assert deployment.stack.refresh(CONN) == "fresh"


def test_tasks_share_the_token_and_leave_no_secret_anywhere(deployment: Deployment) -> None:
    """Logs at DEBUG with ``http.client`` talking, a failing task's locals, XCom, rendered fields, events, lineage."""
    api = deployment.stack.api
    api.wait_for_dag("tokens")
    run_id = api.trigger("tokens")
    assert api.wait_for_run("tokens", run_id, timeout=180) == "failed"
    states = {f"{task['task_id']}{task['map_index']}": task["state"] for task in api.task_instances("tokens", run_id)}
    assert states == {"fail-1": "failed", "use0": "success", "use1": "success", "use2": "success"}
    assert deployment.grants() == 1
    events = api.call("GET", "eventLogs", event="lightspeed.token_refresh", limit=10)["event_logs"]
    ours = [facts for event in events if (facts := json.loads(event["extra"]))["conn_id"] == CONN]
    assert [facts["outcome"] for facts in ours] == ["refreshed"]
    assert "airflow.lightspeed.token_refresh" in deployment.airflow.metrics
    ledger = deployment.stack.stored_extra(LEDGER) or {}
    secrets = {
        "client secret": deployment.simulator.client_secret,
        "seed": deployment.extra["refresh_token"],
        "access token": ledger["token"]["access_token"],
        "refresh token": ledger["token"]["refresh_token"],
    }
    lineage = partial(_lineage, deployment.airflow.folder / "lineage")
    places = deployment.airflow.logs
    places |= {"lineage": wait_until("all lineage events", lineage, timeout=60)}
    places |= {"database": json.dumps(deployment.stack.dump(), default=str)}
    assert any("its client" in text for text in places.values())
    assert any("ValueError" in text for text in places.values())
    for where, text in places.items():
        for name, secret in secrets.items():
            assert secret not in text, f"{name} in {where}"
        for found in JWT.finditer(text):
            assert '"acct"' not in _decoded(found[1]), f"an access token in {where}"


def _lineage(folder: Path) -> str | None:
    """Return what OpenLineage was told, once it was told how each task ended: a task ends before it tells."""
    texts = [file.read_text() for file in folder.iterdir()]
    try:
        told = {(event["job"]["name"], event["eventType"]) for event in map(json.loads, texts)}
    except ValueError:  # one is being written
        return None
    return "\n".join(texts) if told >= {("tokens.use", "COMPLETE"), ("tokens.fail", "FAIL")} else None


def _decoded(part: str) -> str:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode(errors="replace")


def test_connection_test_uses_the_stored_grant(deployment: Deployment) -> None:
    """The form's *Test* sends a copy under a random ID; what is refreshed, if anything, is the stored connection."""
    fields = deployment.simulator.connection(refresh_token=deployment.extra["refresh_token"])
    stored = {"connection_id": CONN, "conn_type": "lightspeed", **fields}
    found = deployment.stack.api.call("POST", "connections/test", stored)
    assert found["status"] is True, found
    assert deployment.simulator.account_id in found["message"]
    seed = deployment.simulator.grant()["refresh_token"]
    unsaved = {**stored, "connection_id": "unsaved", "extra": json.dumps({**deployment.extra, "refresh_token": seed})}
    grants = deployment.grants()
    found = deployment.stack.api.call("POST", "connections/test", unsaved)
    assert found["status"] is False
    assert "Save the connection" in found["message"]
    assert deployment.grants() == grants


@pytest.mark.parametrize("is_stored", [True, False])
def test_asynchronous_connection_test_spends_nothing(deployment: Deployment, is_stored: bool) -> None:
    """Airflow 3.3 tests a copy on a worker; an unsaved one is only looked at."""
    token = deployment.extra["refresh_token"] if is_stored else deployment.simulator.grant()["refresh_token"]
    fields = deployment.simulator.connection(refresh_token=token)
    body = {"connection_id": CONN if is_stored else "unsaved", "conn_type": "lightspeed", **fields}
    grants = deployment.grants()
    api = deployment.stack.api

    queued = api.call("POST", "connections/enqueue-test", body)

    def ended() -> dict[str, Any] | None:
        found = api.poll_connection_test(queued["token"])
        return found if found["state"] in ("success", "failed") else None

    found = wait_until("the test ended", ended, timeout=120)
    assert deployment.grants() == grants
    assert (found["state"] == "success") is is_stored, found
    if not is_stored:
        assert "Save the connection" in found["result_message"]


def new_claim(deployment: Deployment, conn_id: str) -> Claim:
    """Store a connection with a grant of its own and return what a task would claim."""
    fields = deployment.simulator.connection(refresh_token=deployment.simulator.grant()["refresh_token"])
    deployment.stack.api.add_connection(conn_id, "lightspeed", **fields)
    return Claim(deployment.stack.seen(conn_id))


@pytest.mark.parametrize("setting", ["LIGHTSPEED__API_SERVER_URL", "API__BASE_URL"])
def test_refresh_goes_through_a_reverse_proxy(deployment: Deployment, setting: str, monkeypatch: Any) -> None:
    """Another host and another path; the answer is the API server's."""
    conn_id = f"behind_a_proxy_{setting.lower()}"
    claim = new_claim(deployment, conn_id)
    with reverse_proxy(deployment.stack.url, "/data/team-a") as url:
        monkeypatch.setenv(f"AIRFLOW__{setting}", url)
        trigger = RefreshTrigger()
        answer = trigger.ask(conn_id, claim, Asker(user="test"))
        assert trigger._base == url
    assert (answer.outcome, answer.generation) == (Outcome.REFRESHED, 1)
    assert answer.expires_in > 0


def test_api_server_for_tasks_only_is_named_in_the_error(deployment: Deployment, monkeypatch: Any) -> None:
    """``--apps execution`` mounts no plugins: the task says which address it tried, what was there, and what to set."""
    claim = new_claim(deployment, "split")
    with deployment.stack.execution_api() as url:
        monkeypatch.setenv("AIRFLOW__LIGHTSPEED__API_SERVER_URL", url)
        with pytest.raises(Unreachable) as caught:
            RefreshTrigger().ask("split", claim, Asker(user="test"))
    for part in (f"{url}: status 404", "[lightspeed] api_server_url", "`--apps execution`"):
        assert part in str(caught.value)
    assert deployment.stack.refresh("split") == "refreshed"  # by the one that runs all apps
