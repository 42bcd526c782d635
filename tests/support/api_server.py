"""An Airflow 3 API server on loopback that fails on request, and this process as a task that is supervised over it.

Only the server is a stand-in: supervisor, its HTTP client, the socket to the task and the secrets backends are Airflow's.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from unittest import mock
from urllib.parse import unquote
from uuid import uuid4

from airflow_provider_lightspeed.auth.codec import dump
from airflow_provider_lightspeed.auth.ledger import Ledger
from airflow_provider_lightspeed.tokens.trigger import MARKER

EXECUTION = "/execution/connections/"
REFRESH = "/lightspeed/refresh/"


@dataclass
class ApiServer:
    """What tasks ask: connections, the marker, the refresh trigger.

    :param connections: extras by connection ID; each is of type ``lightspeed`` with login and password.
    :param faults: how the requests to a path fail: a status, ``refuse`` or ``hang``; a path that ends
        with a slash stands for all below it.
    :param refreshes: the ledgers that requests for a refresh bring, in order.
    """

    connections: dict[str, Any] = field(default_factory=dict)
    faults: dict[str, int | str] = field(default_factory=dict)
    refreshes: list[Ledger] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def store(self, conn_id: str, ledger: Ledger) -> None:
        """Store a ledger beside its connection."""
        self.connections[f"{conn_id}__lightspeed_tokens"] = dump(ledger)

    def refresh(self, conn_id: str, seen: str) -> dict[str, Any]:
        """Answer a request for a refresh as the plugin does."""
        stored = self.connections.get(f"{conn_id}__lightspeed_tokens")
        token = stored["token"]["access_token"] if stored else self.connections[conn_id]["refresh_token"]
        if hashlib.sha256(token.encode()).hexdigest() != seen:
            return {"outcome": "no_match"}
        if not self.refreshes:
            return {"outcome": "fresh", "generation": 1, "expires_in": 3000.0}
        ledger = self.refreshes.pop(0)
        self.store(conn_id, ledger)
        return {"outcome": "refreshed", "generation": ledger.generation, "expires_in": 3000.0}

    def fault(self, path: str) -> int | str | None:
        """Return how a request fails."""
        fits = (fault for at, fault in self.faults.items() if path == at or (at[-1] == "/" and path.startswith(at)))
        return next(fits, None)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(server: ApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            path = unquote(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server.asked.append(path)
            fault = server.fault(path)
            if fault == "refuse":
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            elif fault == "hang":
                time.sleep(0.4)  # longer than the client waits; nobody waits for this thread
            elif isinstance(fault, int):
                self._answer(fault, {"detail": "a fault that was asked for"})
            else:
                self._answer(*_content(server, path, body))

        def _answer(self, status: int, body: Any) -> None:
            data = json.dumps(body).encode()
            with suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """The tests' output is not the place."""

    return Handler


def _content(server: ApiServer, path: str, body: bytes) -> tuple[int, Any]:
    if path == "/lightspeed/marker":
        return 200, MARKER
    if path.startswith(REFRESH):
        answer: dict[str, Any] = {"generation": 0, "expires_in": 0.0, "retry_after": 0.0}
        answer |= server.refresh(path.removeprefix(REFRESH), json.loads(body)["seen"])
        return 404 if answer["outcome"] == "no_match" else 200, answer
    conn_id = path.removeprefix(EXECUTION)
    if conn_id not in server.connections:
        return 404, {"detail": {"reason": "not_found"}}
    extra = json.dumps(server.connections[conn_id])
    fields = dict.fromkeys(("host", "schema", "port"))
    fields |= {"conn_id": conn_id, "conn_type": "lightspeed", "login": "id", "password": "hush-hush", "extra": extra}
    return 200, fields


@contextmanager
def supervised(server: ApiServer, timeout: float = 0.2) -> Iterator[None]:
    """Make this process a task, its supervisor a thread; the supervisor's HTTP client does not repeat what fails."""
    import psutil  # type: ignore[import-untyped]
    import structlog
    from airflow.sdk.api.client import Client
    from airflow.sdk.execution_time import request_handlers
    from airflow.sdk.execution_time.comms import CommsDecoder
    from airflow.sdk.execution_time.supervisor import (
        ActivitySubprocess,
        length_prefixed_frame_reader,
        set_supervisor_comms,
    )

    class ImpatientClient(Client):
        def request(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            return Client.request.__wrapped__(self, *args, **kwargs)

    theirs, ours = socket.socketpair()
    log = structlog.get_logger()
    with ImpatientClient(base_url=f"{server.url}/execution/", token="", timeout=timeout) as client:
        supervisor = ActivitySubprocess(
            id=uuid4(), pid=os.getpid(), stdin=theirs, process=psutil.Process(), process_log=log, client=client
        )
        serve, _ = length_prefixed_frame_reader(supervisor.handle_requests(log), on_close=lambda _: None)

        def run() -> None:
            with suppress(OSError):
                while serve(theirs):
                    pass

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        # A supervisor masks in a process of its own; in this one, it would ask itself, and wait for ever.
        with (
            mock.patch.object(request_handlers, "mask_secret"),
            set_supervisor_comms(CommsDecoder(socket=ours)),
        ):
            yield
        ours.close()
        thread.join(10)
        theirs.close()
