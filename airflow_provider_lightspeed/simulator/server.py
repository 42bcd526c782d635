"""Serving the application with uvicorn: a socket of its own, a ready signal, and the transport in reach of faults."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol


class TransportProtocol(H11Protocol):
    """uvicorn's HTTP protocol, which also shows the application its transport: faults cut connections with it.

    The h11 one, because it keeps the casing of header names; the one on httptools folds it.
    """

    app_state: dict[str, Any]

    def connection_made(self, transport: Any) -> None:
        """Put the transport where every request's ``scope["state"]`` is copied from."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class ReadyServer(uvicorn.Server):
    """A server that says when requests are answered.

    :param ready: called once, in the event loop.
    """

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving, then say so."""
        await super().startup(sockets)
        self._ready()


def listen(host: str, port: int) -> socket.socket:
    """Return a bound socket; port 0 chooses a free one.

    :raises OSError: when the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Naming the protocol is what makes asyncio set TCP_NODELAY: without it every answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def base_url(listener: socket.socket) -> str:
    """Return the origin under which a bound socket is reached; an address for "all" becomes loopback."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def build_server(app: ASGIApp, ready: Callable[[], None]) -> ReadyServer:
    """Return a server for the application; run it with ``server.run(sockets=[listener])``."""
    config = uvicorn.Config(
        app,
        http=TransportProtocol,
        access_log=False,
        log_level="error",
        lifespan="off",
        date_header=False,  # the simulator's own clock dates its answers
        server_header=False,
        timeout_keep_alive=120,
        timeout_graceful_shutdown=1,
        backlog=512,
    )
    return ReadyServer(config, ready)


def announce(facts: Mapping[str, Any]) -> None:
    """Print one JSON line on stdout: the parent process waits for it."""
    print(json.dumps(facts), flush=True)
