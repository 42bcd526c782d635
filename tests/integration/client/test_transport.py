"""The one place that sends, against a real server that misbehaves on request."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


@contextmanager
def answering(head: bytes, body: bytes) -> Iterator[str]:
    """Serve one raw answer, whatever is asked, and hang up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + body)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        thread.join(10)


def _chunked(body: bytes) -> bytes:
    half = len(body) // 2
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:])) + b"0\r\n\r\n"


PACKED = gzip.compress(b'{"name":"value"}')
GZIP = b"Content-Encoding: gzip\r\n"
TRANSPORTS = [RequestsTransport, lambda: RequestsTransport(total_timeout=10.0)]


@pytest.mark.parametrize("transport", TRANSPORTS, ids=["at one go", "against the clock"])
@pytest.mark.parametrize(
    ("head", "body"),
    [
        (GZIP + b"Content-Length: %d" % len(PACKED), PACKED),
        (GZIP + b"Transfer-Encoding: chunked", _chunked(PACKED)),
        (b"Transfer-Encoding: chunked", _chunked(b'{"name":"value"}')),
        (b"Connection: close", b'{"name":"value"}'),
    ],
    ids=["gzip", "gzip in chunks", "chunks", "no length"],
)
def test_bodies_are_unpacked(transport: Callable[[], RequestsTransport], head: bytes, body: bytes) -> None:
    """Compressed, in chunks, or both: the body is what the server meant."""
    with answering(head, body) as url:
        assert transport().send(Request("GET", url)).body == b'{"name":"value"}'


@pytest.mark.parametrize("transport", TRANSPORTS, ids=["at one go", "against the clock"])
@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"Content-Length: 100", b"{"),
        (b"Transfer-Encoding: chunked", _chunked(b'{"name":"value"}')[:-9]),
        (GZIP + b"Content-Length: 5", b"plain"),
    ],
    ids=["short", "missing chunk", "not gzip"],
)
def test_bodies_that_break_off_are_unreachable(
    transport: Callable[[], RequestsTransport], head: bytes, body: bytes
) -> None:
    """Less than was announced, or something that cannot be unpacked: no reply at all."""
    with answering(head, body) as url, pytest.raises(Unreachable, match="no complete reply"):
        transport().send(Request("GET", url))
