"""What one exchange may take, in seconds and bytes, whatever the server does; and the connections that keep to it.

``requests`` bounds the wait for the next byte, so a server that sends a byte a second holds the caller for hours: in the
status line, in headers, in answers ``100 Continue``, in the body. Here each read from the socket is bounded by what is left.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, Final, TypeVar

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from airflow_provider_lightspeed.clock import Clock

if TYPE_CHECKING:
    import socket
    import ssl

#: Content codings that are asked for; one byte becomes at most 1,032 (zlib: "Maximum Compression Factor").
ENCODINGS: Final = ("gzip", "deflate")
_ACCEPTED: Final = frozenset({"", "identity", "x-gzip", *ENCODINGS})
_GROWTH: Final = 1032

T = TypeVar("T")


class OutOfBounds(OSError):
    """The exchange took too many seconds or bytes; what it says has no secret."""


class Bounds:
    """The bounds of one exchange.

    :param seconds: from now to the reply's last byte: name resolution, connection, TLS, headers and body together.
    :param size: bytes of headers and body, as received; and of the body, as unpacked.
    """

    def __init__(self, clock: Clock, seconds: float, size: int) -> None:
        self._clock = clock
        self._seconds = seconds
        self._deadline = clock.monotonic() + seconds
        self._size = size
        self._received = 0
        #: Why the exchange ended, once a bound has ended it.
        self.reason = ""

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Apply the bounds to what this thread sends meanwhile."""
        token = _applied.set(self)
        try:
            yield
        finally:
            _applied.reset(token)

    def left(self) -> float:
        """Return the seconds that are left.

        :raises OutOfBounds: none.
        """
        left = self._deadline - self._clock.monotonic()
        if left <= 0:
            self._exceed(f"it took more than {self._seconds:g} s")
        return left

    def receive(self, count: int) -> None:
        """Count bytes that came in.

        :raises OutOfBounds: they are too many.
        """
        self._received += count
        self._check(self._received)

    def read(self, reply: Any) -> bytes:
        """Return the unpacked body of a ``urllib3`` response.

        :raises OutOfBounds: it is too large, or packed in a way that was not asked for: such a body could grow without end.
        """
        encoding = reply.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in _ACCEPTED:
            self._exceed("its Content-Encoding was not asked for")
        # Older releases of urllib3 unpack a whole piece at once.
        piece, parts, size = max(1024, self._size // _GROWTH), [], 0
        while part := reply.read(piece, decode_content=True):
            parts.append(part)
            size += len(part)
            self._check(size)
        return b"".join(parts)

    def run(self, function: Callable[[], T], discard: Callable[[T], None]) -> T:
        """Run what cannot be interrupted, such as name resolution, in a thread, and wait no longer than is left.

        :param discard: gets the result if it comes too late.
        :raises OutOfBounds: it came too late.
        """
        future: Future[T] = Future()

        def work() -> None:
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - it is raised again, in the thread that waits
                future.set_exception(error)

        threading.Thread(target=work, name="lightspeed-connect", daemon=True).start()
        try:
            return future.result(self.left())
        except TimeoutError:
            if future.done():  # the function's own time-out
                raise
            future.add_done_callback(lambda late: None if late.exception() else discard(late.result()))
            self.left()
            raise

    def _check(self, size: int) -> None:
        if size > self._size:
            self._exceed(f"it has more than {self._size:,} bytes")

    def _exceed(self, reason: str) -> None:
        self.reason = reason
        raise OutOfBounds(reason)


_applied: ContextVar[Bounds | None] = ContextVar("_applied", default=None)


def _limit(sock: Any, bounds: Bounds) -> None:
    """Let the socket wait no longer than is left."""
    left, allowed = bounds.left(), sock.gettimeout()
    if allowed is None or allowed > left:
        sock.settimeout(left)


class _BoundedStream(io.RawIOBase):
    """What a socket receives."""

    def __init__(self, sock: Any, bounds: Bounds) -> None:
        self._sock = sock
        self._stream = sock.makefile("rb", buffering=0)
        self._bounds = bounds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        _limit(self._sock, self._bounds)
        try:
            count: int = self._stream.readinto(buffer)
        except TimeoutError:
            self._bounds.left()  # says so, if it was this bound and not the one on the next byte
            raise
        self._bounds.receive(count)
        return count

    def fileno(self) -> int:
        found: int = self._stream.fileno()
        return found

    def close(self) -> None:
        self._stream.close()
        super().close()


class _BoundedSocket:
    """As much of a socket as ``http.client`` reads responses through."""

    def __init__(self, sock: Any, bounds: Bounds) -> None:
        self._sock = sock
        self._bounds = bounds

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        return io.BufferedReader(_BoundedStream(self._sock, self._bounds))


class _BoundedResponse(HTTPResponse):
    """Status line, headers and body of a response, or of a proxy's answer to ``CONNECT``."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        bounds = _applied.get()
        reads_through: Any = sock if bounds is None else _BoundedSocket(sock, bounds)
        super().__init__(reads_through, *args, **kwargs)


class _Bounded:
    """A connection that keeps to the bounds. It prints nothing: ``http.client``'s debugging would print tokens."""

    debuglevel = 0
    response_class: Any = _BoundedResponse

    def _new_conn(self) -> socket.socket:
        bounds, connect = _applied.get(), super()._new_conn  # type: ignore[misc]
        if bounds is None:
            found: socket.socket = connect()
            return found
        sock: socket.socket = bounds.run(connect, lambda late: late.close())
        _limit(sock, bounds)  # for the TLS handshake
        return sock

    def send(self, data: Any) -> None:
        bounds, sock = _applied.get(), getattr(self, "sock", None)
        if bounds is not None and sock is not None:
            _limit(sock, bounds)
        super().send(data)  # type: ignore[misc]


class _BoundedHTTP(_Bounded, HTTPConnection):
    pass


class _BoundedHTTPS(_Bounded, HTTPSConnection):
    pass


class BoundedAdapter(HTTPAdapter):
    """An adapter of ``requests`` whose connections keep to the bounds that are applied, and print nothing.

    :param tls: the context of all TLS connections; ``None``: what ``requests`` makes.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, **options: Any) -> None:
        self._tls: dict[str, Any] = {} if tls is None else {"ssl_context": tls}
        super().__init__(**options)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools."""
        super().init_poolmanager(*args, **{**kwargs, **self._tls})

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return a pool of bounded connections."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _BoundedHTTPS if pool.scheme == "https" else _BoundedHTTP
        return pool
