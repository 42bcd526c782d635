"""The token ledger on real databases, with several real processes, some of them killed."""

from __future__ import annotations

import itertools
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tools.databases import DATABASES, available
from tools.deployment import Deployment, deployed, finish, release

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR")]
#: Seconds.
LIFE = 1
LEDGER = "lightspeed_default__lightspeed_tokens"

WORKER = """
import sys
from airflow_provider_lightspeed.hooks.lightspeed import LightspeedHook
hook = LightspeedHook()
print("ready", flush=True)
sys.stdin.readline()
print(hook.count("Sale"), flush=True)
"""

#: A refresh whose exchange does something between the server's answer and the commit.
MEANWHILE = """
import sys
from airflow_provider_lightspeed.auth.step import Claim
from airflow_provider_lightspeed.compat import new_session
from airflow_provider_lightspeed.tokens.refresh import Refresher, default_exchange
from airflow_provider_lightspeed.tokens.store import peek
exchange, times = default_exchange(), []
def meanwhile():
    {meanwhile}
def slow(request):
    reply = exchange(request)
    times.append(1)
    if len(times) == 1:
        meanwhile()
    return reply
found = peek("lightspeed_default")
held = found.ledger.token.access_token if found.ledger.token else found.stored.settings.refresh_token
claim = Claim(held.fingerprint())
print("ready", flush=True)
sys.stdin.readline()
print(Refresher(slow).refresh("lightspeed_default", claim).outcome.value, flush=True)
"""

#: Asks for a refresh, three times in a row.
PERSISTENT = """
import sys
from airflow_provider_lightspeed.auth.step import Claim
from airflow_provider_lightspeed.tokens.refresh import Refresher
from airflow_provider_lightspeed.tokens.store import peek
claim = Claim(peek("lightspeed_default").stored.settings.refresh_token.fingerprint())
print("ready", flush=True)
sys.stdin.readline()
print(*(Refresher().refresh("lightspeed_default", claim).outcome.value for _ in range(3)))
"""

DIE = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"

#: What a person's *Save* does while a grant is on its way: another session changes the user's own row.
EDIT_THE_FORM = """
    import json
    from airflow.models.connection import Connection
    session = new_session()
    row = session.query(Connection).filter(Connection.conn_id == "lightspeed_default").one()
    row.set_extra(json.dumps({**json.loads(row.extra), "scope": "employee:reports"}))
    session.commit()
"""

#: What a person saves when a writer of the ledger has its answer from Lightspeed and is about to write, as Airflow's API
#: does it: the whole extra, or a row of its own. Then whoever holds the new token asks for a refresh.
SAVES = """
import json, sys
from airflow_provider_lightspeed.auth.step import Claim
from airflow_provider_lightspeed.exceptions import LightspeedError
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.tokens import dialects
from airflow_provider_lightspeed.tokens.connect import Consents
from airflow_provider_lightspeed.tokens.refresh import Refresher
from airflow_provider_lightspeed.tokens.store import LockedLedger
from tests.support.token_steps import delete, patch, recreate, redeem, row_of, set_out, stored_pair
# InnoDB lets nobody post a row anew that lies beside a locked one; at last MariaDB ends the session that holds the lock.
dialects.IDLE_TIMEOUT = 3
def refresh(conn_id, seen):
    return Refresher().refresh(conn_id, Claim(Secret(seen).fingerprint())).outcome.value
WRITERS = {
    "refresh": lambda conn_id, old: refresh(conn_id, old),
    "connect": lambda conn_id, old: str(Consents().adopt(redeem(set_out(conn_id)))),
    "disconnect": lambda conn_id, old: Consents().disconnect(conn_id, "Ann"),
}
SAVES = {
    "new token": lambda conn_id, form: patch(conn_id, extra=form),
    "created anew": lambda conn_id, form: recreate(conn_id, extra=form),
    "client ID": lambda conn_id, form: patch(conn_id, login="another"),
    "deleted": lambda conn_id, form: delete(conn_id),
}
save = LockedLedger.save
def run(writer, edit, conn_id, old, form):
    def late(*args, **named):
        LockedLedger.save = save
        SAVES[edit](conn_id, form)
        return save(*args, **named)
    LockedLedger.save = late
    try:
        ended = WRITERS[writer](conn_id, old)
    except LightspeedError as error:
        ended = type(error).__name__
    row, pair = row_of(conn_id), stored_pair(conn_id)
    adopted = refresh(conn_id, json.loads(form)["refresh_token"])
    after = stored_pair(conn_id)
    return {"ended": ended, "row": row, "has pair": pair is not None, "adopted": adopted,
            "token": after and after.refresh_token.fingerprint()}
print(json.dumps([run(**case) for case in json.loads(sys.argv[1])]))
"""

#: The database ends our session (it was idle too long, a failover, an operator), and another process refreshes.
LOSE_THE_SESSION = """
    from sqlalchemy import text
    session = new_session()
    session.execute(text("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                         " WHERE state = 'idle in transaction' AND pid <> pg_backend_pid()"))
    session.commit()
    print("other:", Refresher().refresh("lightspeed_default", claim).outcome.value)
"""

#: Airflow's own command, held when it has loaded the rows and is about to write them.
ROTATION = """
import sys
from sqlalchemy import event
from sqlalchemy.orm import Session
held = []
def hold(session, *_):
    if session.dirty and not held:
        held.append(1)
        print("ready", flush=True)
        sys.stdin.readline()
event.listen(Session, "before_flush", hold)
from airflow.__main__ import main
sys.argv = ["airflow", "rotate-fernet-key"]
main()
"""


#: What somebody does who may set variables, and nothing else.
PLANTING = """
import json
from airflow.models.variable import Variable
from sqlalchemy import select
from airflow_provider_lightspeed.auth.codec import dump
from airflow_provider_lightspeed.compat import new_session
from airflow_provider_lightspeed.tokens.copies import copy_key
from airflow_provider_lightspeed.tokens.store import peek
conn_id = "lightspeed_default"
before = peek(conn_id)
session, table = new_session(), Variable.__table__
genuine = session.execute(select(table).where(table.c.key.contains("lightspeed_tokens")).order_by(table.c.key)).mappings().all()
evil = json.dumps({"ledger": {**dump(before.ledger), "generation": 99, "failure": "disconnected"}, "attempts": []})
keys = [copy_key(conn_id, before.ledger.generation, before.copy.turn + 1), copy_key(conn_id, before.ledger.generation + 1, 0)]
keys += [copy_key(conn_id, 50 + number, 0) for number in range(300)]
for number, key in enumerate(keys):
    session.add(Variable(key=key, val=[evil, "garbage", "[1]"][number % 3]))
session.add(Variable(key=copy_key(conn_id, 999, 0), val=json.loads(json.dumps(evil))))
session.flush()
copied = {"val": genuine[0]["val"], "is_encrypted": True}
session.execute(table.insert().values(key=copy_key(conn_id, 998, 0), **copied))
session.commit()
assert dump(peek(conn_id).ledger) == dump(before.ledger)
"""

#: As long as an ID may be; its letters take two bytes each.
LONG_ID = "\u00e9" * 212


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[pytest.mark.slow] if name in ("mariadb", "pgbouncer") else []) for name in DATABASES
    ],
)
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    if request.param not in available():
        pytest.skip(f"{request.param} is not installed")
    with deployed(request.param, tmp_path_factory.mktemp(request.param)) as made:
        yield made


@contextmanager
def connected(deployment: Deployment, **options: Any) -> Iterator[SimulatorProcess]:
    with SimulatorProcess(sales=50, items=5, customers=5, days=5, no_limits=True, **options) as running:
        try:
            deployment.connect(running)
            yield running
        finally:
            deployment.forget()


@pytest.fixture
def simulator(deployment: Deployment) -> Iterator[SimulatorProcess]:
    with connected(deployment) as running:
        yield running


@contextmanager
def short_lived(deployment: Deployment) -> Iterator[SimulatorProcess]:
    """An account whose access tokens are soon to be replaced, by the database's clock, which the ledger goes by.

    The account's own clock stands still: it takes every token for good, however slow the machine is.
    """
    with connected(deployment, token_life=LIFE, now=datetime.now(UTC).isoformat()) as running:
        yield running


def work_with_a_new_token(deployment: Deployment) -> None:
    """Read the account when the life of the stored access token is over."""
    time.sleep(LIFE)
    assert finish(deployment.start("-c", WORKER)) == (0, "50")


def statuses(simulator: SimulatorProcess) -> list[int]:
    return [entry["status"] for entry in simulator.audit("token")["requests"]]


def test_processes_at_the_same_moment_spend_one_refresh_token(
    deployment: Deployment, simulator: SimulatorProcess
) -> None:
    """The lock lets one through; the others find its token. All read the account."""
    simulator.faults({"action": "slow", "path": "/token", "seconds": 0.5, "count": None})
    workers = deployment.start_all([(("-c", WORKER), {})] * 6)
    release(workers)
    assert [finish(worker) for worker in workers] == [(0, "50")] * 6
    assert statuses(simulator) == [200]


def test_one_answer_that_asks_to_wait_stops_all_processes(deployment: Deployment, simulator: SimulatorProcess) -> None:
    """``Retry-After`` is kept beside the attempts: of many requests for a refresh, one is sent."""
    asked = {
        "action": "status",
        "path": "/oauth/token",
        "status": 429,
        "headers": {"Retry-After": "600"},
        "count": None,
    }
    simulator.faults(asked)
    processes = deployment.start_all([(("-c", PERSISTENT), {})] * 4)
    release(processes)
    ended = [finish(process) for process in processes]
    assert {status for status, _ in ended} == {0}
    assert {word for _, line in ended for word in line.split()} <= {"unavailable", "busy"}
    assert statuses(simulator) == [429]


def test_process_killed_with_the_grant_in_hand_costs_nobody_the_grant(
    deployment: Deployment, simulator: SimulatorProcess
) -> None:
    """``kill -9`` between the answer and the commit: the next process goes on, and what is stored is alive."""
    status, _ = finish(deployment.start("-c", MEANWHILE.replace("{meanwhile}", DIE)))
    assert status == -signal.SIGKILL
    assert finish(deployment.start("-c", WORKER)) == (0, "50")
    assert statuses(simulator) == [200, 200]
    stored = deployment.stored()
    assert stored["lightspeed_default"]["refresh_token"] == stored[LEDGER]["token"]["refresh_token"]


def test_form_saved_during_a_grant_keeps_what_was_typed(deployment: Deployment, simulator: SimulatorProcess) -> None:
    """The write-back reads the user's row anew, not what it saw before the grant."""
    assert finish(deployment.start("-c", MEANWHILE.replace("{meanwhile}", EDIT_THE_FORM))) == (0, "refreshed")
    stored = deployment.stored()
    assert stored["lightspeed_default"]["scope"] == "employee:reports"
    assert stored["lightspeed_default"]["refresh_token"] == stored[LEDGER]["token"]["refresh_token"]


def test_person_who_saves_meanwhile_has_the_last_word(deployment: Deployment, simulator: SimulatorProcess) -> None:
    """What they saved stands in the row afterwards, the pair of the old grant does not, and a new token is adopted."""
    names = list(
        itertools.product(["refresh", "connect", "disconnect"], ["new token", "created anew", "client ID", "deleted"])
    )
    cases, olds, news = [], [], []
    for number, (writer, edit) in enumerate(names):
        fields = deployment.connect(simulator, f"shop_{number}")
        olds.append(json.loads(fields["extra"]))
        news.append(simulator.grant())
        form = json.dumps({**olds[-1], "refresh_token": news[-1]["refresh_token"]})
        case = {"writer": writer, "edit": edit, "conn_id": f"shop_{number}", "old": olds[-1]["refresh_token"]}
        cases.append({**case, "form": form})
    ended = json.loads(deployment.run("-c", SAVES, json.dumps(cases)).splitlines()[-1])
    live = {grant["grant_id"]: grant["live_refresh_tokens"] for grant in simulator.grants()}
    ends = {"refresh": "refreshed", "connect": "InvalidArgument", "disconnect": None}
    for (writer, edit), case, old, new, found in zip(names, cases, olds, news, ended, strict=True):
        assert found["ended"] == ends[writer], (writer, edit)
        assert found["has pair"] is (writer == "refresh"), (writer, edit)
        if edit in ("new token", "created anew"):
            assert json.loads(found["row"]["extra"]) == json.loads(case["form"]), (writer, edit)
            assert found["adopted"] == "refreshed", (writer, edit)
            assert found["token"] in live[new["grant_id"]], (writer, edit)
        elif edit == "client ID":
            assert json.loads(found["row"]["extra"]) == old, (writer, edit)
        else:
            assert found["row"] is None, (writer, edit)


def test_holder_that_lost_its_session_does_not_overwrite_its_successor(
    deployment: Deployment, simulator: SimulatorProcess
) -> None:
    """Its pair is noted beside the winner's, and the winner's goes on."""
    if "postgresql" not in deployment.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]:
        pytest.skip("sessions are ended with Postgres' own function")
    assert finish(deployment.start("-c", MEANWHILE.replace("{meanwhile}", LOSE_THE_SESSION))) == (0, "busy")
    ledger = deployment.stored()[LEDGER]
    assert ledger["generation"] == 1
    assert len(ledger["sibling_tokens"]) == 1
    assert statuses(simulator) == [200, 200]
    assert finish(deployment.start("-c", WORKER)) == (0, "50")


def test_tokens_lie_encrypted(deployment: Deployment, simulator: SimulatorProcess) -> None:
    """In the database itself, nothing of a token can be read."""
    finish(deployment.start("-c", WORKER))
    token = deployment.stored()["lightspeed_default"]["refresh_token"]
    raw = deployment.run(
        "-c",
        "from sqlalchemy import text; from airflow_provider_lightspeed.compat import new_session\n"
        "print([tuple(row) for table in ('connection', 'variable')"
        " for row in new_session().execute(text(f'select * from {table}'))])",
    )
    assert raw.count(LEDGER) == 3  # the companion, a copy with the attempt, and one with the pair
    assert token not in raw
    assert simulator.client_secret not in raw


def test_refresh_during_a_key_rotation_is_not_undone(deployment: Deployment) -> None:
    """A rotation writes back what it had loaded before the refresh: the pair that it never saw goes on."""
    environment, key = deployment.environment, "AIRFLOW__CORE__FERNET_KEY"
    with short_lived(deployment) as simulator:
        work_with_a_new_token(deployment)
        before = deployment.stored()[LEDGER]["generation"]
        new = Fernet.generate_key().decode()
        environment[key] = f"{new},{environment[key]}"
        rotation = deployment.start("-c", ROTATION)
        work_with_a_new_token(deployment)
        assert finish(rotation)[0] == 0
        assert deployment.stored()[LEDGER]["generation"] == before
        work_with_a_new_token(deployment)
        deployment.airflow("rotate-fernet-key")
        environment[key] = new
        work_with_a_new_token(deployment)
        assert deployment.stored()[LEDGER]["generation"] == len(statuses(simulator)) >= 4
        assert set(statuses(simulator)) == {200}
        assert simulator.counters().get("dead_refresh_tokens", 0) == 0


def test_export_imported_after_later_refreshes_loses_nothing(deployment: Deployment, tmp_path: Path) -> None:
    """The newer pair goes on, although the import has put both rows back to an older one."""
    export = tmp_path / "connections.json"
    with short_lived(deployment) as simulator:
        work_with_a_new_token(deployment)
        deployment.airflow("connections", "export", str(export), "--file-format", "json")
        work_with_a_new_token(deployment)
        deployment.airflow("connections", "import", str(export), "--overwrite")
        work_with_a_new_token(deployment)
        assert simulator.counters().get("dead_refresh_tokens", 0) == 0
        assert deployment.stored()[LEDGER]["generation"] == len(statuses(simulator)) >= 3


def test_companion_deleted_and_connection_applied_anew_lose_nothing(deployment: Deployment) -> None:
    """The grant goes on without the companion, and after a deploy tool put the first refresh token back."""
    with short_lived(deployment) as simulator:
        seed = json.dumps(deployment.stored()["lightspeed_default"])
        fields = {"conn_type": "lightspeed", "login": simulator.client_id, "password": simulator.client_secret}
        original = json.dumps({**fields, "host": simulator.base_url, "extra": seed})
        work_with_a_new_token(deployment)
        deployment.airflow("connections", "delete", LEDGER)
        work_with_a_new_token(deployment)
        deployment.airflow("connections", "delete", "lightspeed_default")
        deployment.airflow("connections", "add", "lightspeed_default", "--conn-json", original)
        work_with_a_new_token(deployment)
        assert simulator.counters().get("dead_refresh_tokens", 0) == 0
        assert deployment.stored()[LEDGER]["generation"] == len(statuses(simulator)) >= 3


def test_planted_copies_change_nothing(deployment: Deployment) -> None:
    """Hundreds of them, above the newest and where the next ones go: refreshes go on, from the same ledger."""
    with short_lived(deployment) as simulator:
        work_with_a_new_token(deployment)
        deployment.run("-c", PLANTING)
        work_with_a_new_token(deployment)
        work_with_a_new_token(deployment)
        assert deployment.stored()[LEDGER]["generation"] == len(statuses(simulator)) >= 3
        assert set(statuses(simulator)) == {200}
        assert simulator.counters().get("dead_refresh_tokens", 0) == 0


def test_longest_id_of_letters_that_take_two_bytes(deployment: Deployment, simulator: SimulatorProcess) -> None:
    """Companion, copies and lock have names for it too."""
    from airflow_provider_lightspeed.compat import AIRFLOW_V_3_0_PLUS

    if not AIRFLOW_V_3_0_PLUS:
        pytest.skip("Airflow 2 takes no such letters in a connection's ID")
    deployment.connect(simulator, LONG_ID)
    worker = WORKER.replace("LightspeedHook()", f"LightspeedHook({LONG_ID!a})")
    assert finish(deployment.start("-c", worker)) == (0, "50")
    stored = deployment.stored()
    assert stored[f"{LONG_ID}__lightspeed_tokens"]["generation"] == 1
    assert statuses(simulator) == [200]


def test_connections_that_differ_in_case_are_not_mixed_up(deployment: Deployment, simulator: SimulatorProcess) -> None:
    """Where the database tells them apart, each has its ledger; where it does not, both names are one connection."""
    deployment.connect(simulator, "shop")
    is_mysql = "mysql" in deployment.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    if is_mysql:
        with pytest.raises(AssertionError, match="Duplicate"):
            deployment.connect(simulator, "SHOP")
    else:
        deployment.connect(simulator, "SHOP")
    for conn_id in ("shop", "SHOP"):
        worker = WORKER.replace("LightspeedHook()", f"LightspeedHook({conn_id!r})")
        assert finish(deployment.start("-c", worker)) == (0, "50")
    stored = deployment.stored()
    ledgers = {conn_id: extra["generation"] for conn_id, extra in stored.items() if conn_id.endswith("_tokens")}
    both = {"shop__lightspeed_tokens": 1, "SHOP__lightspeed_tokens": 1}
    assert ledgers == ({"shop__lightspeed_tokens": 1} if is_mysql else both)
    assert statuses(simulator) == ([200] if is_mysql else [200, 200])
