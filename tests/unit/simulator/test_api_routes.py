"""``/API``: token check, limits, headers, formats, faults on the wire."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_lightspeed.simulator.clients import OAuthRules
from airflow_provider_lightspeed.simulator.rotation import OldAccess, RotationRules
from airflow_provider_lightspeed.simulator.state import Settings

Serve = Callable[..., Any]


def test_world_gets_path_query_origin_and_time(serve: Serve) -> None:
    """The world answers; the origin is the one that the client used, for the links of pages."""
    sim = serve()
    sim.get(sim.grant()["access_token"], limit="5", total=">,10")
    path, params, origin, now = sim.world.asked[0]
    assert (path, params) == ("/API/V3/Account/12345/Sale.json", {"limit": "5", "total": ">,10"})
    assert (origin, now.isoformat()) == (sim.url, "2027-01-15T08:00:00+00:00")


@pytest.mark.parametrize("authorization", [None, "Bearer nonsense", "Basic abc"])
def test_bad_token_is_401_in_oauth_shape_without_rate_headers(serve: Serve, authorization: str | None) -> None:
    """Recorded: a 401 carries no X-LS header at all, and it is not charged."""
    sim = serve()
    headers = {"Authorization": authorization} if authorization else {}
    reply = sim.call("GET", "/API/V3/Account.json", headers=headers)
    assert (reply.status_code, reply.json()["error"]) == (401, "access_denied")
    assert not [name for name in reply.headers if name.lower().startswith("x-ls")]
    assert sim.world.asked == []


def test_bucket_refusal_names_its_limiter_and_the_wait(serve: Serve, world: Any) -> None:
    """The request that overflows is served; the next one gets 429 and Retry-After, and works after that wait."""
    world.cost = 46.5
    sim = serve(world=world)
    token = sim.grant()["access_token"]
    assert [sim.get(token).status_code for _ in range(3)] == [200, 200, 429]
    refused = sim.get(token)
    assert refused.headers["X-LS-API-RateLimit-Type"] == "api-leaky-bucket"
    assert refused.headers["X-LS-Api-Bucket-Level"] == "93/90"
    assert refused.headers["Retry-After"] == "3"
    assert refused.headers["X-LS-Api-Request-Cost"] == "46.5"  # its price, though it is not charged
    sim.admin("POST", "clock", {"advance": 3.5})
    assert sim.get(token).status_code == 200


def test_burst_refusal_names_its_limiter(serve: Serve) -> None:
    """The 21st request of one second; the bucket is not charged for it."""
    sim = serve()
    token = sim.grant()["access_token"]
    replies = [sim.get(token) for _ in range(21)]
    assert {reply.status_code for reply in replies[:20]} == {200}
    refused = replies[20]
    assert (refused.status_code, refused.headers["X-LS-API-RateLimit-Type"]) == (429, "api-burst-limiter")
    assert (refused.headers["Retry-After"], refused.headers["X-LS-Api-Bucket-Level"]) == ("1", "20/90")
    assert "burst rate limit exceeded" in refused.json()["message"]


def test_no_limits_serves_any_number(serve: Serve) -> None:
    """For tests that are about something else."""
    sim = serve(Settings(limits=False))
    token = sim.grant()["access_token"]
    assert {sim.get(token).headers["X-LS-Api-Bucket-Level"] for _ in range(30)} == {"0/90"}


def test_other_account_is_404_in_the_recorded_shape(serve: Serve) -> None:
    """One token opens one account; errors come as JSON under an HTML type."""
    sim = serve()
    reply = sim.get(sim.grant()["access_token"], "/API/V3/Account/999/Sale.json")
    assert reply.status_code == 404
    assert reply.json()["message"] == "Object of type 'Account' not found with primary ID '999'."
    assert set(reply.json()) == {"httpCode", "httpMessage", "message", "errorClass"}
    assert reply.headers["Content-Type"] == "text/html; charset=UTF-8"


def test_write_is_405(serve: Serve) -> None:
    """The simulator answers reads only, and says so."""
    sim = serve()
    bearer = {"Authorization": f"Bearer {sim.grant()['access_token']}"}
    assert sim.call("POST", "/API/V3/Account/12345/Sale.json", headers=bearer, json={}).status_code == 405


@pytest.mark.parametrize(
    ("path", "accept", "kind"),
    [
        ("Sale.json", "*/*", "application/json"),
        ("Sale", "application/json", "application/json"),
        ("Sale", "*/*", "application/vnd.merchantos.pos-v1+xml"),
        ("Sale.json", "application/xml", "application/vnd.merchantos.pos-v1+xml"),
    ],
)
def test_xml_is_the_default_and_the_header_wins(serve: Serve, path: str, accept: str, kind: str) -> None:
    """Page "Getting started"."""
    sim = serve()
    headers = {"Authorization": f"Bearer {sim.grant()['access_token']}", "Accept": accept}
    reply = sim.call("GET", f"/API/V3/Account/12345/{path}", headers=headers)
    assert reply.headers["Content-Type"] == kind
    assert "<saleID>1</saleID>" in reply.text or reply.json()["Sale"]["saleID"] == "1"


def test_first_api_request_ends_the_old_refresh_token(serve: Serve) -> None:
    """The deferred rule over HTTP; a refused request (429) has authenticated too."""
    sim = serve()
    root = sim.grant()["refresh_token"]
    new = sim.token(grant_type="refresh_token", refresh_token=root).json()
    sim.admin("POST", "bucket", {"add": 95})
    assert sim.get(new["access_token"]).status_code == 429
    assert sim.token(grant_type="refresh_token", refresh_token=root).json()["hint"] == "Token has been revoked"


def test_old_access_token_can_be_made_to_die(serve: Serve) -> None:
    """The profile for the rule that is not documented."""
    sim = serve(Settings(oauth=OAuthRules(rotation=RotationRules(old_access=OldAccess.DIE))))
    old = sim.grant()
    new = sim.token(grant_type="refresh_token", refresh_token=old["refresh_token"]).json()
    assert [sim.get(token).status_code for token in (new["access_token"], old["access_token"])] == [200, 401]


@pytest.mark.parametrize(
    ("rule", "status", "text"),
    [
        ({"action": "status", "status": 502}, 502, "<html>"),
        ({"action": "status", "status": 503, "body": "busy"}, 503, "busy"),
        ({"action": "html"}, 200, "<html>"),
        ({"action": "unauthorized"}, 401, "access_denied"),
        ({"action": "rate_limited"}, 429, "Rate limit"),
        ({"action": "try_later"}, 400, "Please try again later."),
    ],
)
def test_fault_answers_once_and_leaves_the_world_alone(
    serve: Serve, rule: dict[str, Any], status: int, text: str
) -> None:
    """The faulty answer stands in for the request; the next one is served."""
    sim = serve()
    token = sim.grant()["access_token"]
    sim.admin("POST", "faults", {"path": r"/Sale\.json"} | rule)
    reply = sim.get(token)
    assert reply.status_code == status
    assert text in reply.text
    assert "Retry-After" not in reply.headers
    assert sim.world.asked == []
    assert sim.get(token).status_code == 200


@pytest.mark.parametrize(("fields", "left"), [([], {"limit"}), (["timeStamp"], {"limit", "total"})])
def test_ignored_filter_never_reaches_the_world(serve: Serve, fields: list[str], left: set[str]) -> None:
    """Recorded: the real API has overlooked filters without a word."""
    sim = serve()
    sim.admin("POST", "faults", {"action": "ignore_filter", "fields": fields})
    sim.get(sim.grant()["access_token"], limit="5", total=">,10", timeStamp=">,2020-01-01")
    sim.get(sim.grant()["access_token"], limit="5", total=">,10", timeStamp=">,2020-01-01")
    assert set(sim.world.asked[0][1]) == left
    assert set(sim.world.asked[1][1]) == {"limit", "total", "timeStamp"}


def test_slow_fault_and_latency_delay_a_good_answer(serve: Serve) -> None:
    """Both take real time."""
    sim = serve(Settings(latency=0.02))
    token = sim.grant()["access_token"]
    sim.admin("POST", "faults", {"action": "slow", "seconds": 0.03})
    begun = time.monotonic()
    assert sim.get(token).status_code == 200
    assert time.monotonic() - begun >= 0.05
