"""The one place that sends, against a real server that misbehaves on request."""

from __future__ import annotations

import socket

import pytest

from airflow_provider_lightspeed.client.transport import Request, RequestsTransport
from airflow_provider_lightspeed.exceptions import Unreachable
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess


def request(simulator: SimulatorProcess) -> Request:
    token = simulator.grant()["access_token"]
    url = f"{simulator.base_url}/API/V3/Account.json?limit=77"
    return Request("GET", url, {"Authorization": f"Bearer {token}"})


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "reset", "path": "/Account"},
        {"action": "truncate", "path": "/Account"},
        {"action": "hang", "path": "/Account", "seconds": 20},
    ],
)
def test_broken_replies_are_unreachable_and_name_no_query(
    simulator: SimulatorProcess, fault: dict[str, object]
) -> None:
    """Reset, cut off, silent: one kind of error, without the URL's query."""
    simulator.faults({**fault, "count": 1})
    with pytest.raises(Unreachable, match="no complete reply") as caught:
        RequestsTransport(read_timeout=0.5).send(request(simulator))
    assert "limit=77" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_refused_connection_names_the_host() -> None:
    """The message says where nobody answered."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match=f"127.0.0.1:{port}"):
        RequestsTransport().send(Request("GET", f"http://127.0.0.1:{port}/"))


def test_good_reply_has_status_headers_and_body(simulator: SimulatorProcess) -> None:
    """Header names without case."""
    reply = RequestsTransport().send(request(simulator))
    assert reply.status == 200
    assert reply.headers["x-ls-api-bucket-level"] == reply.headers["X-LS-API-Bucket-Level"]
    assert reply.body.startswith(b"{")


def test_netrc_cannot_replace_the_token(
    simulator: SimulatorProcess, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``requests`` would put a ``~/.netrc`` entry over our Authorization header."""
    netrc = f"{tmp_path}/netrc"
    with open(netrc, "w") as file:
        file.write("default login somebody password else\n")
    monkeypatch.setenv("NETRC", netrc)
    assert RequestsTransport().send(request(simulator)).status == 200
