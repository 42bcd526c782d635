"""``/_sim``: the levers for tests, and an audit without secrets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.served import START

Serve = Callable[..., Any]


def sha256(token: str) -> str:
    """Return a token's fingerprint."""
    return hashlib.sha256(token.encode()).hexdigest()


def test_audit_records_requests_by_fingerprint_and_no_token(serve: Serve) -> None:
    """Path, status, cost, level and the token's SHA-256; no secret in the whole report."""
    sim = serve()
    grant = sim.grant()
    new = sim.token(grant_type="refresh_token", refresh_token=grant["refresh_token"]).json()
    sim.get(new["access_token"], limit="1")
    report = sim.admin("GET", "audit")
    token, api = report["requests"]
    assert (token["kind"], token["token"], token["issued"]) == (
        "token",
        sha256(grant["refresh_token"]),
        sha256(new["refresh_token"]),
    )
    assert (api["kind"], api["path"]) == ("api", "/API/V3/Account/12345/Sale.json?limit=1")
    assert (api["status"], api["cost"], api["level"], api["rows"]) == (200, 1.0, 1.0, 1)
    assert api["token"] == sha256(new["access_token"])
    text = json.dumps(report)
    secrets = [grant["refresh_token"], grant["access_token"], new["refresh_token"], new["access_token"]]
    assert not any(secret in text for secret in [*secrets, sim.sim.client.secret])


def test_counters_tell_what_a_client_did_wrong(serve: Serve) -> None:
    """Dead refresh tokens, 429s and drips are counted without reading the requests."""
    sim = serve()
    grant = sim.grant()
    sim.token(grant_type="refresh_token", refresh_token="unknown")
    sim.admin("POST", "bucket", {"add": 95})
    sim.get(grant["access_token"])
    counters = sim.admin("GET", "audit?counters=1")["counters"]
    assert counters["grants"] == 1
    assert counters["unknown_refresh_tokens"] == 1
    assert (counters["bucket_429"], counters["drips"]) == (1, 0)
    sim.admin("DELETE", "audit")
    assert sim.admin("GET", "audit")["requests"] == []
    assert "grants" not in sim.admin("GET", "audit")["counters"]


def test_fault_before_the_work_is_audited_with_its_action(serve: Serve) -> None:
    """A failed request is in the record as well."""
    sim = serve()
    token = sim.grant()["access_token"]
    sim.admin("POST", "faults", [{"action": "status", "status": 503}])
    sim.get(token)
    (entry,) = sim.admin("GET", "audit")["requests"]
    assert (entry["status"], entry["fault"], entry["outcome"]) == (503, "status", "fault")
    assert sim.admin("GET", "faults")[0]["hits"] == 1
    assert sim.admin("DELETE", "faults") == []


def test_grants_are_listed_with_their_live_tokens(serve: Serve) -> None:
    """A test can ask which refresh tokens would still work."""
    sim = serve()
    grant = sim.grant()
    new = sim.token(grant_type="refresh_token", refresh_token=grant["refresh_token"]).json()
    live = {sha256(grant["refresh_token"]), sha256(new["refresh_token"])}
    assert set(sim.admin("GET", "grants")[0]["live_refresh_tokens"]) == live
    sim.get(new["access_token"])
    assert sim.admin("GET", "grants")[0]["live_refresh_tokens"] == [sha256(new["refresh_token"])]


@pytest.mark.parametrize("one", [True, False])
def test_revoked_grants_are_dead(serve: Serve, one: bool) -> None:
    """What a merchant can do in the settings of the account."""
    sim = serve()
    first, second = sim.grant(), sim.grant()
    sim.admin("POST", "grants/revoke", {"grant_id": first["grant_id"]} if one else {})
    assert sim.get(first["access_token"]).status_code == 401
    assert sim.get(second["access_token"]).status_code == (200 if one else 401)


def test_client_can_get_a_new_secret_and_redirect_uri(serve: Serve) -> None:
    """The old secret is refused from then on."""
    sim = serve()
    old = sim.credentials()
    changed = sim.admin("POST", "clients", {"regenerate_secret": True, "redirect_uri": "https://example.com/new"})
    assert changed["redirect_uri"] == "https://example.com/new"
    assert changed["client_secret"] not in ("", old["client_secret"])
    refresh = {"grant_type": "refresh_token", "refresh_token": sim.grant()["refresh_token"]}
    assert sim.token(**refresh, client_secret=old["client_secret"]).status_code == 401
    assert sim.token(**refresh).status_code == 200


def test_truth_and_mutate_reach_the_world(serve: Serve) -> None:
    """Rows as the world holds them, and changes with their arguments."""
    sim = serve()
    assert sim.admin("GET", "truth/Sale") == [{"resource": "Sale"}]
    assert sim.admin("POST", "mutate", {"action": "sell", "count": 3}) == {"done": "sell"}
    now = datetime.fromtimestamp(START, UTC).isoformat()
    assert sim.world.done == [("sell", {"count": 3, "at": now})]
    assert sim.admin("GET", "changes") == [{"action": "sell"}]
    assert sim.admin("GET", "changes?after=1") == []


@pytest.mark.parametrize(
    ("path", "body"),
    [("faults", {"action": "explode"}), ("clock", {"advance": -1}), ("clock", {}), ("grants", {"scope": "x"})],
)
def test_bad_admin_call_is_400_with_the_reason(serve: Serve, path: str, body: dict[str, Any]) -> None:
    """A mistake in a test must show."""
    reply = serve().call("POST", f"/_sim/{path}", json=body)
    assert reply.status_code == 400
    assert reply.json()["error"]


def test_health_names_account_and_client(serve: Serve) -> None:
    """Enough for a container's health check and a demo."""
    sim = serve()
    health = sim.admin("GET", "health")
    assert (health["status"], health["account_id"], health["client_id"]) == (
        "ok",
        "12345",
        sim.sim.client.client_id,
    )
