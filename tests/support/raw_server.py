"""A server that sends whatever bytes a test wants, at whatever pace, to every connection."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

Serve = Callable[[socket.socket], None]


@contextmanager
def raw_server(serve: Serve) -> Iterator[str]:
    """Yield the origin of a server that has ``serve`` answer each connection, in a thread, and then hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer(connection: socket.socket) -> None:
            with connection, suppress(OSError):  # the client hangs up when it has had enough
                serve(connection)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65_536):  # closed with something unread, it would reset what was sent
                    pass

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    threading.Thread(target=answer, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)


def sending(*parts: bytes, drop: bytes = b"", pause: float = 0.05) -> Serve:
    """Return a function that reads a request, sends the parts, and then ``drop`` for ever, a pause before each.

    :param pause: seconds; 0 sends as fast as the client takes it.
    """
    silence = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"".join(parts))
        while drop:
            silence.wait(pause)
            connection.sendall(drop)

    return serve


def bomb(pieces: Iterable[bytes], encoding: str) -> Serve:
    """Return a function that answers with a packed body."""
    body = b"".join(pieces)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return sending(head.encode(), body)
