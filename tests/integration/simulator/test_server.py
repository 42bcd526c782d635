"""The simulator over real HTTP: headers in their casing, connections that break."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
import requests

from airflow_provider_lightspeed.simulator.server import base_url, listen

Serve = Callable[..., Any]


HEADERS = ["X-LS-Acct-Id", "X-LS-Oauth-Client-Id", "X-LS-Api-Bucket-Level", "X-LS-Api-Burst-Level"]


def wire_names(reply: requests.Response) -> list[str]:
    """Return the header names as they came over the wire."""
    return list(reply.raw.headers)


def test_served_request_carries_the_documented_headers_in_their_casing(serve: Serve, world: Any) -> None:
    """Level and cost of this request; decimals stay."""
    world.cost, world.register_count = 1.4, 2
    sim = serve(world=world)
    reply = sim.get(sim.grant()["access_token"])
    assert set(HEADERS) <= set(wire_names(reply))
    assert reply.headers["X-LS-Api-Bucket-Level"] == "1.4/100"
    assert reply.headers["X-LS-Api-Burst-Level"] == "1/22"
    assert (reply.headers["X-LS-Api-Drip-Rate"], reply.headers["X-LS-Api-Request-Cost"]) == ("1.5", "1.4")
    assert "Retry-After" not in reply.headers
    sim.admin("POST", "bucket", {"add": 100})
    assert "X-LS-API-RateLimit-Type" in wire_names(sim.get(sim.grant()["access_token"]))


@pytest.mark.parametrize("rule", [{"action": "reset"}, {"action": "hang", "seconds": 0.01}, {"action": "truncate"}])
def test_broken_connection_reaches_the_client_as_an_error(serve: Serve, rule: dict[str, Any]) -> None:
    """Reset, silence and a body that is too short never look like an answer; the next request works."""
    sim = serve()
    token = sim.grant()["access_token"]
    sim.admin("POST", "faults", rule | {"path": "^/API"})
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        sim.get(token)
    assert sim.get(token).status_code == 200


def test_fault_after_the_work_loses_only_the_answer(serve: Serve) -> None:
    """A refresh whose answer is lost has still issued a pair: the case that loses grants in careless clients."""
    sim = serve()
    root = sim.grant()["refresh_token"]
    sim.admin("POST", "faults", {"action": "reset", "path": "/token", "after": True})
    with pytest.raises(requests.ConnectionError):
        sim.token(grant_type="refresh_token", refresh_token=root)
    assert sim.admin("GET", "audit?counters=1")["counters"]["pairs"] == 2
    assert sim.token(grant_type="refresh_token", refresh_token=root).status_code == 200


def test_listener_names_its_protocol_and_its_origin() -> None:
    """Asyncio sets TCP_NODELAY only on sockets that say TCP; without it every answer takes 40 ms."""
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
        assert base_url(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
    with listen("0.0.0.0", 0) as listener:
        assert base_url(listener).startswith("http://127.0.0.1:")
