"""A server that never ends: each exchange is bounded in seconds and bytes, whatever is sent, over real sockets.

Without the bounds each of these tests ends by pytest's time-out, or with a reply of any size.
"""

from __future__ import annotations

import gzip
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_lightspeed.auth.flow import OAuthRequest
from airflow_provider_lightspeed.client.transport import (
    MEBIBYTE,
    Request,
    RequestsTransport,
    oauth_exchange,
    oauth_transport,
)
from airflow_provider_lightspeed.exceptions import Unreachable
from tests.support.fakes import HurriedClock
from tests.support.raw_server import Serve, bomb, raw_server, sending

pytestmark = pytest.mark.timeout(30)

OK = b"HTTP/1.1 200 OK\r\n"
NOTHING = bytes(64 * MEBIBYTE)
TRICKLES = {
    "status line": sending(drop=b"H"),
    "header line": sending(OK, b"X-Name: ", drop=b"a"),
    "header lines": sending(OK, drop=b"X-Name: a\r\n"),
    "body with a length": sending(OK, b"Content-Length: 1000000\r\n\r\n", drop=b"x"),
    "body without a length": sending(OK, b"\r\n", drop=b"x"),
    "body in chunks": sending(OK, b"Transfer-Encoding: chunked\r\n\r\n", drop=b"1\r\nx\r\n"),
    "size of a chunk": sending(OK, b"Transfer-Encoding: chunked\r\n\r\n", drop=b"0"),
    "extension of a chunk": sending(OK, b"Transfer-Encoding: chunked\r\n\r\n1;", drop=b"x"),
    "trailer": sending(OK, b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Name: ", drop=b"a"),
    "packed body": sending(OK, b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"x")[:10], drop=b"\0"),
    "100 Continue": sending(drop=b"HTTP/1.1 100 Continue\r\n\r\n"),
}
FLOODS = {
    "100 Continue": sending(drop=b"HTTP/1.1 100 Continue\r\n\r\n" * 100, pause=0),
    "headers": sending(OK, b"".join(b"X-%d: %b\r\n" % (i, b"a" * 60_000) for i in range(90)), b"\r\n{}"),
    "body with a length": sending(OK, b"Content-Length: 2000000\r\n\r\n", b"x" * 2_000_000),
    "body without a length": sending(OK, b"\r\n", drop=b"x" * 65_536, pause=0),
    "body in chunks": sending(
        OK, b"Transfer-Encoding: chunked\r\n\r\n", drop=b"ffff\r\n" + b"x" * 65_535 + b"\r\n", pause=0
    ),
    "gzip": bomb([gzip.compress(NOTHING)], "gzip"),
    "gzip, many members": bomb([gzip.compress(NOTHING[:500_000])] * 20, "x-gzip"),
    "deflate": bomb([zlib.compress(NOTHING)], "deflate"),
    "raw deflate": bomb([zlib.compress(NOTHING)[2:-4]], "Deflate"),
}
#: What is not asked for, and could grow without end: as much as a library for it would make of this.
UNASKED = ["zstd", "br", "gzip, gzip", "compress"]


def hurried(**options: Any) -> RequestsTransport:
    return oauth_transport(10.0, clock=HurriedClock(), **options)


@pytest.mark.parametrize("serve", TRICKLES.values(), ids=TRICKLES.keys())
def test_trickle_ends_after_ten_seconds(serve: Serve) -> None:
    """The next byte always comes in time; the whole does not."""
    with raw_server(serve) as url, pytest.raises(Unreachable, match="more than 10 s"):
        hurried().send(Request("POST", url, json={"grant_type": "refresh_token"}))


@pytest.mark.parametrize("serve", FLOODS.values(), ids=FLOODS.keys())
def test_flood_ends_after_a_mebibyte(serve: Serve) -> None:
    """As received, or as unpacked."""
    with raw_server(serve) as url, pytest.raises(Unreachable, match=re.escape("more than 1,048,576 bytes")):
        oauth_transport(60.0).send(Request("POST", url, json={}))


@pytest.mark.parametrize("encoding", UNASKED)
def test_body_in_an_encoding_that_was_not_asked_for_is_not_unpacked(encoding: str) -> None:
    """Nobody unpacks it: not even the first piece."""
    serve = bomb([gzip.compress(gzip.compress(NOTHING))], encoding)
    with raw_server(serve) as url, pytest.raises(Unreachable, match="Content-Encoding was not asked for"):
        oauth_transport(60.0).send(Request("POST", url, json={}))


def test_body_of_a_mebibyte_less_its_head_is_taken() -> None:
    """The bound is no tighter than it says."""
    body = b"x" * (MEBIBYTE - 1000)
    with raw_server(sending(OK, b"Content-Length: %d\r\n\r\n" % len(body), body)) as url:
        assert oauth_transport(60.0).send(Request("GET", url)).body == body


def test_slow_tls_handshake_ends() -> None:
    """The server takes the connection, and says hello letter by letter."""
    hello = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc"  # a handshake of 16 KiB is announced
    with raw_server(sending(hello, drop=b"\0")) as url, pytest.raises(Unreachable):
        oauth_transport(1.0).send(Request("POST", url.replace("http://", "https://"), json={}))


def test_name_resolution_and_body_share_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that answers late leaves the less time; one that does not answer holds nobody."""
    resolve, answered = socket.getaddrinfo, threading.Event()

    def slow(host: str, *args: Any, **kwargs: Any) -> Any:
        answered.wait(0.3 if host == "localhost" else 25)
        return resolve("127.0.0.1", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with raw_server(TRICKLES["body with a length"]) as url:
        for host in ("localhost", "silent.example"):
            with pytest.raises(Unreachable, match="more than 1 s"):
                oauth_transport(1.0).send(Request("GET", url.replace("127.0.0.1", host)))
    answered.set()


def test_grant_is_not_sent_after_its_time() -> None:
    """Whoever was told that there is no reply may have sent another meanwhile."""
    seen, resolved = [], threading.Event()

    def serve(connection: socket.socket) -> None:
        seen.append(connection.recv(65_536))

    resolve = socket.getaddrinfo

    def late(*args: Any, **kwargs: Any) -> Any:
        resolved.wait(20)
        return resolve(*args, **kwargs)

    with raw_server(serve) as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", late)
        with pytest.raises(Unreachable):
            oauth_transport(0.5).send(Request("POST", url, json={"refresh_token": "spent"}))
        resolved.set()
        for thread in threading.enumerate():
            if thread.name == "lightspeed-connect":
                thread.join(10)
    assert [each for each in seen if each] == []


def test_proxy_that_trickles_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer to CONNECT is a response like any other."""
    with raw_server(sending(b"HTTP/1.1 200 OK\r\n", drop=b"X-Name: a\r\n")) as url:
        monkeypatch.setenv("HTTPS_PROXY", url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(Unreachable, match="more than 10 s"):
            hurried().send(Request("POST", "https://cloud.lightspeedapp.com/", json={}))


def test_kept_connection_has_new_bounds_for_each_exchange() -> None:
    """The first reply's deadline does not end the second one."""
    reply = OK + b"Content-Length: 2\r\n\r\n{}"

    def serve(connection: socket.socket) -> None:
        while connection.recv(65_536):
            connection.sendall(reply)

    with raw_server(serve) as url:
        transport = oauth_transport(2.0, clock=HurriedClock())
        for _ in range(4):
            assert transport.send(Request("GET", url)).body == b"{}"
            time.sleep(0.06)  # more than half of the bound, by the hurried clock


def test_exchange_of_a_grant_is_bounded() -> None:
    """The default one, which the refresher and the consents use."""
    with raw_server(FLOODS["gzip"]) as url, pytest.raises(Unreachable, match="1,048,576 bytes"):
        oauth_exchange(oauth_transport(60.0))(OAuthRequest("POST", url, {"refresh_token": "x"}))


@pytest.mark.parametrize("name", ["header line", "100 Continue", "body with a length"])
def test_reader_of_the_api_ends_too(name: str) -> None:
    """Its pages may be large and slow, within a quarter of an hour."""
    with raw_server(TRICKLES[name]) as url, pytest.raises(Unreachable, match="more than 900 s"):
        _reader(90).send(Request("GET", url))


def _reader(haste: int) -> RequestsTransport:
    class Clock(HurriedClock):
        def monotonic(self) -> float:
            return super().monotonic() * haste

    return RequestsTransport(clock=Clock())


def test_page_larger_than_any_is_refused() -> None:
    """A quarter of a gibibyte, as unpacked."""
    large = zlib.compressobj(wbits=31)
    pieces = [large.compress(NOTHING) for _ in range(5)] + [large.flush()]
    with raw_server(bomb(pieces, "gzip")) as url, pytest.raises(Unreachable, match="more than 268,435,456 bytes"):
        RequestsTransport().send(Request("GET", url))


def _trigger(url: str, patch: pytest.MonkeyPatch) -> Callable[[], Any]:
    pytest.importorskip("airflow")
    from airflow_provider_lightspeed.auth.step import Claim
    from airflow_provider_lightspeed.tokens import trigger
    from airflow_provider_lightspeed.tokens.asker import Asker

    patch.setenv("AIRFLOW__LIGHTSPEED__API_SERVER_URL", url)
    patch.setattr("airflow_provider_lightspeed.client.transport.SystemClock", HurriedClock)
    return lambda: trigger.RefreshTrigger().ask("shop", Claim("0" * 64), Asker())


@pytest.mark.parametrize(
    "serve", [TRICKLES["header line"], TRICKLES["body in chunks"], FLOODS["gzip"], FLOODS["body without a length"]]
)
def test_client_of_the_refresh_trigger_is_bounded(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """What answers at the API server's address may be anything; the task goes on to wait, and to ask again."""
    with raw_server(serve) as url:
        answer = _trigger(url, monkeypatch)()
    assert answer.outcome == "unavailable"
    assert url in answer.detail
